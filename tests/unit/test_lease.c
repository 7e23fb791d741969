/* The lease: how it is had, kept and lost. */
#include "tests/unit/lease_bench.h"

static void what_nobody_has_is_created(void **state UNUSED)
{
	open_as(&a, "a", &times);
	run_for(20);
	assert_int_equal(requests(), 0);
	assert_false(lease_is_held(a.lease));
	stand(&a);
	stand(&a);
	run_until(&a, "leading");
	assert_int_equal(server.gets, 1);
	assert_int_equal(server.posts, 1);
	assert_holder("a");
	assert_int_equal(spec_number("leaseDurationSeconds"), 15);
	assert_int_equal(spec_number("leaseTransitions"), 0);
	assert_is_now("acquireTime");
	assert_is_now("renewTime");
}

static void renewing_is_one_put_and_changes_only_what_is_ours(void **state UNUSED)
{
	cleanup_jv jv metadata = jv_invalid();
	cleanup_jv jv labels = jv_invalid();
	cleanup_free char *acquired = NULL, *acquired_now = NULL;
	cleanup_free char *strategy = NULL;

	set_record("{\"metadata\":{\"name\":\"set\",\"labels\":{\"team\":\"x\"}},\"spec\":{"
		   "\"holderIdentity\":\"\",\"strategy\":\"OldestEmulationVersion\"}}");
	stand_as(&a, "a");
	run_until(&a, "leading");
	acquired = spec_text("acquireTime");
	run_until_count(&server.puts, 6);
	assert_int_equal(server.gets, 1);
	assert_int_equal(server.posts, 0);
	acquired_now = spec_text("acquireTime");
	assert_string_equal(acquired_now, acquired);
	assert_int_equal(spec_number("leaseTransitions"), 0);
	strategy = spec_text("strategy");
	assert_string_equal(strategy, "OldestEmulationVersion");
	metadata = jvx_get(server.record, "metadata");
	labels = jvx_get(metadata, "labels");
	assert_true(jvx_field_is(labels, "team", "x"));
	assert_string_equal(buf_str(&a.log), "leading");
}

static void what_is_free_is_taken(void **state UNUSED)
{
	set_holder("");
	stand_as(&a, "a");
	run_until(&a, "leading");
	assert_holder("a");
	assert_int_equal(spec_number("leaseTransitions"), 4);
	assert_int_equal(spec_number("leaseDurationSeconds"), 15);
	assert_is_now("acquireTime");
}

static void our_own_is_ours(void **state UNUSED)
{
	set_holder("a");
	stand_as(&a, "a");
	run_until(&a, "leading");
	assert_int_equal(spec_number("leaseTransitions"), 3);
}

/* Its times are of another clock: that they are long past means nothing. */
static void another_is_waited_for_until_its_record_rests_for_its_duration(void **state UNUSED)
{
	set_holder("b");
	stand_as(&a, "a");
	run_until(&a, "waiting(b)");
	clock_ms += 19999;
	run_until_count(&server.gets, server.gets + 3);
	touch();
	run_until_count(&server.gets, server.gets + 2);
	clock_ms += 19999;
	run_until_count(&server.gets, server.gets + 3);
	assert_int_equal(server.puts, 0);
	assert_string_equal(buf_str(&a.log), "waiting(b)");
	set_holder("c");
	run_until(&a, "waiting(b) waiting(c)");
	clock_ms += 20000;
	run_until(&a, "waiting(b) waiting(c) leading");
	assert_holder("a");
	assert_int_equal(spec_number("leaseTransitions"), 4);
}

static void of_two_only_one_leads(void **state UNUSED)
{
	struct candidate *first, *second;
	cleanup_free char *waits = NULL, *leads = NULL;

	stand_as(&a, "a");
	stand_as(&b, "b");
	run_until_count(&server.gets, 4);
	first = lease_is_held(a.lease) ? &a : &b;
	second = first == &a ? &b : &a;
	waits = xasprintf("waiting(%s)", first == &a ? "a" : "b");
	run_until(first, "leading");
	run_until(second, waits);
	assert_false(lease_is_held(second->lease));
	release(first);
	run_until(first, "leading released");
	leads = xasprintf("%s leading", waits);
	run_until(second, leads);
	assert_int_equal(spec_number("leaseTransitions"), 1);
}

/* --- conflicts */

static void a_change_of_others_is_no_loss(void **state UNUSED)
{
	int puts;

	stand_as(&a, "a");
	run_until(&a, "leading");
	touch();
	run_until_count(&server.conflicts, 1);
	run_until_count(&server.gets, 2);
	puts = server.puts;
	run_until_count(&server.puts, puts + 3);
	assert_int_equal(server.conflicts, 1);
	assert_int_equal(server.gets, 2);
	assert_string_equal(buf_str(&a.log), "leading");
}

static void a_renewal_whose_answer_is_lost_is_no_loss(void **state UNUSED)
{
	struct lease_times t = times;
	int puts;

	t.request_ms = 50;
	open_as(&a, "a", &t);
	stand(&a);
	run_until(&a, "leading");
	server.mute = true;
	run_until_count(&server.puts, server.puts + 1);
	server.mute = false;
	run_until_count(&server.conflicts, 1);
	puts = server.puts;
	run_until_count(&server.puts, puts + 3);
	assert_string_equal(buf_str(&a.log), "leading");
	assert_true(lease_is_held(a.lease));
}

static void failures_without_end_are_no_busy_loop(void **state UNUSED)
{
	static const int codes[] = { 409, 503 };
	int before;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		refuse_all(NULL, 0, NULL);
		stand_as(&a, "a");
		run_until(&a, "leading");
		before = requests() + server.refused;
		refuse_all("PUT ", codes[i], "{\"kind\":\"Status\"}");
		run_for(500);
		assert_in_range(requests() + server.refused - before, 2, 8);
		close_candidate(&a);
	}
}

/* Of the 10 s that there are it has had 5. */
static void after_a_silence_it_is_tried_again_soon(void **state UNUSED)
{
	struct lease_times t = times;
	int64_t start;

	t.now_ms = steady_ms;
	t.retry_ms = t.request_ms = 800;
	open_as(&a, "a", &t);
	stand(&a);
	run_until(&a, "leading");
	server.silent = true;
	run_until_count(&server.unheard, 1);
	start = steady_ms();
	run_until_count(&server.unheard, 2);
	assert_in_range(steady_ms() - start, 900, 1500);
}

static void what_another_has_taken_is_lost(void **state UNUSED)
{
	set_holder("b");
	stand_as(&a, "a");
	run_until(&a, "waiting(b)");
	set_holder("");
	run_until(&a, "waiting(b) leading");
	buf_reset(&a.log);
	set_holder("b");
	run_until(&a, "lost('b' has it now) waiting(b)");
	set_holder("");
	run_until(&a, "lost('b' has it now) waiting(b) leading");
	buf_reset(&a.log);
	set_holder("");
	run_until(&a, "lost(it was taken from us) leading");
}

static void what_is_deleted_is_lost_and_created_anew(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	delete_record();
	run_until(&a, "leading lost(it was deleted) leading");
	assert_int_equal(server.posts, 2);
}

static void who_comes_second_waits(void **state UNUSED)
{
	set_holder("");
	server.late = true;
	stand_as(&a, "a");
	run_until_count(&server.gets, 1);
	set_holder("b");
	late_answers();
	run_until(&a, "waiting(b)");
	assert_int_equal(server.conflicts, 1);
	assert_holder("b");
}

/* --- time */

static void without_an_answer_it_is_lost_in_time(void **state UNUSED)
{
	int64_t start;

	open_as(&a, "a", &real_times);
	stand(&a);
	run_until(&a, "leading");
	server.silent = true;
	start = steady_ms();
	while (strchr(buf_str(&a.log), ' ') == NULL && steady_ms() - start < PATIENCE_MS)
		uv_run(&server.loop, UV_RUN_ONCE);
	/* Since the start of the last renewal, which was a little before. */
	assert_in_range(steady_ms() - start, 850, 1500);
	assert_non_null(strstr(buf_str(&a.log), "leading lost(not renewed for 1 s: "));
	assert_non_null(strstr(buf_str(&a.log), "timed out"));
	buf_reset(&a.log);
	/* Said with the loss, and not again. */
	run_for(300);
	assert_string_equal(buf_str(&a.log), "");
	server.silent = false;
	run_until(&a, "leading");
}

/* The deadline does not wait for it, and what comes after the loss does not queue behind it. */
static void a_request_under_way_is_no_excuse(void **state UNUSED)
{
	struct lease_times t = times;
	int64_t start;

	t.renew_ms = 1000;
	t.now_ms = steady_ms;
	open_as(&a, "a", &t);
	stand(&a);
	run_until(&a, "leading");
	server.silent = true;
	run_until_count(&server.unheard, 1);
	server.silent = false;
	start = steady_ms();
	run_until(&a, "leading lost(not renewed for 1 s) leading");
	assert_in_range(steady_ms() - start, 900, 1500);
}

/* A renewal counts from when it was sent: the server may have had it at once. */
static void an_answer_that_took_long_counts_from_its_question(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	run_until_count(&server.puts, server.puts + 1);
	clock_ms += 9000;
	assert_true(lease_is_held(a.lease));
	late_answers();
	server.silent = true;
	run_for(30);
	clock_ms += 1000;
	assert_false(lease_is_held(a.lease));
}

static void a_stop_is_a_loss(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	run_until_count(&server.puts, 2);
	clock_ms += 9999;
	assert_true(lease_is_held(a.lease));
	clock_ms += 10001;
	assert_false(lease_is_held(a.lease));
	run_until(&a, "leading lost(not renewed for 10 s) leading");
	assert_true(lease_is_held(a.lease));
	run_until_count(&server.puts, server.puts + 3);
	assert_string_equal(buf_str(&a.log), "leading lost(not renewed for 10 s) leading");
}

static void a_stop_with_a_renewal_under_way_is_a_loss(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	run_until_count(&server.puts, 1);
	clock_ms += 20000;
	late_answers();
	run_until(&a, "leading lost(not renewed for 10 s) leading");
}

/* The record was ours all the time, but for a second it was not known to be. */
static void an_answer_after_the_deadline_is_a_loss(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	run_until_count(&server.puts, server.puts + 1);
	clock_ms += 5000;
	late_answers();
	server.late = true;
	run_until_count(&server.puts, server.puts + 1);
	clock_ms += 4999;
	assert_true(lease_is_held(a.lease));
	clock_ms += 1001;
	assert_false(lease_is_held(a.lease));
	late_answers();
	run_until(&a, "leading lost(not renewed for 10 s) leading");
}

static void a_stop_while_it_is_taken_is_no_leading(void **state UNUSED)
{
	server.only = "POST ";
	server.late = true;
	stand_as(&a, "a");
	run_until_count(&server.gets, 1);
	late_answers();
	server.late = true;
	run_until_count(&server.posts, 1);
	clock_ms += 20000;
	set_holder("b");
	late_answers();
	run_until(&a, "waiting(b)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEASE_TEST(what_nobody_has_is_created),
		LEASE_TEST(renewing_is_one_put_and_changes_only_what_is_ours),
		LEASE_TEST(what_is_free_is_taken),
		LEASE_TEST(our_own_is_ours),
		LEASE_TEST(another_is_waited_for_until_its_record_rests_for_its_duration),
		LEASE_TEST(of_two_only_one_leads),
		LEASE_TEST(a_change_of_others_is_no_loss),
		LEASE_TEST(a_renewal_whose_answer_is_lost_is_no_loss),
		LEASE_TEST(failures_without_end_are_no_busy_loop),
		LEASE_TEST(after_a_silence_it_is_tried_again_soon),
		LEASE_TEST(what_another_has_taken_is_lost),
		LEASE_TEST(what_is_deleted_is_lost_and_created_anew),
		LEASE_TEST(who_comes_second_waits),
		LEASE_TEST(without_an_answer_it_is_lost_in_time),
		LEASE_TEST(a_request_under_way_is_no_excuse),
		LEASE_TEST(an_answer_that_took_long_counts_from_its_question),
		LEASE_TEST(a_stop_is_a_loss),
		LEASE_TEST(a_stop_with_a_renewal_under_way_is_a_loss),
		LEASE_TEST(an_answer_after_the_deadline_is_a_loss),
		LEASE_TEST(a_stop_while_it_is_taken_is_no_leading),
	};

	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
