/* window: how many requests may be under way at once. */
#include "k8s-apply/window.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void send_and_answer(struct window *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		window_send(w);
		window_well(w);
	}
}

static void it_grows_by_one_for_each_window_up_to_the_maximum(void **state UNUSED)
{
	struct window w;

	window_init(&w);
	assert_int_equal(w.limit, WINDOW_START);
	for (unsigned limit = WINDOW_START; limit < WINDOW_MAX; limit++) {
		send_and_answer(&w, limit - 1);
		assert_int_equal(w.limit, limit);
		send_and_answer(&w, 1);
		assert_int_equal(w.limit, limit + 1);
	}
	send_and_answer(&w, 1000);
	assert_int_equal(w.limit, WINDOW_MAX);
}

static void it_halves_once_for_all_that_were_under_way_together(void **state UNUSED)
{
	uint64_t numbers[WINDOW_MAX];
	struct window w;

	window_init(&w);
	send_and_answer(&w, 10000);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i] = window_send(&w);
	assert_true(window_overloaded(&w, numbers[7]));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_false(window_overloaded(&w, numbers[i]));
	assert_int_equal(w.limit, WINDOW_MAX / 2);
	/* The next one has seen the smaller window. */
	assert_true(window_overloaded(&w, window_send(&w)));
	assert_int_equal(w.limit, WINDOW_MAX / 4);
}

static void one_request_may_always_be_under_way_and_it_recovers(void **state UNUSED)
{
	struct window w;

	window_init(&w);
	for (int i = 0; i < 10; i++)
		window_overloaded(&w, window_send(&w));
	assert_int_equal(w.limit, 1);
	send_and_answer(&w, WINDOW_START - 1);
	assert_int_equal(w.limit, 1);
	send_and_answer(&w, 1);
	assert_int_equal(w.limit, 2);
	/* What went well before it shrank does not count after. */
	send_and_answer(&w, WINDOW_START - 1);
	window_overloaded(&w, window_send(&w));
	send_and_answer(&w, WINDOW_START - 1);
	assert_int_equal(w.limit, 1);
	send_and_answer(&w, 10000);
	assert_int_equal(w.limit, WINDOW_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_grows_by_one_for_each_window_up_to_the_maximum),
		cmocka_unit_test(it_halves_once_for_all_that_were_under_way_together),
		cmocka_unit_test(one_request_may_always_be_under_way_and_it_recovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
