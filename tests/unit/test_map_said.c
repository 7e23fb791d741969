#include "mesh-map/said.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_problem_is_news_once(void **state UNUSED)
{
	struct said s;

	said_init(&s);
	assert_true(said_problem(&s, "dc1/web", "broken"));
	assert_false(said_problem(&s, "dc1/web", "broken"));
	assert_true(said_problem(&s, "dc2/web", "broken"));
	assert_int_equal(said_count(&s), 2);
	assert_true(said_problem(&s, "dc1/web", "broken otherwise"));
	assert_int_equal(said_count(&s), 2);
	said_release(&s);
}

static void a_recovery_is_news_once(void **state UNUSED)
{
	struct said s;

	said_init(&s);
	assert_false(said_recovered(&s, "dc1/web"));
	assert_true(said_problem(&s, "dc1/web", "broken"));
	assert_true(said_recovered(&s, "dc1/web"));
	assert_false(said_recovered(&s, "dc1/web"));
	assert_int_equal(said_count(&s), 0);
	assert_true(said_problem(&s, "dc1/web", "broken"));
	said_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_is_news_once),
		cmocka_unit_test(a_recovery_is_news_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
