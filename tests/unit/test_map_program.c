#include "mesh-map/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"

static char dir[] = "/tmp/meshpipe-test-XXXXXX";

static int make_dir(void **state UNUSED)
{
	log_set_level("error");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state UNUSED)
{
	cleanup_free char *file = xasprintf("%s/p.jq", dir);

	unlink(file);
	return rmdir(dir);
}

/* A program with this text, known as DIR/p.jq; $config is {"n": 1}. */
static struct program *open_text(const char *text, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/p.jq", dir);
	cleanup_jv jv dirs = jv_array();
	cleanup_jv jv config = jv_object_set(jv_object(), jv_string("n"), jv_number(1));
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return program_open(path, dirs, config, err);
}

static struct program *must_open(const char *text)
{
	struct err err = ERR_INIT;
	struct program *p = open_text(text, &err);

	if (p == NULL)
		fail_msg("%s", err.msg);
	return p;
}

/* The outputs for an input in JSON, as JSON; "error: ..." on failure. Caller frees. */
static char *run_text(struct program *p, const char *input)
{
	cleanup_jv jv value = jv_parse(input);
	struct err err = ERR_INIT;
	cleanup_jv jv outputs = program_run(p, value, &err);

	if (jv_is_valid(outputs))
		return jvx_dump(outputs);
	assert_int_equal(err.status, EXIT_SOME_FAILED);
	return xasprintf("error: %s", err.msg);
}

static void assert_runs(struct program *p, const char *input, const char *expected)
{
	cleanup_free char *got = run_text(p, input);

	assert_string_equal(got, expected);
}

static void all_outputs_come_as_one_array(void **state UNUSED)
{
	struct program *p = must_open(".[] | . + $config.n");

	assert_runs(p, "[1,2]", "[2,3]");
	assert_runs(p, "[]", "[]");
	assert_true(str_ends(program_path(p), "/p.jq"));
	program_close(p);
}

static void the_input_stays_the_callers(void **state UNUSED)
{
	struct program *p = must_open(".a = 2");
	cleanup_jv jv input = jv_parse("{\"a\":1}");
	struct err err = ERR_INIT;
	cleanup_jv jv outputs = program_run(p, input, &err);

	assert_int_equal(jvx_length(outputs), 1);
	assert_true(jvx_num_field(input, "a", 0) == 1);
	program_close(p);
}

static void a_failure_does_not_touch_the_next_run(void **state UNUSED)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "1, error(\"why\")", "error: why" },
		{ "error({b: 1, a: 2})", "error: error {\"a\":2,\"b\":1}" },
		{ "1, halt", "error: the program halted" },
		{ "\"x\" | halt_error", "error: the program halted" },
		{ "halt_error(0)", "error: the program halted" },
		{ "input", "error: the program reads 'input', but its record is all there is" },
		{ "[inputs] | length",
			"error: the program reads 'input', but its record is all there is" },
		{ "try input catch 1",
			"error: the program reads 'input', but its record is all there is" },
		/* Which string, jq 1.6 says in other words than 1.8. */
		{ "1 | .a", "error: Cannot index number with " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text =
			xasprintf("if . == \"bad\" then %s else . end", rows[i].text);
		struct program *p = must_open(text);

		for (int round = 0; round < 3; round++) {
			cleanup_free char *got = run_text(p, "\"bad\"");

			assert_true(str_starts(got, rows[i].error));
			assert_runs(p, "\"good\"", "[\"good\"]");
		}
		program_close(p);
	}
}

static void closing_after_a_failure_is_clean(void **state UNUSED)
{
	static const char *const texts[] = { "error(\"x\")", "halt", "\"x\" | halt_error", "input",
		"range(10), error(1)" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct program *p = must_open(texts[i]);
		cleanup_free char *got = run_text(p, "{}");

		assert_true(str_starts(got, "error: "));
		program_close(p);
	}
	program_close(NULL);
}

static void what_does_not_compile_is_named_with_its_place(void **state UNUSED)
{
	static const struct {
		const char *text, *place, *what;
	} rows[] = {
		{ ".a\n| | .b", "/p.jq:2", "syntax error, unexpected '|'" },
		{ "\n\nnothing", "/p.jq:3", "nothing/0 is not defined" },
		{ "$nothing", "/p.jq:1", "$nothing is not defined" },
		{ "import \"none\" as n; .", "/p.jq: ", "module not found: none" },
		{ "\"at line 7\" | nothing", "/p.jq:1", "nothing/0 is not defined" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;

		assert_null(open_text(rows[i].text, &err));
		assert_int_equal(err.status, EXIT_CONFIG);
		assert_non_null(strstr(err.msg, rows[i].place));
		assert_non_null(strstr(err.msg, rows[i].what));
		assert_null(strstr(err.msg, "<top-level>"));
		assert_null(strstr(err.msg, "quoting"));
		assert_null(strchr(err.msg, '\n'));
	}
}

static void a_file_that_is_no_program_is_refused(void **state UNUSED)
{
	cleanup_jv jv dirs = jv_array();
	cleanup_jv jv config = jv_object();
	struct err err = ERR_INIT;

	assert_null(program_open("/nonexistent/x.jq", dirs, config, &err));
	assert_int_equal(err.status, EXIT_CONFIG);
	assert_string_equal(
		err.msg, "cannot read program '/nonexistent/x.jq': No such file or directory");
	assert_null(program_open("/dev/zero", dirs, config, &err));
	assert_int_equal(err.status, EXIT_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_outputs_come_as_one_array),
		cmocka_unit_test(the_input_stays_the_callers),
		cmocka_unit_test(a_failure_does_not_touch_the_next_run),
		cmocka_unit_test(closing_after_a_failure_is_clean),
		cmocka_unit_test(what_does_not_compile_is_named_with_its_place),
		cmocka_unit_test(a_file_that_is_no_program_is_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
