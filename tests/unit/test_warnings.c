/* warnings: headers "Warning" of a real API server, and odd ones. */
#include "k8s-apply/warnings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_warning_is_told_once(void **state UNUSED)
{
	static const struct {
		const char *value, *text; /* NULL: nothing is said */
	} rows[] = {
		{ "299 - \"unknown field \\\"spec.nope\\\"\"", "unknown field \"spec.nope\"" },
		{ "299 - \"unknown field \\\"spec.nope\\\"\"", NULL },
		{ "299 - \"v1beta1 X is deprecated\" \"Mon, 01 Jan 2026 10:00:00 GMT\"",
			"v1beta1 X is deprecated" },
		{ "299 agent \"a\\\\b\"", "a\\b" },
		{ "299 - \"a\x1b[31m\"", "a?[31m" },
		{ "299 - \"no end", "no end" },
		{ "299 - \"ends in a backslash\\", "ends in a backslash\\" },
		{ "299 - \"\"", NULL },
		{ "299 - without quotes", NULL },
		{ "110 - \"Response is Stale\"", NULL },
		{ "", NULL },
	};
	struct warnings w = { .count = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = NULL;

		assert_int_equal(warnings_read(&w, rows[i].value, &text), rows[i].text != NULL);
		if (rows[i].text != NULL)
			assert_string_equal(text, rows[i].text);
	}
}

static void so_many_and_so_long(void **state UNUSED)
{
	struct warnings w = { .count = 0 };
	cleanup_free char *endless = xasprintf("299 - \"%0100000d", 0), *start = NULL;

	assert_true(warnings_read(&w, endless, &start));
	assert_int_equal(strlen(start), 1000);
	for (unsigned i = 1; i < 1000; i++) {
		cleanup_free char *value = xasprintf("299 - \"object %u\"", i), *text = NULL;

		assert_int_equal(warnings_read(&w, value, &text), i < WARNINGS_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_warning_is_told_once),
		cmocka_unit_test(so_many_and_so_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
