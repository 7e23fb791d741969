/* api_json: what is left out of the API server's JSON, and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "k8s-apply/api_json.h"

static void check(const char *text, const char *expected)
{
	struct err err = ERR_INIT;
	cleanup_jv jv v = api_json_parse(text, strlen(text), &err);
	cleanup_free char *dump = jv_is_valid(v) ? jvx_dump(v) : xstrdup(err.msg);

	assert_string_equal(dump, expected);
}

static void the_fields_of_managers_are_left_out(void **state UNUSED)
{
	check("{\"a\":{\"fieldsV1\":{\"f:b\":{\"f:}\":{}}},\"c\":1}}",
		"{\"a\":{\"c\":1,\"fieldsV1\":0}}");
	check("[{\"fieldsV1\" : {}},{ \"fieldsV1\":\n{\"x\":[]} }]",
		"[{\"fieldsV1\":0},{\"fieldsV1\":0}]");
	check("{\"fieldsV1\":{\"fieldsV1\":{}}}", "{\"fieldsV1\":0}");
}

static void what_only_looks_like_them_stays(void **state UNUSED)
{
	check("{\"fieldsV1\":\"{}\"}", "{\"fieldsV1\":\"{}\"}");
	check("[\"fieldsV1\",{}]", "[\"fieldsV1\",{}]");
	check("{\"a\":\"\\\"fieldsV1\\\":{\"}", "{\"a\":\"\\\"fieldsV1\\\":{\"}");
	check("{\"fieldsV1 \":{}}", "{\"fieldsV1 \":{}}");
}

static void broken_text_stays_broken(void **state UNUSED)
{
	struct err err = ERR_INIT;
	static const char *const texts[] = { "{\"fieldsV1\":{", "{\"fieldsV1\":{}",
		"{\"fieldsV1\":", "{\"fieldsV1\"", "{\"fieldsV1\":{\"a" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_jv jv v = api_json_parse(texts[i], strlen(texts[i]), &err);

		assert_false(jv_is_valid(v));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fields_of_managers_are_left_out),
		cmocka_unit_test(what_only_looks_like_them_stays),
		cmocka_unit_test(broken_text_stays_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
