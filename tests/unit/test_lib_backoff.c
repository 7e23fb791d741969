#include "lib/backoff.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void pauses_double_up_to_the_limit_less_up_to_half(void **state UNUSED)
{
	for (int round = 0; round < 200; round++) {
		struct backoff b = { .min_ms = 250, .max_ms = 30000 };
		int64_t full = 250;

		for (int i = 0; i < 12; i++) {
			assert_in_range(backoff_next_ms(&b), full / 2, full);
			full = full * 2 > 30000 ? 30000 : full * 2;
		}
	}
}

static void two_of_them_do_not_walk_in_step(void **state UNUSED)
{
	struct backoff a = { .min_ms = 10000, .max_ms = 30000 }, b = a;
	int same = 0;

	for (int i = 0; i < 20; i++)
		same += backoff_next_ms(&a) == backoff_next_ms(&b);
	assert_true(same < 5);
}

static void a_success_starts_anew(void **state UNUSED)
{
	struct backoff b = { .min_ms = 100, .max_ms = 10000 };

	for (int i = 0; i < 5; i++)
		backoff_next_ms(&b);
	backoff_reset(&b);
	assert_in_range(backoff_next_ms(&b), 50, 100);
}

static void a_thousand_failures_overflow_nothing(void **state UNUSED)
{
	struct backoff b = { .min_ms = 1, .max_ms = INT64_MAX / 4 };

	b.failures = 4000000000u;
	assert_true(backoff_next_ms(&b) > 0);
	b = (struct backoff){ .min_ms = 0, .max_ms = 0 };
	assert_int_equal(backoff_next_ms(&b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_double_up_to_the_limit_less_up_to_half),
		cmocka_unit_test(two_of_them_do_not_walk_in_step),
		cmocka_unit_test(a_success_starts_anew),
		cmocka_unit_test(a_thousand_failures_overflow_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
