#include "lib/jvx.h"

#include <math.h>
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

/* One of each kind: libjq aborts where these give the default. */
static const char *const of_each_kind[] = { "null", "true", "false", "1.5", "\"text\"", "[1]",
	"{\"k\":1}" };

static void any_kind_may_be_asked_for_anything(void **state UNUSED)
{
	for (size_t i = 0; i <= ARRAY_SIZE(of_each_kind); i++) {
		bool none = i == ARRAY_SIZE(of_each_kind);
		cleanup_jv jv v = none ? jv_invalid() : parse(of_each_kind[i]);
		cleanup_jv jv missing = jvx_get(v, "missing");
		cleanup_jv jv beyond = jvx_at(v, 1);
		cleanup_jv jv before = jvx_at(v, -1);
		cleanup_jv jv keys = jvx_keys(v);
		cleanup_free char *text = jvx_dup_field(v, "missing");

		assert_false(jv_is_valid(missing));
		assert_false(jv_is_valid(beyond));
		assert_false(jv_is_valid(before));
		assert_int_equal(
			jvx_length(v), jvx_is(v, JV_KIND_ARRAY) || jvx_is(v, JV_KIND_OBJECT));
		assert_int_equal(jvx_length(keys), jvx_is(v, JV_KIND_OBJECT));
		assert_string_equal(
			jvx_str(v, "default"), jvx_is(v, JV_KIND_STRING) ? "text" : "default");
		assert_null(text);
		assert_true(fabs(jvx_num_field(v, "missing", 7) - 7) < 0.1);
		assert_false(jvx_field_is(v, "missing", ""));
		if (!none) {
			cleanup_free char *dumped = jvx_dump(v);

			assert_string_equal(dumped, of_each_kind[i]);
		}
	}
}

static void fields_of_another_kind_give_the_default(void **state UNUSED)
{
	cleanup_jv jv v = parse("{\"s\":\"x\",\"n\":8080,\"nul\":\"a\\u0000b\",\"o\":{}}");
	cleanup_free char *s = jvx_dup_field(v, "s"), *n = jvx_dup_field(v, "n");
	cleanup_free char *nul = jvx_dup_field(v, "nul");

	assert_string_equal(s, "x");
	assert_null(n);
	assert_null(nul);
	assert_int_equal((int)jvx_num_field(v, "n", 1), 8080);
	assert_int_equal((int)jvx_num_field(v, "s", 1), 1);
	assert_true(jvx_field_is(v, "s", "x"));
	assert_false(jvx_field_is(v, "s", "y"));
	assert_false(jvx_field_is(v, "n", "8080"));
}

static void values_are_built_in_place(void **state UNUSED)
{
	cleanup_jv jv v = jv_object();
	cleanup_jv jv list = jv_array();
	cleanup_jv jv shared = jv_copy(v);
	cleanup_free char *text = NULL, *unchanged = NULL;

	jvx_append(&list, jv_number(1));
	jvx_append(&list, jv_string("two"));
	jvx_set(&v, "list", jv_copy(list));
	jvx_set_str(&v, "b", "x");
	jvx_set_str(&v, "b", "y");
	text = jvx_dump(v);
	assert_string_equal(text, "{\"b\":\"y\",\"list\":[1,\"two\"]}");
	/* Another holder of the same value does not see it. */
	unchanged = jvx_dump(shared);
	assert_string_equal(unchanged, "{}");
}

static void take_leaves_an_invalid_value(void **state UNUSED)
{
	jv a = jv_string("x");
	cleanup_jv jv b = jvx_take(&a);

	assert_false(jv_is_valid(a));
	assert_string_equal(jvx_str(b, ""), "x");
}

static void the_same_value_is_the_same_bytes(void **state UNUSED)
{
	cleanup_jv jv a =
		parse("{\"b\":{\"z\":1,\"y\":[{\"q\":1,\"p\":2}]},\"a\":1.0,\"\\u00e9\":0}");
	cleanup_jv jv b =
		parse(" { \"\\u00e9\" : 0,\n\"a\":1, \"b\":{\"y\":[{\"p\":2,\"q\":1}],\"z\":1}} ");
	cleanup_free char *ta = jvx_dump(a), *tb = jvx_dump(b);
	cleanup_jv jv keys = jvx_keys(a);
	cleanup_free char *tk = jvx_dump(keys);

	assert_string_equal(ta, tb);
	assert_string_equal(
		ta, "{\"a\":1,\"b\":{\"y\":[{\"p\":2,\"q\":1}],\"z\":1},\"\xc3\xa9\":0}");
	assert_string_equal(tk, "[\"a\",\"b\",\"\xc3\xa9\"]");
}

static void what_is_not_exactly_one_json_text_is_refused(void **state UNUSED)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{ "", 0 },
		{ "   ", 3 },
		{ "{", 1 },
		{ "[1,", 3 },
		{ "[1] [2]", 7 },
		{ "[1]]", 4 },
		{ "[1] x", 5 },
		{ "{\"a\" 1}", 7 },
		{ "<html>", 6 },
		{ "tru", 3 },
		{ "\"abc", 4 },
		{ "'a'", 3 },
		{ "[1]\0[2]", 7 },
		{ "\0", 1 },
		{ "[1\0]", 4 },
	};
	cleanup_free char *deep = xcalloc(1, 20001);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		jv v = jvx_parse(rows[i].text, rows[i].len, &err);

		if (jv_is_valid(v))
			fail_msg("taken: '%s'", rows[i].text);
		jv_free(v);
		assert_int_equal(err.status, EXIT_BAD_INPUT);
		assert_memory_equal(err.msg, "not JSON: ", 10);
		assert_null(strchr(err.msg, '\n'));
	}
	/* Neither a crash nor a stack without end. */
	for (size_t depth = 100; depth <= 10000; depth *= 10) {
		struct err err = ERR_INIT;
		jv v;

		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		v = jvx_parse(deep, 2 * depth, &err);
		assert_int_equal(jv_is_valid(v), depth == 100);
		jv_free(v);
	}
}

static void the_message_does_not_repeat_the_text(void **state UNUSED)
{
	struct err err = ERR_INIT;
	const char *text = "{\"token\": \"a secret that is long enough to see\"";
	jv v = jvx_parse(text, strlen(text), &err);

	assert_false(jv_is_valid(v));
	jv_free(v);
	assert_null(strstr(err.msg, "secret"));
}

static void trailing_blanks_are_allowed(void **state UNUSED)
{
	cleanup_jv jv v = parse(" {\"a\":1} \r\n\t");

	assert_int_equal(jvx_length(v), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_kind_may_be_asked_for_anything),
		cmocka_unit_test(fields_of_another_kind_give_the_default),
		cmocka_unit_test(values_are_built_in_place),
		cmocka_unit_test(take_leaves_an_invalid_value),
		cmocka_unit_test(the_same_value_is_the_same_bytes),
		cmocka_unit_test(what_is_not_exactly_one_json_text_is_refused),
		cmocka_unit_test(the_message_does_not_repeat_the_text),
		cmocka_unit_test(trailing_blanks_are_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
