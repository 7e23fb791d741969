#include "mesh-map/test_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define RECORD "{\"type\":\"service\",\"instances\":[]}\n"

static struct test_file *parse(const char *text)
{
	struct err err = ERR_INIT;
	struct test_file *f = test_file_parse("f.test", text, strlen(text), &err);

	if (f == NULL)
		print_error("%s\n", err.msg);
	assert_non_null(f);
	return f;
}

static void assert_json(jv v, const char *json)
{
	cleanup_free char *text = jvx_dump(v);

	assert_string_equal(text, json);
}

static void functions_are_as_in_jq(void **state UNUSED)
{
	struct test_file *f = parse("# comment\n"
				    ".[]\n"
				    "[1, 2]\n"
				    "1\n"
				    "  # comments may stand anywhere\n"
				    "2\n"
				    "\n"
				    "\n"
				    "\tempty\r\n"
				    "null\r\n"
				    "\r\n"
				    "last\n"
				    "3");

	assert_int_equal(f->n_tests, 3);
	assert_int_equal(f->tests[0]->kind, TEST_FUNCTION);
	assert_int_equal(f->tests[0]->line, 2);
	assert_string_equal(f->tests[0]->program, ".[]");
	assert_json(f->tests[0]->input, "[1,2]");
	assert_json(f->tests[0]->expected, "[1,2]");
	assert_int_equal(f->tests[1]->line, 9);
	assert_string_equal(f->tests[1]->program, "empty");
	assert_json(f->tests[1]->expected, "[]");
	assert_json(f->tests[2]->input, "3");
	test_file_close(f);
}

static void programs_that_must_not_compile(void **state UNUSED)
{
	struct test_file *f = parse("%%FAIL\n"
				    "}\n"
				    "jq: error: syntax error\n"
				    "%%FAIL IGNORE MSG\n"
				    "{\n"
				    "whatever\n"
				    "%%FAIL IGNORE MSG\n"
				    "(\n");

	assert_int_equal(f->n_tests, 3);
	assert_int_equal(f->tests[0]->kind, TEST_NO_COMPILE);
	assert_int_equal(f->tests[0]->line, 2);
	assert_json(f->tests[0]->expected, "[\"jq: error: syntax error\"]");
	assert_json(f->tests[1]->expected, "[]");
	assert_string_equal(f->tests[2]->program, "(");
	test_file_close(f);
}

static void whole_programs_have_options(void **state UNUSED)
{
	struct test_file *f =
		parse("%% -f a.jq -fb.jq --program 'c d.jq' --program=e.jq -L dir --config=m.yaml "
		      "--config \"n.yaml\" --no-validate\n" RECORD "{\"kind\":\"A\"}\n"
		      "\n"
		      "%%\n" RECORD);
	const struct test *t = f->tests[0];
	static const char *const programs[] = { "a.jq", "b.jq", "c d.jq", "e.jq" };

	assert_int_equal(t->kind, TEST_PROGRAM);
	assert_int_equal(t->programs.count, ARRAY_SIZE(programs));
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		assert_string_equal(t->programs.item[i], programs[i]);
	assert_int_equal(t->lib_dirs.count, 1);
	assert_string_equal(t->lib_dirs.item[0], "dir");
	assert_string_equal(t->config, "n.yaml");
	assert_true(t->no_validate);
	assert_json(t->expected, "[{\"kind\":\"A\"}]");
	assert_int_equal(f->tests[1]->programs.count, 0);
	assert_null(f->tests[1]->config);
	assert_false(f->tests[1]->no_validate);
	test_file_close(f);
}

static void what_is_wrong_is_said_with_its_line(void **state UNUSED)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ ".\n", "f.test:2: the test ends before its input" },
		{ ".\n\n", "f.test:2: the test ends before its input" },
		{ "# x\n.\n1\n2 3\n", "f.test:4: what is expected: " },
		{ ".\n{\n", "f.test:2: the input: " },
		{ "%%FAIL\n", "f.test:2: the test ends before its program" },
		{ "%%FAIL\n}\n", "f.test:3: the test ends before the error that is expected" },
		{ "%%fail\n", "f.test:1: neither '%%FAIL' nor '%% ' and options" },
		{ "%% my.jq\n", "f.test:1: 'my.jq' is not an option of a test" },
		{ "%% -f\n", "f.test:1: option '-f' needs a value" },
		{ "%% -f 'x\n", "f.test:1: a quote that does not end" },
		{ "%%\n{\"type\":\"gone\"}\n", "f.test:2: the input of a whole program is" },
		{ "%%\n[]\n", "f.test:2: the input of a whole program is" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		const char *text = rows[i].text;

		assert_null(test_file_parse("f.test", text, strlen(text), &err));
		assert_int_equal(err.status, EXIT_BAD_INPUT);
		if (!str_starts(err.msg, rows[i].message))
			fail_msg("expected '%s', got '%s'", rows[i].message, err.msg);
	}
}

static void a_nul_character_is_refused(void **state UNUSED)
{
	struct err err = ERR_INIT;

	assert_null(test_file_parse("f.test", ".\0\n1\n", 5, &err));
	assert_string_equal(err.msg, "f.test:1: a NUL character");
}

static void an_empty_file_has_no_tests(void **state UNUSED)
{
	struct test_file *f = parse("");
	cleanup_free char *text = test_file_text(f);

	assert_int_equal(f->n_tests, 0);
	assert_string_equal(text, "");
	test_file_close(f);
}

/* What the text becomes when test `which` accepts the JSON array. */
static void assert_accepted(const char *text, size_t which, const char *array, const char *after)
{
	struct err err = ERR_INIT;
	struct test_file *f = parse(text);
	cleanup_free char *got = NULL;

	f->tests[which]->accepted = jvx_parse(array, strlen(array), &err);
	got = test_file_text(f);
	assert_string_equal(got, after);
	test_file_close(f);
}

static void what_is_accepted_takes_the_place_of_what_was_expected(void **state UNUSED)
{
	static const char two[] = "# a\n%% -f  x\n" RECORD "# b\n{}\n# c\n{}\n\n# d\n.\n1\n1";

	assert_accepted(two, 0, "[{\"b\":1,\"a\":2},2]",
		"# a\n%% -f  x\n" RECORD "# b\n{\"a\":2,\"b\":1}\n# c\n2\n\n# d\n.\n1\n1");
	assert_accepted(two, 0, "[1,2,3,4]",
		"# a\n%% -f  x\n" RECORD "# b\n1\n# c\n2\n3\n4\n\n# d\n.\n1\n1");
	assert_accepted(two, 0, "[1]", "# a\n%% -f  x\n" RECORD "# b\n1\n# c\n\n# d\n.\n1\n1");
	assert_accepted(two, 0, "[]", "# a\n%% -f  x\n" RECORD "# b\n# c\n\n# d\n.\n1\n1");
	assert_accepted(
		two, 1, "[2,3]", "# a\n%% -f  x\n" RECORD "# b\n{}\n# c\n{}\n\n# d\n.\n1\n2\n3\n");
	/* There was none, and the file has no newline at its end. */
	assert_accepted(".\n1", 0, "[2]", ".\n1\n2\n");
	assert_accepted(".\n1", 0, "[]", ".\n1");
	assert_accepted(".\r\n1\r\n\r\n# x\r\n", 0, "[2]", ".\r\n1\r\n2\n\r\n# x\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_as_in_jq),
		cmocka_unit_test(programs_that_must_not_compile),
		cmocka_unit_test(whole_programs_have_options),
		cmocka_unit_test(what_is_wrong_is_said_with_its_line),
		cmocka_unit_test(a_nul_character_is_refused),
		cmocka_unit_test(an_empty_file_has_no_tests),
		cmocka_unit_test(what_is_accepted_takes_the_place_of_what_was_expected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
