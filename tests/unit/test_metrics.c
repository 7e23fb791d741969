/* metrics: the numbers, and their text as Prometheus reads it. */
#include "k8s-apply/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct bench {
	struct metrics *m;
	struct freshness freshness;
	struct metrics_now now;
	char *text;
};

static int open_bench(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	b->m = metrics_new();
	b->now.freshness = &b->freshness;
	*state = b;
	return 0;
}

static int close_bench(void **state)
{
	struct bench *b = *state;

	metrics_free(b->m);
	freshness_release(&b->freshness);
	free(b->text);
	free(b);
	return 0;
}

static void take_text(struct bench *b)
{
	free(b->text);
	b->text = metrics_text(b->m, &b->now);
	assert_non_null(b->text);
}

/* How many lines of the text start with this. */
static unsigned count(const struct bench *b, const char *start)
{
	unsigned n = 0;

	for (const char *line = b->text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += str_starts(line, start);
	}
	return n;
}

/* It has the line. */
static void has(const struct bench *b, const char *line)
{
	cleanup_free char *whole = xasprintf("\n%s\n", line);

	if (strstr(b->text, whole) == NULL)
		fail_msg("no line '%s' in:\n%s", line, b->text);
}

static void status(struct bench *b, const char *text)
{
	struct err err = ERR_INIT;
	cleanup_jv jv record = jvx_parse(text, strlen(text), &err);

	assert_true(jv_is_valid(record));
	metrics_status(b->m, record);
}

static void result(struct bench *b, enum plan_action action, int64_t at_ms, int64_t now_ms)
{
	const struct plan_result r = { .action = action, .at_ms = at_ms };

	metrics_result(b->m, &r, now_ms);
}

static void states_and_results_are_counted(void **state)
{
	struct bench *b = *state;

	b->now.counts = (struct plan_counts){ .objects = 60000,
		.waiting = 7,
		.failed = 5,
		.conflicts = 2,
		.held_keys = 3,
		.held_objects = 4 };
	b->now.target = (struct target_look){ .in_flight = 6, .leads = true };
	result(b, PLAN_CREATED, 0, 0);
	result(b, PLAN_CREATED, 0, 0);
	result(b, PLAN_DELETED, 0, 0);
	result(b, PLAN_FAILED, 0, 0);
	metrics_outcome(b->m, PLAN_RETRY);
	metrics_unreadable(b->m);
	take_text(b);
	has(b, "meshpipe_objects{state=\"owned\"} 60000");
	has(b, "meshpipe_objects{state=\"failed\"} 3");
	has(b, "meshpipe_objects{state=\"conflict\"} 2");
	has(b, "meshpipe_objects{state=\"held\"} 4");
	has(b, "meshpipe_held_keys 3");
	has(b, "meshpipe_operations_queued 1");
	has(b, "meshpipe_operations_in_flight 6");
	has(b, "meshpipe_writes_total{action=\"created\"} 2");
	has(b, "meshpipe_writes_total{action=\"configured\"} 0");
	has(b, "meshpipe_writes_total{action=\"deleted\"} 1");
	has(b, "meshpipe_problems_total{action=\"failed\"} 1");
	has(b, "meshpipe_operations_total{outcome=\"retry\"} 1");
	has(b, "meshpipe_unreadable_total 1");
	has(b, "meshpipe_leader 1");
	has(b, "meshpipe_target_usable 1");
	assert_int_equal(count(b, "meshpipe_same_host_pairs"), 0);
	b->now.target.knows_hosts = true;
	b->now.target.same_hosts = 2;
	take_text(b);
	has(b, "meshpipe_same_host_pairs 2");
}

static void delays_go_into_buckets_that_add_up(void **state)
{
	struct bench *b = *state;

	result(b, PLAN_CREATED, 1000, 1010); /* on the bound: in it */
	result(b, PLAN_CONFIGURED, 1000, 1011);
	result(b, PLAN_DELETED, 1000, 500); /* the clock was put back */
	result(b, PLAN_DELETED, 1000, 1000000);
	result(b, PLAN_CREATED, 0, 1000);   /* not known */
	result(b, PLAN_FAILED, 1000, 1100); /* not written */
	take_text(b);
	has(b, "# TYPE meshpipe_delay_seconds histogram");
	has(b, "meshpipe_delay_seconds_bucket{le=\"0.01\"} 2");
	has(b, "meshpipe_delay_seconds_bucket{le=\"0.025\"} 3");
	has(b, "meshpipe_delay_seconds_bucket{le=\"300\"} 3");
	has(b, "meshpipe_delay_seconds_bucket{le=\"+Inf\"} 4");
	has(b, "meshpipe_delay_seconds_count 4");
	has(b, "meshpipe_delay_seconds_sum 999.021");
}

static void sources_are_fresh_or_not(void **state)
{
	struct bench *b = *state;

	freshness_status(&b->freshness, "dc1", "connected", 0);
	freshness_status(&b->freshness, "a\"b\\c\nd", "unauthorized", 0);
	freshness_heard(&b->freshness, "", 0);
	metrics_synced(b->m, "dc1", 1795420391005);
	take_text(b);
	has(b, "meshpipe_source_fresh{source=\"dc1\"} 1");
	has(b, "meshpipe_source_fresh{source=\"a\\\"b\\\\c\\nd\"} 0");
	assert_int_equal(count(b, "meshpipe_source_fresh{"), 2);
	has(b, "meshpipe_last_sync_timestamp_seconds{source=\"dc1\"} 1795420391.005");
	b->now.now_ms = FRESHNESS_MS + 1;
	take_text(b);
	has(b, "meshpipe_source_fresh{source=\"dc1\"} 0");
}

static void counters_of_other_programs_go_through(void **state)
{
	struct bench *b = *state;

	status(b, "{\"program\":\"consul-watch\",\"source\":\"dc1\","
		  "\"counters\":{\"queries\":31,\"a b\":0.5}}");
	status(b, "{\"program\":\"consul-watch\",\"source\":\"dc2\",\"counters\":{\"queries\":7}}");
	status(b, "{\"program\":\"mesh-map\",\"counters\":{\"failed\":1}}");
	status(b,
		"{\"program\":\"consul-watch\",\"source\":\"dc1\",\"counters\":{\"queries\":32}}");
	take_text(b);
	has(b, "meshpipe_consul_watch_queries{source=\"dc1\"} 32\n"
	       "meshpipe_consul_watch_queries{source=\"dc2\"} 7");
	has(b, "meshpipe_consul_watch_a_b{source=\"dc1\"} 0.5");
	has(b, "meshpipe_mesh_map_failed 1");
	assert_int_equal(count(b, "# TYPE meshpipe_consul_watch_queries untyped"), 1);
}

static void counters_that_are_none_are_dropped(void **state)
{
	struct bench *b = *state;

	status(b, "{\"program\":\"p\",\"counters\":{\"text\":\"1\",\"\":1,\"list\":[]}}");
	status(b, "{\"program\":\"p\",\"counters\":[1]}");
	status(b, "{\"program\":\"\",\"counters\":{\"x\":1}}");
	status(b, "{\"program\":5,\"counters\":{\"x\":1}}");
	/* What would be taken for one of ours. */
	status(b, "{\"program\":\"delay\",\"counters\":{\"seconds_sum\":1,\"seconds\":2}}");
	status(b, "{\"program\":\"leader\",\"counters\":{\"x\":1}}");
	take_text(b);
	assert_int_equal(count(b, "meshpipe_p_"), 0);
	assert_int_equal(count(b, "meshpipe_leader"), 1);
	assert_int_equal(count(b, "meshpipe_delay_seconds_sum"), 1);
	has(b, "meshpipe_series_dropped_total 6");
}

static void nothing_grows_without_a_limit(void **state)
{
	struct bench *b = *state;
	char name[400];

	for (int i = 0; i < 3 * METRICS_MAX_SERIES; i++) {
		cleanup_free char *record = xasprintf(
			"{\"program\":\"p\",\"source\":\"s%d\",\"counters\":{\"n\":%d}}", i, i);

		snprintf(name, sizeof(name), "s%d", i);
		freshness_status(&b->freshness, name, "connected", 0);
		status(b, record);
	}
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	metrics_synced(b->m, name, 1);
	take_text(b);
	assert_int_equal(count(b, "meshpipe_p_n{"), METRICS_MAX_SERIES);
	assert_int_equal(count(b, "meshpipe_source_fresh{"), 64);
	has(b, "meshpipe_series_dropped_total 1025");
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_bench, close_bench)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(states_and_results_are_counted),
		T(delays_go_into_buckets_that_add_up),
		T(sources_are_fresh_or_not),
		T(counters_of_other_programs_go_through),
		T(counters_that_are_none_are_dropped),
		T(nothing_grows_without_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
