#include "lib/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"

static char *to_json(const char *text)
{
	struct err err = ERR_INIT;
	cleanup_jv jv docs = yaml_parse(text, strlen(text), "f.yaml", &err);

	return jv_is_valid(docs) ? jvx_dump(docs) : xasprintf("error: %s", err.msg);
}

static void scalars_are_those_of_yaml_1_2(void **state UNUSED)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "x", "\"x\"" },
		{ "", "null" },
		{ "~", "null" },
		{ "Null", "null" },
		{ "nULL", "\"nULL\"" },
		{ "true", "true" },
		{ "FALSE", "false" },
		{ "tRUE", "\"tRUE\"" },
		/* Booleans in YAML 1.1: the country, the switch, the letter. */
		{ "no", "\"no\"" },
		{ "on", "\"on\"" },
		{ "y", "\"y\"" },
		/* Octal in YAML 1.1. */
		{ "012", "12" },
		{ "0o14", "12" },
		{ "0x1F", "31" },
		{ "0xg", "\"0xg\"" },
		{ "0x", "\"0x\"" },
		{ "-7", "-7" },
		{ "+7", "7" },
		{ "1.5", "1.5" },
		{ ".5", "0.5" },
		{ "1e3", "1000" },
		{ "1e", "\"1e\"" },
		{ "1.2.3", "\"1.2.3\"" },
		{ "-", "[null]" },
		{ "1_000", "\"1_000\"" },
		/* Base 60 in YAML 1.1. */
		{ "10:30", "\"10:30\"" },
		{ "2024-01-02", "\"2024-01-02\"" },
		{ ".inf", "\".inf\"" },
		{ "1e999", "\"1e999\"" },
		{ "9007199254740991", "9007199254740991" },
		{ "-9007199254740991", "-9007199254740991" },
		{ "9007199254740993", "\"9007199254740993\"" },
		{ "-9007199254740993", "\"-9007199254740993\"" },
		{ "12345678901234567890", "\"12345678901234567890\"" },
		{ "0x20000000000001", "\"0x20000000000001\"" },
		{ "0xffffffffffffffffff", "\"0xffffffffffffffffff\"" },
		{ "\"8080\"", "\"8080\"" },
		{ "'true'", "\"true\"" },
		{ "!!int '8080'", "8080" },
		{ "!!str x", "\"x\"" },
		{ "|\n  a\n  b\n", "\"a\\nb\\n\"" },
		{ ">-\n  a\n  b\n", "\"a b\"" },
		{ "\"\\u00e9\\n\"", "\"\xc3\xa9\\n\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *yaml = xasprintf("k: %s\n", rows[i].yaml);
		cleanup_free char *expected = xasprintf("[{\"k\":%s}]", rows[i].json);
		cleanup_free char *got = NULL;

		if (strcmp(rows[i].yaml, "-") == 0) {
			free(yaml);
			yaml = xstrdup("k:\n  -\n");
		}
		got = to_json(yaml);
		assert_string_equal(got, expected);
	}
}

static void documents_lists_and_anchors(void **state UNUSED)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "", "[]" },
		{ "# a comment\n", "[]" },
		{ "---\n", "[null]" },
		{ "a: 1\n---\nb: [1, {c: d}]\n", "[{\"a\":1},{\"b\":[1,{\"c\":\"d\"}]}]" },
		{ "{\"a\": [1, \"x\", null]}", "[{\"a\":[1,\"x\",null]}]" },
		{ "a: &x {b: 1}\nc: *x\n", "[{\"a\":{\"b\":1},\"c\":{\"b\":1}}]" },
		{ "80: http\ntrue: x\n", "[{\"80\":\"http\",\"true\":\"x\"}]" },
		{ "- 1\n- - 2\n  - 3\n", "[[1,[2,3]]]" },
		{ "\xef\xbb\xbf"
		  "a: 1\n",
			"[{\"a\":1}]" },
		{ "a: 1\r\nb: 2\r\n", "[{\"a\":1,\"b\":2}]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = to_json(rows[i].yaml);

		assert_string_equal(got, rows[i].json);
	}
}

static void errors_name_line_and_column(void **state UNUSED)
{
	static const struct {
		const char *yaml, *message;
	} rows[] = {
		{ "a: 1\nb: [1, 2\n", "error: f.yaml:3:1: did not find expected ',' or ']'" },
		{ "a: 1\n a: 2\n", "error: f.yaml:2:3: mapping values are not allowed" },
		{ "a: 1\nb: 2\na: 3\n", "error: f.yaml:3:1: a key that is there already" },
		{ "a: 1\n\"a\": 3\n", "error: f.yaml:2:1: a key that is there already" },
		{ "a: !ruby/object x\n", "error: f.yaml:1:4: an unknown tag" },
		{ "a:\n  ? [1]\n  : x\n", "error: f.yaml:2:5: a key that is not a scalar" },
		{ "a: \"x\\0y\"\n", "error: f.yaml:1:4: a NUL character" },
		{ "\"a\\0b\": 1\n", "error: f.yaml:1:1: a NUL character" },
		{ "a: *nobody\n", "error: f.yaml:1:4: found undefined alias" },
		{ "a:\tb: c\n\t- x", "error: f.yaml:" },
		{ "a: \xff\xfe\n", "error: f.yaml:" },
		{ "ok: 1\n---\n- }\n", "error: f.yaml:3:3: " },
		{ "a: &x [*x]\n", "error: f.yaml:1:4: too deep, or too many nodes by aliases" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		cleanup_free char *got = to_json(rows[i].yaml);
		jv docs = yaml_parse(rows[i].yaml, strlen(rows[i].yaml), "f.yaml", &err);

		if (strncmp(got, rows[i].message, strlen(rows[i].message)) != 0)
			assert_string_equal(got, rows[i].message);
		assert_null(strchr(got, '\n'));
		assert_false(jv_is_valid(docs));
		jv_free(docs);
		assert_int_equal(err.status, EXIT_CONFIG);
	}
}

static void depth_has_a_limit(void **state UNUSED)
{
	static const struct {
		size_t depth;
		bool good;
	} rows[] = { { 900, true }, { 1100, false }, { 5000, false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		cleanup_free char *text = xcalloc(1, 2 * rows[i].depth + 1);
		jv docs;

		memset(text, '[', rows[i].depth);
		memset(text + rows[i].depth, ']', rows[i].depth);
		docs = yaml_parse(text, 2 * rows[i].depth, "f", &err);
		assert_int_equal(jv_is_valid(docs), rows[i].good);
		jv_free(docs);
	}
}

/* Nine levels of nine aliases are 387 million nodes from 500 bytes. */
static void aliases_of_aliases_are_counted(void **state UNUSED)
{
	static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x]\n"
				     "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
				     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
				     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
				     "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
				     "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
				     "h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"
				     "i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h]\n";
	cleanup_free char *got = to_json(laughs);

	assert_non_null(strstr(got, "too many nodes by aliases"));
}

/* libyaml alone takes minutes for this. */
static void half_a_million_brackets_are_refused_at_once(void **state UNUSED)
{
	size_t count = 500000;
	cleanup_free char *text = xcalloc(1, count + 1);
	int64_t start_ms = steady_ms();
	cleanup_free char *got = NULL;

	memset(text, '[', count);
	got = to_json(text);
	assert_string_equal(got, "error: f.yaml:1:1001: too deep");
	assert_true(steady_ms() - start_ms < 20000);
}

/* Many, side by side and not within each other. */
static void brackets_that_are_closed_are_no_depth(void **state UNUSED)
{
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;
	cleanup_jv jv docs = jv_invalid();
	cleanup_jv jv list = jv_invalid();

	buf_init(&text, 1u << 20);
	assert_int_equal(buf_adds(&text, "["), 0);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(buf_adds(&text, "[],"), 0);
	assert_int_equal(buf_adds(&text, "]"), 0);
	docs = yaml_parse(buf_str(&text), text.len, "f", &err);
	list = jvx_at(docs, 0);
	assert_int_equal(jvx_length(list), 5000);
}

/* A path in JSON, where its value stands, and where its key does. */
static void check_position(const char *text, const char *path, const char *value, const char *key)
{
	struct err err = ERR_INIT;
	cleanup_jv jv steps = jvx_parse(path, strlen(path), &err);
	struct yaml_position at;
	char got[64];

	assert_true(jvx_is(steps, JV_KIND_ARRAY));
	yaml_position(text, strlen(text), steps, false, &at);
	snprintf(got, sizeof(got), "%zu:%zu", at.line, at.column);
	assert_string_equal(got, value);
	yaml_position(text, strlen(text), steps, true, &at);
	snprintf(got, sizeof(got), "%zu:%zu", at.line, at.column);
	assert_string_equal(got, key);
}

static void where_a_value_stands(void **state UNUSED)
{
	static const char text[] = "# comment\n"
				   "a: &x\n"
				   "  b: [1, {c: 2}]\n"
				   "\"quoted key\":   |\n"
				   "  text\n"
				   "d: *x\n"
				   "\xc3\xa9: \xc3\xa9\xc3\xa9\n"
				   "e: [[], [\xc3\xa9, x]]\n";

	check_position(text, "[]", "2:1", "2:1");
	check_position(text, "[\"a\"]", "2:4", "2:1");
	check_position(text, "[\"a\",\"b\"]", "3:6", "3:3");
	check_position(text, "[\"a\",\"b\",0]", "3:7", "3:7");
	check_position(text, "[\"a\",\"b\",1,\"c\"]", "3:14", "3:11");
	check_position(text, "[\"quoted key\"]", "4:17", "4:1");
	check_position(text, "[\"d\",\"b\"]", "3:6", "3:3");
	check_position(text, "[\"\xc3\xa9\"]", "7:4", "7:1");
	check_position(text, "[\"e\",1,1]", "8:13", "8:13");
	/* As far as it goes. */
	check_position(text, "[\"none\"]", "2:1", "2:1");
	check_position(text, "[\"a\",\"b\",2]", "3:6", "3:3");
	check_position(text, "[\"a\",\"b\",-1]", "3:6", "3:3");
	check_position(text, "[\"a\",0]", "2:4", "2:1");
	check_position(text, "[\"a\",\"b\",0,\"c\"]", "3:7", "3:7");
	check_position("", "[\"a\"]", "1:1", "1:1");
	check_position("a: [", "[\"a\"]", "1:1", "1:1");
}

static void a_file_that_cannot_be_read_is_said(void **state UNUSED)
{
	struct err err = ERR_INIT;
	jv docs = yaml_parse_file("/nonexistent/x.yaml", &err);

	assert_false(jv_is_valid(docs));
	jv_free(docs);
	assert_int_equal(err.status, EXIT_CONFIG);
	assert_string_equal(
		err.msg, "cannot read '/nonexistent/x.yaml': No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_are_those_of_yaml_1_2),
		cmocka_unit_test(documents_lists_and_anchors),
		cmocka_unit_test(errors_name_line_and_column),
		cmocka_unit_test(depth_has_a_limit),
		cmocka_unit_test(aliases_of_aliases_are_counted),
		cmocka_unit_test(half_a_million_brackets_are_refused_at_once),
		cmocka_unit_test(brackets_that_are_closed_are_no_depth),
		cmocka_unit_test(where_a_value_stands),
		cmocka_unit_test(a_file_that_cannot_be_read_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
