#include "lib/pace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_burst_goes_at_once_then_one_an_interval(void **state UNUSED)
{
	struct pace p = { .interval_us = 250 * 1000, .burst = 4 };
	int64_t now = 1000000;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pace_take_ms(&p, now), 0);
	for (int i = 0; i < 100; i++) {
		int64_t wait = pace_take_ms(&p, now);

		assert_int_equal(wait, 250);
		now += wait;
	}
}

static void rest_fills_it_again_and_not_more(void **state UNUSED)
{
	struct pace p = { .interval_us = 1000 * 1000, .burst = 2 };
	int64_t now = 5;

	for (int i = 0; i < 3; i++)
		pace_take_ms(&p, now);
	/* Three were taken of two: two seconds later there is one. */
	now += 2000;
	assert_int_equal(pace_take_ms(&p, now), 0);
	assert_int_equal(pace_take_ms(&p, now), 1000);
	now += 1000000;
	assert_int_equal(pace_take_ms(&p, now), 0);
	assert_int_equal(pace_take_ms(&p, now), 0);
	assert_int_equal(pace_take_ms(&p, now), 1000);
}

static void whatever_the_rhythm_the_rate_holds(void **state UNUSED)
{
	for (int64_t step = 0; step < 2000; step += 37) {
		struct pace p = { .interval_us = 250 * 1000, .burst = 4 };
		int64_t now = 1, acts = 0;

		/* As a loop of queries does: waits, asks, is answered after `step`. */
		for (; now < 60000; acts++)
			now += pace_take_ms(&p, now) + step;
		assert_true(acts <= 60000 / 250 + 4 + 1);
		if (step > 250)
			assert_true(acts >= 60000 / step);
	}
}

static void a_rate_has_a_burst_of_one_second(void **state UNUSED)
{
	static const uint64_t rates[] = { 1, 7, 300, 5000 };

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct pace p = pace_of_rate(rates[i]);
		uint64_t taken = 0;

		/* As who asks first does, each millisecond of ten seconds. */
		for (int64_t now = 1; now <= 10000; now++)
			for (; pace_wait_ms(&p, now) == 0; taken++)
				assert_int_equal(pace_take_ms(&p, now), 0);
		assert_in_range(taken, 10 * rates[i], 11 * rates[i]);
	}
}

static void asking_takes_nothing(void **state UNUSED)
{
	struct pace p = pace_of_rate(1);

	for (int i = 0; i < 5; i++)
		assert_int_equal(pace_wait_ms(&p, 1000), 0);
	assert_int_equal(pace_take_ms(&p, 1000), 0);
	assert_int_equal(pace_wait_ms(&p, 1000), 1000);
	assert_int_equal(pace_wait_ms(&p, 1500), 500);
	/* Who does not ask goes on, and the next one waits the longer. */
	assert_int_equal(pace_take_ms(&p, 1500), 500);
	assert_int_equal(pace_wait_ms(&p, 1500), 1500);
}

static void a_rate_of_zero_is_no_limit(void **state UNUSED)
{
	struct pace p = pace_of_rate(0);

	for (int i = 0; i < 100000; i++)
		assert_int_equal(pace_take_ms(&p, 1), 0);
	assert_int_equal(pace_wait_ms(&p, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_goes_at_once_then_one_an_interval),
		cmocka_unit_test(rest_fills_it_again_and_not_more),
		cmocka_unit_test(whatever_the_rhythm_the_rate_holds),
		cmocka_unit_test(a_rate_has_a_burst_of_one_second),
		cmocka_unit_test(asking_takes_nothing),
		cmocka_unit_test(a_rate_of_zero_is_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
