/* freshness: when what the sources say may be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "k8s-apply/freshness.h"

#define cleanup_freshness __attribute__((cleanup(freshness_release)))

/* What the looks have told: "+source", "-source", "~source" for one that is silent. */
static char told[256];

static void on_change(void *arg UNUSED, const struct freshness_change *change)
{
	const char *sign = change->fresh ? "+" : (change->silent ? "~" : "-");
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s%s ", sign, change->source);
}

static void assert_look(struct freshness *f, int64_t now_ms, const char *expected)
{
	told[0] = '\0';
	freshness_look(f, now_ms, on_change, NULL);
	assert_string_equal(told, expected);
}

static void what_sends_no_status_speaks_for_itself(void **state UNUSED)
{
	cleanup_freshness struct freshness f = { .sources = MAP_INIT };

	assert_true(freshness_is_any(&f, 0));
	freshness_heard(&f, "file", 1);
	assert_look(&f, 10 * FRESHNESS_MS, "");
	assert_true(freshness_is_any(&f, 10 * FRESHNESS_MS));
	assert_true(freshness_until_ms(&f) == INT64_MAX);
}

static void a_source_is_fresh_while_it_is_connected_and_heard(void **state UNUSED)
{
	cleanup_freshness struct freshness f = { .sources = MAP_INIT };

	freshness_status(&f, "dc1", "connecting", 0);
	assert_look(&f, 0, "-dc1 ");
	assert_look(&f, 1, "");
	freshness_status(&f, "dc1", "connected", 10);
	assert_look(&f, 10 + FRESHNESS_MS, "+dc1 ");
	assert_true(freshness_until_ms(&f) == 11 + FRESHNESS_MS);
	assert_look(&f, 11 + FRESHNESS_MS, "~dc1 ");
	assert_true(freshness_until_ms(&f) == INT64_MAX);
	/* Any record will do: a status may stand in the queue behind many. */
	freshness_heard(&f, "dc1", 20 + FRESHNESS_MS);
	assert_look(&f, 20 + FRESHNESS_MS, "+dc1 ");
	freshness_status(&f, "dc1", "disconnected", 21 + FRESHNESS_MS);
	freshness_heard(&f, "dc1", 22 + FRESHNESS_MS);
	assert_look(&f, 23 + FRESHNESS_MS, "-dc1 ");
}

static void each_source_is_for_itself(void **state UNUSED)
{
	cleanup_freshness struct freshness f = { .sources = MAP_INIT };

	freshness_status(&f, "dc1", "connected", 0);
	freshness_status(&f, "dc2", "unauthorized", 0);
	assert_look(&f, 0, "-dc2 ");
	assert_true(freshness_is_any(&f, 0));
	freshness_status(&f, "dc1", "disconnected", 1);
	assert_look(&f, 1, "-dc1 ");
	assert_false(freshness_is_any(&f, 1));
	freshness_status(&f, "dc2", "connected", 2);
	assert_look(&f, 2, "+dc2 ");
	assert_true(freshness_is_any(&f, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_sends_no_status_speaks_for_itself),
		cmocka_unit_test(a_source_is_fresh_while_it_is_connected_and_heard),
		cmocka_unit_test(each_source_is_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
