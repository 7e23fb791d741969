/*
 * Any bytes as the body of /v1/health/service/NAME: no list of instances, which is said, or
 * instances as docs/meshpipe-records.5 promises them, and always the same ones.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "consul-watch/instance.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static void check_error(const struct err *err)
{
	MUST(err->msg[0] != '\0', "an error without a text");
	for (const char *s = err->msg; *s != '\0'; s++)
		MUST(!iscntrl((unsigned char)*s), "an error that is not printable: %s", err->msg);
}

/* --- one instance */

static void check_number(jv object, const char *name)
{
	cleanup_jv jv v = jvx_get(object, name);

	MUST(jvx_is(v, JV_KIND_NUMBER), "%s is no number", name);
	MUST(isfinite(jv_number_value(v)), "%s is a number that JSON cannot write", name);
}

static void check_kinds(jv instance)
{
	static const struct {
		const char *name;
		jv_kind kind;
	} fields[] = {
		{ "id", JV_KIND_STRING },
		{ "uid", JV_KIND_STRING },
		{ "node", JV_KIND_STRING },
		{ "address", JV_KIND_STRING },
		{ "port", JV_KIND_NUMBER },
		{ "tags", JV_KIND_ARRAY },
		{ "meta", JV_KIND_OBJECT },
		{ "weights", JV_KIND_OBJECT },
		{ "status", JV_KIND_STRING },
		{ "datacenter", JV_KIND_STRING },
		{ "nodeMeta", JV_KIND_OBJECT },
		{ "taggedAddresses", JV_KIND_OBJECT },
		{ "kind", JV_KIND_STRING },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		cleanup_jv jv v = jvx_get(instance, fields[i].name);

		MUST(jvx_is(v, fields[i].kind), "%s is no %s", fields[i].name,
			jv_kind_name(fields[i].kind));
	}
}

static void check_uid(jv instance)
{
	cleanup_jv jv uid = jvx_get(instance, "uid");
	const char *text = jvx_str(uid, "");

	MUST(strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16, "a uid of '%s'", text);
}

static void check_status(jv instance)
{
	cleanup_jv jv status = jvx_get(instance, "status");
	const char *text = jvx_str(status, "");

	MUST(strcmp(text, "passing") == 0 || strcmp(text, "warning") == 0 ||
			strcmp(text, "critical") == 0 || strcmp(text, "maintenance") == 0,
		"a status of '%s'", text);
}

static void check_strings(jv instance, const char *name)
{
	cleanup_jv jv object = jvx_get(instance, name);
	cleanup_jv jv keys = jvx_keys(object);

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv v = jv_object_get(jv_copy(object), jv_copy(key));

		MUST(jvx_is(v, JV_KIND_STRING), "%s has a %s", name, jv_kind_name(jv_get_kind(v)));
	}
}

/* Below zero: a before b. By bytes, as the manual has it; not libjq's own comparison. */
static int compare(jv a, jv b)
{
	int a_len = jv_string_length_bytes(jv_copy(a)), b_len = jv_string_length_bytes(jv_copy(b));
	int order = memcmp(
		jv_string_value(a), jv_string_value(b), (size_t)(a_len < b_len ? a_len : b_len));

	return order != 0 ? order : a_len - b_len;
}

static void check_tags(jv instance)
{
	cleanup_jv jv tags = jvx_get(instance, "tags");
	cleanup_jv jv before = jv_invalid();

	for (int i = 0; i < jvx_length(tags); i++) {
		jv tag = jvx_at(tags, i);

		MUST(jvx_is(tag, JV_KIND_STRING), "a tag that is no string");
		MUST(i == 0 || compare(before, tag) < 0, "tags are not sorted, or not each once");
		jv_free(before);
		before = tag;
	}
}

static void check_ports(jv instance)
{
	cleanup_jv jv ports = jvx_get(instance, "ports");

	MUST(!jv_is_valid(ports) || jvx_length(ports) > 0, "ports are no list");
	for (int i = 0; i < jvx_length(ports); i++) {
		cleanup_jv jv port = jvx_at(ports, i);
		cleanup_jv jv name = jvx_get(port, "name");

		MUST(jvx_is(name, JV_KIND_STRING), "a port without a name");
		check_number(port, "port");
	}
}

static void check_instance(jv instance)
{
	cleanup_jv jv weights = jvx_get(instance, "weights");

	check_kinds(instance);
	check_uid(instance);
	check_status(instance);
	check_number(instance, "port");
	check_number(weights, "passing");
	check_number(weights, "warning");
	check_strings(instance, "meta");
	check_strings(instance, "nodeMeta");
	check_tags(instance);
	check_ports(instance);
}

/* --- all of them */

/* Two that differ in node or id differ in uid too, or one would be taken for the other. */
static void check_order(jv before, jv after)
{
	cleanup_jv jv node_before = jvx_get(before, "node"), node = jvx_get(after, "node");
	cleanup_jv jv id_before = jvx_get(before, "id"), id = jvx_get(after, "id");
	cleanup_jv jv uid_before = jvx_get(before, "uid"), uid = jvx_get(after, "uid");
	int order = compare(node_before, node);

	if (order == 0)
		order = compare(id_before, id);
	MUST(order <= 0, "not sorted by node and id");
	MUST((order == 0) == (compare(uid_before, uid) == 0), "uids that do not tell who is who");
}

static void check_instances(jv instances)
{
	cleanup_jv jv before = jv_invalid();

	MUST(jvx_is(instances, JV_KIND_ARRAY), "instances that are no list");
	for (int i = 0; i < jvx_length(instances); i++) {
		jv instance = jvx_at(instances, i);

		check_instance(instance);
		if (i > 0)
			check_order(before, instance);
		jv_free(before);
		before = instance;
	}
}

static void check_last(jv instances)
{
	cleanup_jv jv last = instances_last(instances);
	cleanup_jv jv meta = jvx_get(last, "meta");

	if (jvx_length(instances) == 0) {
		MUST(!jv_is_valid(last), "the last of none");
		return;
	}
	MUST(jvx_is(meta, JV_KIND_OBJECT), "the last one has no meta");
	check_number(last, "port");
}

static jv reversed(jv array)
{
	jv to = jv_array();

	for (int i = jvx_length(array) - 1; i >= 0; i--)
		jvx_append(&to, jvx_at(array, i));
	return to;
}

static void check_same(
	jv body, const struct selection *selection, const char *text, const char *what)
{
	struct err err = ERR_INIT;
	cleanup_jv jv instances = instances_from_health(body, "dc1", selection, &err);
	cleanup_free char *again = NULL;

	MUST(jvx_is(instances, JV_KIND_ARRAY), "%s: %s", what, err.msg);
	again = jvx_dump(instances);
	MUST(strcmp(text, again) == 0, "%s: other instances\n%s\n%s", what, text, again);
}

static void check_body(jv body, const struct selection *selection)
{
	struct err err = ERR_INIT;
	cleanup_jv jv instances = instances_from_health(body, "dc1", selection, &err);
	cleanup_jv jv back = reversed(body);
	cleanup_free char *text = NULL;

	if (!jvx_is(instances, JV_KIND_ARRAY)) {
		MUST(jvx_is(instances, JV_KIND_INVALID), "neither instances nor invalid");
		check_error(&err);
		snprintf(fuzz_outcome, sizeof(fuzz_outcome), "no instances: %.500s", err.msg);
		return;
	}
	check_instances(instances);
	check_last(instances);
	text = jvx_dump(instances);
	check_same(body, selection, text, "the same body");
	check_same(back, selection, text, "another order of entries");
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s", text);
}

static void check_selected(jv body, const struct selection_config *config)
{
	struct err err = ERR_INIT;
	struct selection *selection = selection_open(config, &err);

	MUST(selection != NULL, "no selection: %s", err.msg);
	check_body(body, selection);
	selection_close(selection);
}

/* The outcome is that of a consul-watch without options. */
static void check_all(jv body)
{
	const char *any = "any", *tag = "v1", *meta = "a=b";
	const struct selection_config everything = {
		.kinds = { &any, 1 },
		.from_kubernetes = true,
	};
	const struct selection_config some = {
		.tags = { &tag, 1 },
		.node_meta = { &meta, 1 },
		.kinds = { &any, 1 },
		.opt_in = "x",
	};
	const struct selection_config typical = { .filter = NULL };

	check_selected(body, &everything);
	check_selected(body, &some);
	check_selected(body, &typical);
}

static bool is_json(const char *text, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_jv jv body = jvx_parse(text, size, &err);

	if (jv_is_valid(body))
		return true;
	check_error(&err);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "no JSON: %.500s", err.msg);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_jv jv body = jv_invalid();
	bool json;

	fuzz_leaks_begin();
	json = is_json((const char *)data, size);
	fuzz_leaks_end();
	if (json) {
		body = jvx_parse((const char *)data, size, &err);
		check_all(body);
	}
	return 0;
}
