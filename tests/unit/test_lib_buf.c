#include "lib/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void it_grows_and_ends_in_nul(void **state UNUSED)
{
	cleanup_buf struct buf b;

	buf_init(&b, 1u << 20);
	assert_string_equal(buf_str(&b), "");
	for (size_t i = 0; i < 10000; i++) {
		assert_int_equal(buf_add(&b, "x", 1), 0);
		assert_int_equal(b.len, i + 1);
		assert_int_equal(b.data[b.len], '\0');
	}
	assert_int_equal(buf_addf(&b, "-%s-%d", "y", 7), 0);
	assert_string_equal(buf_str(&b) + 10000, "-y-7");
	assert_int_equal(buf_adds(&b, ""), 0);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
}

static void the_limit_holds_to_the_byte(void **state UNUSED)
{
	cleanup_buf struct buf b;

	buf_init(&b, 4);
	assert_int_equal(buf_adds(&b, "abcd"), 0);
	assert_int_equal(buf_adds(&b, "e"), -1);
	assert_int_equal(buf_addf(&b, "%d", 1), -1);
	assert_string_equal(buf_str(&b), "abcd");
	buf_consume(&b, 1);
	assert_int_equal(buf_adds(&b, "ef"), -1);
	assert_int_equal(buf_adds(&b, "e"), 0);
	assert_string_equal(buf_str(&b), "bcde");
	/* No sum overflows. */
	assert_int_equal(buf_add(&b, "x", SIZE_MAX), -1);
	assert_int_equal(buf_add(&b, "x", SIZE_MAX - 3), -1);
	assert_string_equal(buf_str(&b), "bcde");
}

static void consuming_takes_from_the_front(void **state UNUSED)
{
	cleanup_buf struct buf b;

	buf_init(&b, 100);
	buf_consume(&b, 0);
	buf_consume(&b, 5);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_adds(&b, "hello"), 0);
	buf_consume(&b, 2);
	assert_string_equal(buf_str(&b), "llo");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_adds(&b, "again"), 0);
	assert_string_equal(buf_str(&b), "again");
}

static void resetting_keeps_little_memory_and_the_limit(void **state UNUSED)
{
	cleanup_buf struct buf b;
	cleanup_free char *big = xcalloc(1, 100000);

	buf_init(&b, 100000);
	assert_int_equal(buf_add(&b, big, 100000), 0);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_true(b.cap <= 64u << 10);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_add(&b, big, 100000), 0);
	assert_int_equal(buf_adds(&b, "x"), -1);
	buf_release(&b);
	assert_int_equal(buf_adds(&b, "x"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows_and_ends_in_nul),
		cmocka_unit_test(the_limit_holds_to_the_byte),
		cmocka_unit_test(consuming_takes_from_the_front),
		cmocka_unit_test(resetting_keeps_little_memory_and_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
