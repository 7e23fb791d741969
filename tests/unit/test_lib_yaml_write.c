#include "lib/yaml_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/canon.h"
#include "lib/yaml.h"

static jv parse(const char *json)
{
	struct err err = ERR_INIT;
	jv v = jvx_parse(json, strlen(json), &err);

	assert_true(jv_is_valid(v));
	return v;
}

static char *yaml(jv v)
{
	struct err err = ERR_INIT;
	cleanup_buf struct buf out;

	buf_init(&out, 1u << 24);
	if (yaml_write(v, &out, &err) < 0)
		fail_msg("%s", err.msg);
	return xstrdup(buf_str(&out));
}

static char *canon(jv v)
{
	struct err err = ERR_INIT;
	cleanup_buf struct buf out;

	buf_init(&out, 1u << 24);
	if (canon_write(v, &out, &err) < 0)
		fail_msg("%s", err.msg);
	return xstrdup(buf_str(&out));
}

static void check(const char *json, const char *expected)
{
	cleanup_jv jv v = parse(json);
	cleanup_free char *text = yaml(v);

	assert_string_equal(text, expected);
}

/* Through YAML and back it is the same, by its canonical text. */
static void check_round_trip(jv v)
{
	struct err err = ERR_INIT;
	cleanup_free char *text = yaml(v);
	cleanup_jv jv docs = yaml_parse(text, strlen(text), "written", &err);
	cleanup_jv jv back = jvx_at(docs, 0);
	cleanup_free char *before = canon(v), *after = NULL;

	if (!jv_is_valid(docs) || jvx_length(docs) != 1)
		fail_msg("%s\n%s", err.msg, text);
	after = canon(back);
	assert_string_equal(after, before);
}

static void an_object_is_as_a_person_would_write_it(void **state UNUSED)
{
	check("{\"spec\":{\"ports\":[{\"number\":80,\"name\":\"http\"},{\"number\":9098}],"
	      "\"hosts\":[\"a.consul\"],\"empty\":[],\"none\":{},\"gone\":null},"
	      "\"data\":{\"x\":true},\"metadata\":{\"name\":\"a\",\"labels\":{\"version\":\"v1\"}},"
	      "\"kind\":\"ServiceEntry\",\"apiVersion\":\"networking.istio.io/v1\"}",
		"apiVersion: networking.istio.io/v1\n"
		"kind: ServiceEntry\n"
		"metadata:\n"
		"  labels:\n"
		"    version: v1\n"
		"  name: a\n"
		"data:\n"
		"  x: true\n"
		"spec:\n"
		"  empty: []\n"
		"  hosts:\n"
		"  - a.consul\n"
		"  none: {}\n"
		"  ports:\n"
		"  - name: http\n"
		"    number: 80\n"
		"  - number: 9098\n");
}

static void null_is_written_where_that_is_wanted(void **state UNUSED)
{
	cleanup_jv jv v = parse("{\"a\":null,\"b\":{\"c\":null},\"d\":[null]}");
	struct err err = ERR_INIT;
	cleanup_buf struct buf out;

	buf_init(&out, 1u << 20);
	assert_int_equal(yaml_write_nulls(v, &out, &err), 0);
	assert_string_equal(buf_str(&out), "a: null\nb:\n  c: null\nd:\n- null\n");
	check("{\"a\":null,\"b\":{\"c\":null},\"d\":[null]}", "b: {}\nd:\n- null\n");
}

static void lists_of_lists_nest(void **state UNUSED)
{
	check("{\"a\":[[1,[2]],[],[{\"b\":[3]}]]}", "a:\n"
						    "-\n"
						    "  - 1\n"
						    "  -\n"
						    "    - 2\n"
						    "- []\n"
						    "-\n"
						    "  - b:\n"
						    "    - 3\n");
}

/* Bare only when no reader could take it for anything else. */
static void strings_that_look_like_something_else_are_quoted(void **state UNUSED)
{
	static const char *const quoted[] = { "", "no", "No", "NO", "n", "y", "yes", "on", "off",
		"true", "null", "~", "1", "1.0", "-1", "+1", ".5", "0x1", "0o7", "017", "1e3",
		"1_000", "12:30:45", "10.0.0.1", "2024-01-01", ".inf", ".nan", "nan", "-", "---",
		"- a", "? a", ": a", "a: b", "a:", " a", "a ", "a  b", "a #b", "#a", "&a", "*a",
		"!a", "|", ">", "%a", "@a", "`a", "'a'", "[a", "{a", "a,b", "a]", "=", "<<", "a\\",
		"a\"b", "a\tb", "a\nb", "\xc3\xa9", "a\xe2\x80\xa8z", "a=b", "(a)" };
	static const char *const plain[] = { "a", "v1", "student-service.service.consul",
		"networking.istio.io/v1", "http-80", "MESH_INTERNAL", "a b", "a:b", "nope", "e3" };
	cleanup_free char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(quoted); i++) {
		cleanup_jv jv v = jv_string(quoted[i]);

		text = yaml(v);
		if (text[0] != '"')
			fail_msg("not quoted: %s", text);
		free(TAKE(text));
		check_round_trip(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		cleanup_jv jv v = jv_string(plain[i]);
		cleanup_free char *line = xasprintf("%s\n", plain[i]);

		text = yaml(v);
		assert_string_equal(text, line);
		free(TAKE(text));
		check_round_trip(v);
	}
}

static void what_does_not_print_is_escaped(void **state UNUSED)
{
	check("[\"a\\u0001\\u007f\\u0085\\u2028\\ufeff\\n\\t\\r\\\"\\\\/\"]",
		"- \"a\\u0001\\u007f\\u0085\\u2028\\ufeff\\n\\t\\u000d\\\"\\\\/\"\n");
	check("[\"\\ud83d\\ude00\"]", "- \"\xf0\x9f\x98\x80\"\n");
}

static void numbers_are_as_they_were(void **state UNUSED)
{
	check("[0,-0,80,-5,1e3,0.1,1.5e-7,9007199254740991]", "- 0\n"
							      "- 0\n"
							      "- 80\n"
							      "- -5\n"
							      "- 1000\n"
							      "- 0.1\n"
							      "- 1.5e-07\n"
							      "- 9007199254740991\n");
}

static void check_refused(const char *json, const char *why)
{
	cleanup_jv jv v = parse(json);
	struct err err = ERR_INIT;
	cleanup_buf struct buf out;

	buf_init(&out, 1u << 24);
	assert_int_equal(canon_write(v, &out, &err), -1);
	assert_string_equal(err.msg, why);
	assert_int_equal(err.status, EXIT_BAD_INPUT);
	buf_reset(&out);
	err.status = EXIT_OK;
	/* A key that is too long for the API server is none for YAML. */
	if (strstr(why, "key") == NULL)
		assert_int_equal(yaml_write(v, &out, &err), -1);
}

static void what_would_not_come_back_is_refused(void **state UNUSED)
{
	char key[1100];

	check_refused("{\"spec\":{\"a\":[1,9007199254740993]}}",
		"spec.a[1] is a number that cannot be kept exactly (write it as a string)");
	check_refused("{\"a\":1e300}",
		"a is a number that cannot be kept exactly (write it as a string)");
	check_refused("{\"spec\":{\"a\":\"x\\u0000y\"}}", "spec.a holds a NUL character");
	memset(key, 'k', sizeof(key));
	snprintf(key, sizeof(key), "{\"a\":{\"");
	key[7] = 'k';
	snprintf(key + 1060, sizeof(key) - 1060, "\":1}}");
	check_refused(key, "a has a key of more than 1024 bytes");
}

static void what_is_nested_too_deep_is_refused(void **state UNUSED)
{
	cleanup_jv jv v = jv_array();
	struct err err = ERR_INIT;
	cleanup_buf struct buf out;

	buf_init(&out, 1u << 24);
	for (int i = 0; i < 250; i++)
		v = jv_array_append(jv_array(), jvx_take(&v));
	assert_int_equal(canon_write(v, &out, &err), -1);
	assert_int_equal(yaml_write(v, &out, &err), -1);
}

static void a_limit_is_kept(void **state UNUSED)
{
	cleanup_jv jv v = parse("{\"a\":\"0123456789\"}");
	struct err err = ERR_INIT;

	for (size_t max = 0; max < 18; max++) {
		cleanup_buf struct buf out;

		buf_init(&out, max);
		assert_int_equal(canon_write(v, &out, &err), -1);
		buf_release(&out);
		if (max >= 16)
			continue;
		assert_int_equal(yaml_write(v, &out, &err), -1);
	}
}

static void canonical_json_is_sorted_and_without_nulls(void **state UNUSED)
{
	cleanup_jv jv v =
		parse("{\"b\":[null,1.0],\"a\":{\"z\":null,\"y\":{}},\"c\":\"\\u00e9/\\u0085\"}");
	cleanup_free char *text = canon(v);

	assert_string_equal(text, "{\"a\":{\"y\":{}},\"b\":[null,1],\"c\":\"\xc3\xa9/\\u0085\"}");
}

/* A small generator of its own, so that every run makes the same values. */
static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

static jv random_string(uint64_t *seed)
{
	static const char *const pieces[] = { "a", "no", "1", ":", " ", "#", "-", "\n", "\t", "\"",
		"\\", "'", "[", "{", ",", "e", ".", "0x", "\xc3\xa9", "\xe2\x80\xa8", "\xc2\x85",
		"\xf0\x9f\x98\x80", "\x7f", "\xef\xbb\xbf", "%", "@", "&", "*", "!", "|", ">", "~",
		"\r", "\x01", "true", "null", "=", "<<", "\xef\xbf\xbe" };
	char text[256] = "";
	size_t count = next_random(seed) % 6, len = 0;

	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
			pieces[next_random(seed) % ARRAY_SIZE(pieces)]);
	return jv_string(text);
}

static jv random_value(uint64_t *seed, int depth)
{
	size_t kind = next_random(seed) % (depth > 4 ? 6 : 8);
	jv v;

	switch (kind) {
	case 0:
		return jv_true();
	case 1:
		return jv_false();
	case 2:
		return jv_number((double)next_random(seed) - 1e9);
	case 3:
		return jv_number((double)next_random(seed) / 1024);
	case 4:
	case 5:
		return random_string(seed);
	case 6:
		v = jv_array();
		for (size_t n = next_random(seed) % 4; n > 0; n--)
			jvx_append(&v, random_value(seed, depth + 1));
		return v;
	default:
		v = jv_object();
		for (size_t n = next_random(seed) % 4; n > 0; n--)
			v = jv_object_set(v, random_string(seed), random_value(seed, depth + 1));
		return v;
	}
}

static void any_value_comes_back_as_it_was(void **state UNUSED)
{
	uint64_t seed = 1;

	for (int i = 0; i < 20000; i++) {
		cleanup_jv jv v = random_value(&seed, 0);

		check_round_trip(v);
	}
}

static void a_long_key_comes_back(void **state UNUSED)
{
	cleanup_jv jv v = jv_object();
	char key[1025];

	memset(key, 0x7f, sizeof(key) - 1);
	key[1024] = '\0';
	jvx_set(&v, key, parse("{\"b\":[1,{\"c\":2}]}"));
	jvx_set(&v, "z", jv_number(1));
	check_round_trip(v);
	v = jv_array_append(jv_array(), jvx_take(&v));
	check_round_trip(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_as_a_person_would_write_it),
		cmocka_unit_test(null_is_written_where_that_is_wanted),
		cmocka_unit_test(lists_of_lists_nest),
		cmocka_unit_test(strings_that_look_like_something_else_are_quoted),
		cmocka_unit_test(what_does_not_print_is_escaped),
		cmocka_unit_test(numbers_are_as_they_were),
		cmocka_unit_test(what_would_not_come_back_is_refused),
		cmocka_unit_test(what_is_nested_too_deep_is_refused),
		cmocka_unit_test(a_limit_is_kept),
		cmocka_unit_test(canonical_json_is_sorted_and_without_nulls),
		cmocka_unit_test(any_value_comes_back_as_it_was),
		cmocka_unit_test(a_long_key_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
