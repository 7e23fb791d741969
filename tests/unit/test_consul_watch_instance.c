#include "consul-watch/instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static jv parse(const char *text)
{
	struct err err = ERR_INIT;
	jv v = jvx_parse(text, strlen(text), &err);

	if (!jv_is_valid(v))
		fail_msg("%s: %s", text, err.msg);
	return v;
}

/* As without any option. */
static jv instances_of(jv health, const char *source, struct err *err)
{
	struct selection_config config = { .filter = NULL };
	struct selection *selection = selection_open(&config, err);
	jv got = instances_from_health(health, source, selection, err);

	selection_close(selection);
	return got;
}

/* The instances of a body as JSON, or the error. */
static char *instances(const char *body)
{
	struct err err = ERR_INIT;
	cleanup_jv jv health = parse(body);
	cleanup_jv jv got = instances_of(health, "dc1", &err);

	return jv_is_valid(got) ? jvx_dump(got) : xasprintf("error: %s", err.msg);
}

/* One field of the only instance of a body, as JSON. */
static char *field(const char *body, const char *name)
{
	struct err err = ERR_INIT;
	cleanup_jv jv health = parse(body);
	cleanup_jv jv got = instances_of(health, "dc1", &err);
	cleanup_jv jv one = jvx_at(got, 0);
	cleanup_jv jv value = jvx_get(one, name);

	assert_int_equal(jvx_length(got), 1);
	return jv_is_valid(value) ? jvx_dump(value) : xstrdup("none");
}

/* As 1.20.5 answers. */
static const char full[] =
	"[{\"Node\":{\"ID\":\"0a\",\"Node\":\"n1\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc1\","
	"\"TaggedAddresses\":{\"lan\":\"10.0.0.1\"},\"Meta\":{\"rack\":\"7\"},\"CreateIndex\":5,"
	"\"ModifyIndex\":6},\"Service\":{\"ID\":\"web-1\",\"Service\":\"web\",\"Tags\":[\"b\","
	"\"a\",\"b\"],\"Address\":\"10.1.0.1\",\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":"
	"\"10.1.0.1\",\"Port\":8080}},\"Meta\":{\"version\":\"v1\"},\"Port\":8080,\"Weights\":"
	"{\"Passing\":10,\"Warning\":2},\"EnableTagOverride\":false,\"Proxy\":{\"Mode\":\"\"},"
	"\"Connect\":{},\"PeerName\":\"\",\"Locality\":{\"Region\":\"eu\",\"Zone\":\"eu-1\"},"
	"\"CreateIndex\":7,\"ModifyIndex\":8},\"Checks\":[{\"Node\":\"n1\",\"CheckID\":"
	"\"serfHealth\",\"Status\":\"passing\",\"Output\":\"ok\"},{\"CheckID\":\"service:web-1\","
	"\"Status\":\"warning\",\"Output\":\"slow\"}]}]";

static void an_entry_is_an_instance(void **state UNUSED)
{
	cleanup_free char *got = instances(full);
	cleanup_free char *uid = field(full, "uid");
	cleanup_free char *expected =
		xasprintf("[{\"address\":\"10.1.0.1\",\"datacenter\":\"dc1\",\"id\":\"web-1\","
			  "\"kind\":\"\",\"locality\":{\"region\":\"eu\",\"zone\":\"eu-1\"},"
			  "\"meta\":{\"version\":\"v1\"},\"node\":\"n1\",\"nodeMeta\":{\"rack\":"
			  "\"7\"},\"port\":8080,\"status\":\"warning\",\"taggedAddresses\":"
			  "{\"lan_ipv4\":{\"Address\":\"10.1.0.1\",\"Port\":8080}},\"tags\":[\"a\","
			  "\"b\"],\"uid\":%s,\"weights\":{\"passing\":10,\"warning\":2}}]",
			uid);

	assert_string_equal(got, expected);
}

static void what_is_missing_or_null_has_a_default(void **state UNUSED)
{
	/* Registered with nothing but names, on 1.8.7: nulls where lists and maps would be. */
	static const char least[] =
		"[{\"Node\":{\"Node\":\"n1\",\"Address\":\"10.0.0.1\",\"Meta\":"
		"null},\"Service\":{\"ID\":\"x\",\"Tags\":null,\"Address\":\"\","
		"\"Meta\":null,\"Port\":0,\"Weights\":{}},\"Checks\":null}]";
	static const struct {
		const char *field, *json;
	} rows[] = {
		{ "address", "\"10.0.0.1\"" }, /* the node's */
		{ "port", "0" },
		{ "tags", "[]" },
		{ "meta", "{}" },
		{ "nodeMeta", "{}" },
		{ "taggedAddresses", "{}" },
		{ "weights", "{\"passing\":1,\"warning\":1}" },
		{ "status", "\"passing\"" },
		{ "kind", "\"\"" },
		{ "datacenter", "\"\"" },
		{ "locality", "none" },
		{ "ports", "none" },
	};
	static const char none[] = "[{\"Node\":{},\"Service\":{}}]";
	cleanup_free char *id = field(none, "id"), *node = field(none, "node");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = field(least, rows[i].field);

		assert_string_equal(got, rows[i].json);
	}
	assert_string_equal(id, "\"\"");
	assert_string_equal(node, "\"\"");
}

static void fields_of_another_kind_harm_nobody(void **state UNUSED)
{
	static const char *const values[] = { "null", "true", "7", "\"x\"", "[1]", "{\"a\":1}" };
	static const char *const fields[] = { "ID", "Tags", "Address", "Meta", "Port", "Weights",
		"Kind", "TaggedAddresses", "Locality", "Ports" };

	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
			cleanup_free char *body = xasprintf(
				"[{\"Node\":{\"Node\":%s,\"Meta\":%s,\"Address\":%s},\"Service\":"
				"{\"%s\":%s},\"Checks\":%s}]",
				values[v], values[v], values[v], fields[f], values[v], values[v]);
			cleanup_free char *got = instances(body);

			assert_int_equal(got[0], '[');
		}
	}
}

static void several_ports(void **state UNUSED)
{
	static const char body[] =
		"[{\"Node\":{},\"Service\":{\"Ports\":[{\"Name\":\"http\",\"Port\":8080,"
		"\"Default\":true},{\"Name\":\"grpc\",\"Port\":9090,\"Default\":false}]}}]";
	cleanup_free char *got = field(body, "ports");

	assert_string_equal(got, "[{\"default\":true,\"name\":\"http\",\"port\":8080},"
				 "{\"name\":\"grpc\",\"port\":9090}]");
}

static void equal_facts_are_equal_bytes(void **state UNUSED)
{
	static const char a[] =
		"[{\"Node\":{\"Node\":\"n2\"},\"Service\":{\"ID\":\"b\",\"Tags\":[\"x\",\"y\"]}},"
		"{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"b\"}},"
		"{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"a\",\"ModifyIndex\":1}}]";
	static const char b[] =
		"[{\"Service\":{\"ModifyIndex\":99,\"ID\":\"a\"},\"Node\":{\"Node\":\"n1\"}},"
		"{\"Node\":{\"Node\":\"n2\"},\"Service\":{\"Tags\":[\"y\",\"x\",\"y\"],\"ID\":"
		"\"b\"},\"Checks\":[{\"Status\":\"passing\",\"Output\":\"took 7 ms\"}]},"
		"{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"b\"}}]";
	cleanup_free char *ja = instances(a), *jb = instances(b);

	assert_string_equal(ja, jb);
}

static void an_uid_is_source_node_and_id(void **state UNUSED)
{
	/* Not what is put together of them: "a" and "b-c", "a-b" and "c". */
	static const struct {
		const char *source, *node, *id;
	} rows[] = {
		{ "dc1", "n1", "a" },
		{ "dc2", "n1", "a" },
		{ "dc1", "n2", "a" },
		{ "dc1", "n1", "b" },
		{ "dc1", "n1a", "" },
		{ "dc1n1", "", "a" },
	};
	char *uids[ARRAY_SIZE(rows)];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		cleanup_free char *body =
			xasprintf("[{\"Node\":{\"Node\":\"%s\"},\"Service\":{\"ID\":\"%s\"}}]",
				rows[i].node, rows[i].id);
		cleanup_jv jv health = parse(body);
		cleanup_jv jv got = instances_of(health, rows[i].source, &err);
		cleanup_jv jv one = jvx_at(got, 0);

		uids[i] = jvx_dup_field(one, "uid");
		assert_int_equal(strlen(uids[i]), 16);
		assert_int_equal(strspn(uids[i], "0123456789abcdef"), 16);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(uids[i], uids[j]);
	}
	/* Names in the cluster are made of it: it must not change with a version of ours. */
	assert_string_equal(uids[0], "8f5b2dd70d336169");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		free(uids[i]);
}

static void the_same_id_on_two_nodes_is_two_instances(void **state UNUSED)
{
	struct err err = ERR_INIT;
	cleanup_jv jv health = parse("[{\"Node\":{\"Node\":\"n1\"},\"Service\":{\"ID\":\"web\"}},"
				     "{\"Node\":{\"Node\":\"n2\"},\"Service\":{\"ID\":\"web\"}}]");
	cleanup_jv jv got = instances_of(health, "dc1", &err);

	assert_int_equal(jvx_length(got), 2);
}

static void status_is_the_worst_check(void **state UNUSED)
{
	static const struct {
		const char *checks, *status;
	} rows[] = {
		{ "[]", "passing" },
		{ "null", "passing" },
		{ "[{\"Status\":\"passing\"}]", "passing" },
		{ "[{\"Status\":\"passing\"},{\"Status\":\"warning\"}]", "warning" },
		{ "[{\"Status\":\"critical\"},{\"Status\":\"warning\"},{\"Status\":\"passing\"}]",
			"critical" },
		{ "[{\"Status\":\"Passing\"}]", "critical" },
		{ "[{\"Status\":\"\"}]", "critical" },
		{ "[{}]", "critical" },
		{ "[7]", "critical" },
		{ "[{\"CheckID\":\"_node_maintenance\",\"Status\":\"critical\"}]", "maintenance" },
		{ "[{\"CheckID\":\"_service_maintenance:web-1\",\"Status\":\"critical\"},"
		  "{\"CheckID\":\"x\",\"Status\":\"critical\"}]",
			"maintenance" },
		{ "[{\"CheckID\":\"my_node_maintenance\",\"Status\":\"passing\"}]", "passing" },
		{ "[{\"CheckID\":\"_node_maintenance_x\",\"Status\":\"passing\"}]", "passing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv checks = parse(rows[i].checks);

		assert_string_equal(instance_status(checks), rows[i].status);
	}
}

static void what_is_not_a_service_of_its_own_is_left_out(void **state UNUSED)
{
	static const struct {
		const char *service;
		bool in;
	} rows[] = {
		{ "{\"ID\":\"a\"}", true },
		{ "{\"ID\":\"a\",\"Kind\":\"\"}", true },
		{ "{\"ID\":\"a\",\"Kind\":\"connect-proxy\"}", false },
		{ "{\"ID\":\"a\",\"Kind\":\"mesh-gateway\"}", false },
		{ "{\"ID\":\"a\",\"Kind\":\"api-gateway\"}", false },
		{ "{\"ID\":\"a\",\"Meta\":{\"external-source\":\"kubernetes\"}}", false },
		{ "{\"ID\":\"a\",\"Meta\":{\"external-source\":\"nomad\"}}", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *body =
			xasprintf("[{\"Node\":{\"Node\":\"n\"},\"Service\":%s}]", rows[i].service);
		cleanup_free char *got = instances(body);

		assert_int_equal(strcmp(got, "[]") != 0, rows[i].in);
	}
}

static void a_body_that_is_no_list_of_entries_is_refused_whole(void **state UNUSED)
{
	static const struct {
		const char *body, *message;
	} rows[] = {
		{ "{}", "error: the answer is no list of instances" },
		{ "null", "error: the answer is no list of instances" },
		{ "\"No leader\"", "error: the answer is no list of instances" },
		{ "[null]", "error: the answer has an entry without node or service" },
		{ "[[]]", "error: the answer has an entry without node or service" },
		{ "[{\"Node\":{},\"Service\":{}},{\"Node\":{}}]",
			"error: the answer has an entry without node or service" },
		{ "[]", "[]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = instances(rows[i].body);

		assert_string_equal(got, rows[i].message);
	}
}

static void the_last_instance_leaves_its_port(void **state UNUSED)
{
	static const struct {
		const char *instances, *last;
	} rows[] = {
		{ "[]", "none" },
		{ "[{\"id\":\"a\",\"port\":80,\"meta\":{\"k\":\"v\"},\"tags\":[\"t\"]}]",
			"{\"meta\":{\"k\":\"v\"},\"port\":80}" },
		{ "[{\"port\":90,\"meta\":{}},{\"port\":80,\"meta\":{\"k\":\"1\"}},"
		  "{\"port\":80,\"meta\":{\"k\":\"2\"}}]",
			"{\"meta\":{\"k\":\"1\"},\"port\":80}" },
		{ "[{\"port\":0,\"meta\":{}},{\"port\":80,\"meta\":{}}]",
			"{\"meta\":{},\"port\":80}" },
		{ "[{\"port\":0,\"meta\":{}}]", "{\"meta\":{},\"port\":0}" },
		{ "[{\"port\":0,\"meta\":{},\"ports\":[{\"name\":\"http\",\"port\":1}]}]",
			"{\"meta\":{},\"port\":0,\"ports\":[{\"name\":\"http\",\"port\":1}]}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv from = parse(rows[i].instances);
		cleanup_jv jv last = instances_last(from);
		cleanup_free char *got = jv_is_valid(last) ? jvx_dump(last) : xstrdup("none");

		assert_string_equal(got, rows[i].last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_an_instance),
		cmocka_unit_test(what_is_missing_or_null_has_a_default),
		cmocka_unit_test(fields_of_another_kind_harm_nobody),
		cmocka_unit_test(several_ports),
		cmocka_unit_test(equal_facts_are_equal_bytes),
		cmocka_unit_test(an_uid_is_source_node_and_id),
		cmocka_unit_test(the_same_id_on_two_nodes_is_two_instances),
		cmocka_unit_test(status_is_the_worst_check),
		cmocka_unit_test(what_is_not_a_service_of_its_own_is_left_out),
		cmocka_unit_test(a_body_that_is_no_list_of_entries_is_refused_whole),
		cmocka_unit_test(the_last_instance_leaves_its_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
