#include "consul-watch/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LIST(...)                                                                                  \
	{                                                                                          \
		.item = (const char *[]){ __VA_ARGS__ },                                           \
		.count = sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *)            \
	}

static struct selection *open_selection(const struct selection_config *config)
{
	struct err err = ERR_INIT;
	struct selection *s = selection_open(config, &err);

	if (s == NULL)
		fail_msg("%s", err.msg);
	return s;
}

static bool takes(const struct selection *s, const char *entry)
{
	struct err err = ERR_INIT;
	cleanup_jv jv v = jvx_parse(entry, strlen(entry), &err);

	if (!jv_is_valid(v))
		fail_msg("%s: %s", entry, err.msg);
	return selection_takes_entry(s, v);
}

static char *scope(const struct selection_config *config)
{
	struct selection *s = open_selection(config);
	struct buf words;
	char *copy;

	buf_init(&words, 4096);
	assert_int_equal(selection_describe(s, &words), 0);
	copy = xstrdup(buf_str(&words));
	buf_release(&words);
	selection_close(s);
	return copy;
}

static void names(void **state UNUSED)
{
	const struct {
		struct selection_config config;
		const char *name;
		bool in;
	} rows[] = {
		{ { .filter = NULL }, "web", true },
		{ { .filter = NULL }, "consul", false },
		{ { .services = LIST("web") }, "web", true },
		{ { .services = LIST("web") }, "web-2", false },
		{ { .services = LIST("web-*") }, "web-2", true },
		{ { .services = LIST("web", "[ab]pi") }, "api", true },
		{ { .services = LIST("web", "[ab]pi") }, "cpi", false },
		{ { .services = LIST("*") }, "consul", true },
		{ { .services = LIST("consul") }, "consul", true },
		{ { .services = LIST("") }, "web", false },
		{ { .excluded = LIST("web") }, "web", false },
		{ { .excluded = LIST("web") }, "api", true },
		{ { .excluded = LIST("web") }, "consul", false },
		{ { .excluded = LIST("a*", "b*") }, "bus", false },
		{ { .services = LIST("web-*"), .excluded = LIST("*-test") }, "web-test", false },
		{ { .services = LIST("web-*"), .excluded = LIST("*-test") }, "web-2", true },
		{ { .services = LIST("web"), .excluded = LIST("web") }, "web", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct selection *s = open_selection(&rows[i].config);

		if (selection_takes_name(s, rows[i].name) != rows[i].in)
			fail_msg("row %zu: %s", i, rows[i].name);
		selection_close(s);
	}
}

#define PROXY	"{\"Node\":{},\"Service\":{\"Kind\":\"connect-proxy\"}}"
#define GATEWAY "{\"Node\":{},\"Service\":{\"Kind\":\"api-gateway\"}}"
#define PLAIN	"{\"Node\":{},\"Service\":{\"Kind\":\"\"}}"
#define OLD	"{\"Node\":{},\"Service\":{}}"
#define SYNCED	"{\"Node\":{},\"Service\":{\"Meta\":{\"external-source\":\"kubernetes\"}}}"
#define NOMAD	"{\"Node\":{},\"Service\":{\"Meta\":{\"external-source\":\"nomad\"}}}"
#define TAGGED	"{\"Node\":{},\"Service\":{\"Tags\":[\"b\",\"a\",\"in=true\"]}}"
#define META	"{\"Node\":{\"Meta\":{\"in\":\"false\"}},\"Service\":{\"Meta\":{\"in\":\"true\"}}}"
#define NODE	"{\"Node\":{\"Meta\":{\"rack\":\"7\",\"os\":\"\",\"in\":\"true\"}},\"Service\":{}}"

static void entries(void **state UNUSED)
{
	const struct {
		struct selection_config config;
		const char *entry;
		bool in;
	} rows[] = {
		{ { .filter = NULL }, PLAIN, true },
		{ { .filter = NULL }, OLD, true },
		{ { .filter = NULL }, PROXY, false },
		{ { .filter = NULL }, GATEWAY, false },
		{ { .filter = NULL }, SYNCED, false },
		{ { .filter = NULL }, NOMAD, true },
		{ { .filter = NULL }, TAGGED, true },

		{ { .kinds = LIST("typical") }, PLAIN, true },
		{ { .kinds = LIST("typical") }, OLD, true },
		{ { .kinds = LIST("typical") }, PROXY, false },
		{ { .kinds = LIST("connect-proxy") }, PROXY, true },
		{ { .kinds = LIST("connect-proxy") }, PLAIN, false },
		{ { .kinds = LIST("connect-proxy") }, GATEWAY, false },
		{ { .kinds = LIST("connect-proxy", "api-gateway") }, GATEWAY, true },
		{ { .kinds = LIST("any") }, GATEWAY, true },
		{ { .kinds = LIST("any") }, OLD, true },
		{ { .kinds = LIST("any") }, SYNCED, false },
		{ { .kinds = LIST("any") }, "{\"Service\":{\"Kind\":\"of-the-future\"}}", true },

		{ { .from_kubernetes = true }, SYNCED, true },
		{ { .from_kubernetes = true }, PLAIN, true },
		{ { .from_kubernetes = true }, PROXY, false },

		{ { .tags = LIST("a") }, TAGGED, true },
		{ { .tags = LIST("a", "b") }, TAGGED, true },
		{ { .tags = LIST("a", "c") }, TAGGED, false },
		{ { .tags = LIST("A") }, TAGGED, false },
		{ { .tags = LIST("a") }, PLAIN, false },
		{ { .tags = LIST("a") }, "{\"Service\":{\"Tags\":null}}", false },
		{ { .tags = LIST("a") }, "{\"Service\":{\"Tags\":[7,\"a\\u0000b\"]}}", false },

		{ { .node_meta = LIST("rack=7") }, NODE, true },
		{ { .node_meta = LIST("rack=7", "os=") }, NODE, true },
		{ { .node_meta = LIST("rack=8") }, NODE, false },
		{ { .node_meta = LIST("rack=7", "arch=arm") }, NODE, false },
		{ { .node_meta = LIST("arch=") }, NODE, false },
		{ { .node_meta = LIST("in=true") }, META, false },
		{ { .node_meta = LIST("rack=7") }, PLAIN, false },

		{ { .opt_in = "in=true" }, TAGGED, true },
		{ { .opt_in = "in" }, TAGGED, true },
		{ { .opt_in = "in=true" }, META, true },
		{ { .opt_in = "in" }, META, true },
		{ { .opt_in = "in=yes" }, META, false },
		{ { .opt_in = "in=yes" }, TAGGED, false },
		{ { .opt_in = "in" }, NODE, false },
		{ { .opt_in = "in" }, PLAIN, false },
		{ { .opt_in = "a" }, TAGGED, false },

		{ { .tags = LIST("a"), .opt_in = "in" }, TAGGED, true },
		{ { .tags = LIST("a"), .opt_in = "in" }, META, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct selection *s = open_selection(&rows[i].config);

		if (takes(s, rows[i].entry) != rows[i].in)
			fail_msg("row %zu: %s", i, rows[i].entry);
		selection_close(s);
	}
}

static void entries_of_any_shape_harm_nobody(void **state UNUSED)
{
	static const char *const values[] = { "null", "true", "7", "\"x\"", "[1]", "{\"a\":1}" };
	struct selection_config config = { .tags = LIST("x"),
		.node_meta = LIST("a=1"),
		.kinds = LIST("connect-proxy"),
		.opt_in = "a=1" };
	struct selection *s = open_selection(&config);

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		cleanup_free char *inner =
			xasprintf("{\"Node\":{\"Meta\":%s},\"Service\":{\"Kind\":%s,\"Meta\":%s,"
				  "\"Tags\":%s}}",
				values[i], values[i], values[i], values[i]);
		cleanup_free char *outer =
			xasprintf("{\"Node\":%s,\"Service\":%s}", values[i], values[i]);

		assert_false(takes(s, inner));
		assert_false(takes(s, outer));
		assert_false(takes(s, values[i]));
	}
	selection_close(s);
}

static void the_filter_is_the_servers(void **state UNUSED)
{
	struct selection_config config = { .filter = "Service.Port == 1" };
	struct selection *s = open_selection(&config);

	assert_string_equal(selection_filter(s), "Service.Port == 1");
	assert_true(takes(s, PLAIN));
	selection_close(s);
	config.filter = NULL;
	s = open_selection(&config);
	assert_null(selection_filter(s));
	selection_close(s);
}

static void what_is_malformed_is_refused(void **state UNUSED)
{
	cleanup_free char *long_filter = xcalloc(20000, 1);
	struct {
		struct selection_config config;
		const char *message;
	} rows[] = {
		{ { .node_meta = LIST("rack=7", "rack") },
			"option '--node-meta': 'rack' is not KEY=VALUE" },
		{ { .node_meta = LIST("=7", "rack=7") },
			"option '--node-meta': '=7' is not KEY=VALUE" },
		{ { .node_meta = LIST("") }, "option '--node-meta': '' is not KEY=VALUE" },
		{ { .opt_in = "" }, "option '--opt-in': '' is not KEY=VALUE" },
		{ { .opt_in = "=true" }, "option '--opt-in': '=true' is not KEY=VALUE" },
		{ { .tags = LIST("a", "") }, "option '--tag': the tag is empty" },
		{ { .filter = "" }, "option '--filter': the expression is empty" },
		{ { .filter = long_filter },
			"option '--filter': the expression is longer than 16384 bytes" },
		{ { .kinds = LIST("any", "proxy") },
			"option '--kind': 'proxy' is not typical, connect-proxy, mesh-gateway, "
			"terminating-gateway, ingress-gateway, api-gateway or any" },
		{ { .kinds = LIST("") },
			"option '--kind': '' is not typical, connect-proxy, mesh-gateway, "
			"terminating-gateway, ingress-gateway, api-gateway or any" },
	};

	memset(long_filter, 'x', 16385);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;

		assert_null(selection_open(&rows[i].config, &err));
		assert_int_equal(err.status, EXIT_USAGE);
		assert_string_equal(err.msg, rows[i].message);
	}
}

static void the_scope_says_what_is_selected(void **state UNUSED)
{
	const struct {
		struct selection_config config;
		const char *words;
	} rows[] = {
		{ { .filter = NULL }, ", all services" },
		{ { .services = LIST("web") }, ", services web" },
		{ { .services = LIST("web", "api", "web") }, ", services api web" },
		{ { .services = LIST("a b", "", "say \"hi\"", "back\\slash", "x,", "t\t") },
			", services \"\" \"a b\" \"back\\\\slash\" \"say \\\"hi\\\"\" \"t\\t\" "
			"\"x,\"" },
		{ { .excluded = LIST("b", "a") }, ", all services, without a b" },
		{ { .tags = LIST("v2", "eu", "v2") }, ", all services, tags eu v2" },
		{ { .node_meta = LIST("rack=7", "os=linux") },
			", all services, node-meta os=linux rack=7" },
		{ { .kinds = LIST("typical") }, ", all services" },
		{ { .kinds = LIST("typical", "connect-proxy") },
			", all services, kinds connect-proxy typical" },
		{ { .kinds = LIST("typical", "any") }, ", all services, kinds any" },
		{ { .opt_in = "meshpipe" }, ", all services, opt-in meshpipe=true" },
		{ { .opt_in = "meshpipe=true" }, ", all services, opt-in meshpipe=true" },
		{ { .filter = "Service.Port == 1" },
			", all services, filter \"Service.Port == 1\"" },
		{ { .from_kubernetes = true }, ", all services, from-kubernetes" },
		{ { .services = LIST("web"),
			  .excluded = LIST("x"),
			  .tags = LIST("t"),
			  .node_meta = LIST("a=1"),
			  .kinds = LIST("any"),
			  .filter = "Port==1",
			  .opt_in = "in",
			  .from_kubernetes = true },
			", services web, without x, tags t, node-meta a=1, kinds any, "
			"opt-in in=true, filter Port==1, from-kubernetes" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = scope(&rows[i].config);

		assert_string_equal(got, rows[i].words);
	}
}

/* Two catalogues of one scope empty each other. */
static void other_selections_are_other_words(void **state UNUSED)
{
	const struct selection_config configs[] = {
		{ .filter = NULL },
		{ .services = LIST("all") },
		{ .services = LIST("a"), .tags = LIST("z") },
		{ .services = LIST("a,", "tags", "z") },
		{ .services = LIST("a", ", tags z") },
		{ .services = LIST("a, tags z") },
		{ .tags = LIST("a", "b") },
		{ .tags = LIST("a b") },
		{ .tags = LIST("\"a b\"") },
		{ .tags = LIST("x, from-kubernetes") },
		{ .tags = LIST("x"), .from_kubernetes = true },
		{ .opt_in = "x=true" },
		{ .opt_in = "x=true, from-kubernetes" },
		{ .opt_in = "x", .from_kubernetes = true },
		{ .kinds = LIST("any") },
		{ .kinds = LIST("connect-proxy") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		for (size_t j = 0; j < i; j++) {
			cleanup_free char *a = scope(&configs[i]), *b = scope(&configs[j]);

			assert_string_not_equal(a, b);
		}
	}
}

static void a_scope_that_does_not_fit_is_an_error(void **state UNUSED)
{
	struct selection_config config = { .services = LIST("a-long-name") };
	struct selection *s = open_selection(&config);
	struct buf words;

	buf_init(&words, 12);
	assert_int_equal(selection_describe(s, &words), -1);
	buf_release(&words);
	selection_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(entries),
		cmocka_unit_test(entries_of_any_shape_harm_nobody),
		cmocka_unit_test(the_filter_is_the_servers),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(the_scope_says_what_is_selected),
		cmocka_unit_test(other_selections_are_other_words),
		cmocka_unit_test(a_scope_that_does_not_fit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
