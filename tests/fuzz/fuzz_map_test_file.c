/*
 * Any bytes as a *.test file of mesh-map.
 *
 * Whatever the bytes: they are tests, in order and each with its own lines, or an error of one line
 * with its place. The file that is written when nothing is accepted is the one that was read; one
 * where all tests accept what they expect has the same tests.
 */
#include <string.h>

#include "mesh-map/test_file.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static void check_error(const struct err *err)
{
	MUST(err->status == EXIT_BAD_INPUT, "status %d", (int)err->status);
	MUST(str_starts(err->msg, "f:"), "no place in '%s'", err->msg);
	MUST(strchr(err->msg, '\n') == NULL, "more than one line: '%s'", err->msg);
}

static void check_test(const struct test_file *f, size_t i)
{
	const struct test *t = f->tests[i];
	size_t end = i + 1 < f->n_tests ? f->tests[i + 1]->line : f->n_lines + 1;

	MUST(*t->program != '\0' && strpbrk(t->program, "\n") == NULL, "program of a line");
	MUST(t->line >= 1 && t->line <= t->after_line && t->after_line < end, "lines of test %zu",
		i);
	MUST(jv_is_valid(t->input) && jvx_is(t->expected, JV_KIND_ARRAY), "values of test %zu", i);
	MUST(t->kind != TEST_PROGRAM || jvx_field_is(t->input, "type", "service"), "a record");
	MUST(t->kind == TEST_PROGRAM || (t->programs.count == 0 && t->config == NULL), "options");
	MUST(t->kind != TEST_NO_COMPILE || jvx_length(t->expected) <= 1, "errors of test %zu", i);
}

static void check_same(const struct test_file *f, const char *text)
{
	struct err err = ERR_INIT;
	struct test_file *again = test_file_parse("f", text, strlen(text), &err);

	MUST(again != NULL, "what was accepted cannot be read: %s\n%s", err.msg, text);
	MUST(again->n_tests == f->n_tests, "other tests:\n%s", text);
	for (size_t i = 0; i < f->n_tests; i++) {
		cleanup_free char *before = jvx_dump(f->tests[i]->expected);
		cleanup_free char *after = jvx_dump(again->tests[i]->expected);

		MUST(strcmp(f->tests[i]->program, again->tests[i]->program) == 0, "program %zu", i);
		MUST(strcmp(before, after) == 0, "test %zu:\n%s\n%s", i, before, after);
	}
	test_file_close(again);
}

static void check_file(struct test_file *f)
{
	cleanup_free char *same = test_file_text(f);
	cleanup_free char *accepted = NULL;

	MUST(strcmp(same, f->text) == 0, "not as it was:\n%s", same);
	for (size_t i = 0; i < f->n_tests; i++) {
		check_test(f, i);
		if (f->tests[i]->kind != TEST_NO_COMPILE)
			f->tests[i]->accepted = jv_copy(f->tests[i]->expected);
	}
	accepted = test_file_text(f);
	check_same(f, accepted);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%zu tests", f->n_tests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct test_file *f;

	fuzz_leaks_begin();
	f = test_file_parse("f", (const char *)data, size, &err);
	fuzz_leaks_end();
	if (f == NULL) {
		check_error(&err);
		snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%.500s", err.msg);
		return 0;
	}
	check_file(f);
	test_file_close(f);
	return 0;
}
