/* Two texts as lines of a unified diff. */
#include "lib/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"

static void on_line(void *arg, enum diff_side side, const char *line, size_t len)
{
	struct buf *said = arg;

	if (side != DIFF_SKIPPED)
		assert_int_equal(buf_addf(said, "%c", (char)side), 0);
	assert_int_equal(buf_add(said, line, len), 0);
	assert_int_equal(buf_adds(said, "\n"), 0);
}

static void expect(const char *old, const char *new, const char *expected)
{
	cleanup_buf struct buf said;

	buf_init(&said, 1u << 16);
	diff_unified(old, new, on_line, &said);
	assert_string_equal(buf_str(&said), expected);
}

static void equal_texts_have_none(void **state UNUSED)
{
	expect("", "", "");
	expect("a\nb\n", "a\nb\n", "");
}

static void a_text_that_is_new_or_gone_is_whole(void **state UNUSED)
{
	expect("", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n");
	expect("a\nb\n", "", "@@ -1,2 +0,0 @@\n-a\n-b\n");
}

static void three_lines_stand_around_a_change(void **state UNUSED)
{
	expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
		"@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
	expect("1\n2\n", "0\n1\n2\n", "@@ -1,2 +1,3 @@\n+0\n 1\n 2\n");
}

static void changes_far_apart_are_pieces(void **state UNUSED)
{
	expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "2\n3\n4\n5\n6\n7\n8\nx\n9\n",
		"@@ -1,4 +1,3 @@\n-1\n 2\n 3\n 4\n@@ -6,4 +5,5 @@\n 6\n 7\n 8\n+x\n 9\n");
}

static void changes_near_each_other_are_one_piece(void **state UNUSED)
{
	expect("1\n2\n3\n4\n5\n", "one\n2\n3\n4\nfive\n",
		"@@ -1,5 +1,5 @@\n-1\n+one\n 2\n 3\n 4\n-5\n+five\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_have_none),
		cmocka_unit_test(a_text_that_is_new_or_gone_is_whole),
		cmocka_unit_test(three_lines_stand_around_a_change),
		cmocka_unit_test(changes_far_apart_are_pieces),
		cmocka_unit_test(changes_near_each_other_are_one_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
