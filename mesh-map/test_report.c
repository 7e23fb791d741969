#include "mesh-map/test_report.h"

#include <string.h>

#include "lib/diff.h"

#define INDENT "    "

static const char red[] = "\033[31m", green[] = "\033[32m", bold[] = "\033[1m", plain[] = "\033[0m";

/* https://no-color.org */
static bool has_colour(void)
{
	static int known = -1;

	if (known < 0) {
		const char *no = getenv("NO_COLOR");

		known = isatty(STDOUT_FILENO) == 1 && (no == NULL || *no == '\0');
	}
	return known == 1;
}

static void print_coloured(const char *colour, const char *text)
{
	if (has_colour() && colour != NULL)
		printf("%s%s%s", colour, text, plain);
	else
		fputs(text, stdout);
}

static void print_counts(const struct test_counts *c)
{
	printf("%u passed", c->passed);
	if (c->accepted > 0)
		printf(", %u accepted", c->accepted);
	if (c->failed > 0)
		printf(", %u failed", c->failed);
	printf("\n");
}

void test_report_file(const char *name, const struct test_counts *c)
{
	if (c->failed > 0)
		print_coloured(red, "FAILED  ");
	else
		print_coloured(green, "ok      ");
	printf("%s: ", name);
	print_counts(c);
}

void test_report_all(const struct test_counts *c, unsigned broken_files)
{
	printf("%u passed, ", c->passed);
	if (c->accepted > 0)
		printf("%u accepted, ", c->accepted);
	printf("%u failed", c->failed);
	if (broken_files > 0)
		printf(", %u %s not be read", broken_files,
			broken_files == 1 ? "file could" : "files could");
	printf("\n");
}

static void on_diff_line(void *arg UNUSED, enum diff_side side, const char *line, size_t len)
{
	cleanup_free char *text = xasprintf("%c%.*s", (char)side, (int)len, line);

	if (side == DIFF_SKIPPED) {
		printf(INDENT INDENT "...\n");
		return;
	}
	printf(INDENT INDENT);
	print_coloured(side == DIFF_OLD ? red : side == DIFF_NEW ? green : NULL, text);
	printf("\n");
}

/* One value after the other, with sorted keys, each over as many lines as it has fields. */
static char *pretty(jv values)
{
	const int flags =
		JV_PRINT_PRETTY | JV_PRINT_SORTED | JV_PRINT_SPACE1 | JV_PRINT_INDENT_FLAGS(2);
	char *all = xstrdup("");

	for (int i = 0; i < jvx_length(values); i++) {
		cleanup_jv jv text = jv_dump_string(jvx_at(values, i), flags);
		cleanup_free char *before = all;

		all = xasprintf("%s%s\n", before, jv_string_value(text));
	}
	return all;
}

static void print_difference(jv expected, jv got)
{
	cleanup_free char *old = pretty(expected);
	cleanup_free char *new = pretty(got);

	printf(INDENT INDENT);
	print_coloured(red, "--- expected");
	printf("\n" INDENT INDENT);
	print_coloured(green, "+++ got");
	printf("\n");
	diff_texts(old, new, on_diff_line, NULL);
}

/* What the program failed on. */
static void print_input(jv input)
{
	cleanup_free char *text = jvx_dump(input);

	printf(INDENT INDENT "its input: %s\n", text);
}

static void print_one_line(const char *text)
{
	for (; *text != '\0'; text++)
		putchar(*text == '\n' ? ' ' : *text);
	putchar('\n');
}

void test_report_failure(
	const struct test_file *file, const struct test *test, const struct test_outcome *outcome)
{
	cleanup_free char *where = xasprintf("%s:%zu: ", file->name, test->line);

	printf(INDENT);
	print_coloured(bold, where);
	print_one_line(test->program);
	for (int i = 0; i < jvx_length(outcome->problems); i++) {
		cleanup_jv jv problem = jvx_at(outcome->problems, i);

		printf(INDENT INDENT);
		print_one_line(jvx_str(problem, ""));
	}
	if (outcome->failed_on_input)
		print_input(test->input);
	if (jv_is_valid(outcome->outputs) &&
		!jv_equal(jv_copy(outcome->outputs), jv_copy(test->expected)))
		print_difference(test->expected, outcome->outputs);
}
