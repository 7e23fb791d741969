#include "consul-watch/pace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_burst_goes_at_once_then_one_an_interval(void **state UNUSED)
{
	struct pace p = { .interval_ms = 250, .burst = 4 };
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
	struct pace p = { .interval_ms = 1000, .burst = 2 };
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
		struct pace p = { .interval_ms = 250, .burst = 4 };
		int64_t now = 1, acts = 0;

		/* As a loop of queries does: waits, asks, is answered after `step`. */
		for (; now < 60000; acts++)
			now += pace_take_ms(&p, now) + step;
		assert_true(acts <= 60000 / 250 + 4 + 1);
		if (step > 250)
			assert_true(acts >= 60000 / step);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_goes_at_once_then_one_an_interval),
		cmocka_unit_test(rest_fills_it_again_and_not_more),
		cmocka_unit_test(whatever_the_rhythm_the_rate_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
