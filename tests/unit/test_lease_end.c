/* The lease: how it is given back, what may go wrong with it, and whose it is. */
#include "tests/unit/lease_bench.h"

/* --- giving it back */

static void what_is_given_back_is_free(void **state UNUSED)
{
	int after;

	stand_as(&a, "a");
	run_until(&a, "leading");
	release(&a);
	release(&a);
	assert_false(lease_is_held(a.lease));
	run_until(&a, "leading released");
	assert_holder("");
	assert_int_equal(spec_number("leaseDurationSeconds"), 1);
	after = requests();
	stand(&a);
	release(&a);
	run_for(50);
	assert_int_equal(requests(), after);
	assert_string_equal(buf_str(&a.log), "leading released");
}

static void a_renewal_under_way_is_waited_for(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	run_until_count(&server.puts, server.puts + 1);
	release(&a);
	run_for(30);
	late_answers();
	run_until(&a, "leading released");
	assert_holder("");
	assert_int_equal(server.conflicts, 0);
}

static void a_renewal_under_way_that_fails_ends_it(void **state UNUSED)
{
	int after;

	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	refuse_all("PUT ", 503, "not now");
	run_until_count(&server.refused, 1);
	release(&a);
	late_answers();
	run_until(&a, "leading released");
	after = requests();
	run_for(50);
	assert_int_equal(requests(), after);
	assert_string_equal(buf_str(&a.log), "leading released");
}

/* It would be ours, and nobody there. */
static void what_is_just_being_taken_is_given_back(void **state UNUSED)
{
	stand_as(&a, "a");
	server.late = true;
	run_until_count(&server.gets, 1);
	late_answers();
	server.late = true;
	run_until_count(&server.posts, 1);
	release(&a);
	late_answers();
	run_until(&a, "released");
	assert_holder("");
}

static void giving_back_in_vain_ends_in_time(void **state UNUSED)
{
	struct lease_times t = times;
	int64_t start;

	t.release_ms = 100;
	open_as(&a, "a", &t);
	stand(&a);
	run_until(&a, "leading");
	server.silent = true;
	start = steady_ms();
	release(&a);
	run_until(&a, "leading released");
	assert_in_range(steady_ms() - start, 90, 1000);
}

static void what_is_not_ours_is_not_touched(void **state UNUSED)
{
	set_holder("c");
	open_as(&a, "a", &times);
	release(&a);
	run_until(&a, "released");
	stand_as(&b, "b");
	run_until(&b, "waiting(c)");
	release(&b);
	run_until(&b, "waiting(c) released");
	assert_int_equal(server.puts, 0);
	assert_holder("c");
}

/* --- trouble */

static void trouble_is_said_once(void **state UNUSED)
{
	stand_as(&a, "a");
	refuse_all(NULL, 403,
		"{\"kind\":\"Status\",\"message\":\"User \\\"u\\\" cannot get resource "
		"\\\"leases\\\"\"}");
	run_until(&a, "trouble(403: User \"u\" cannot get resource \"leases\")");
	run_for(60);
	assert_string_equal(
		buf_str(&a.log), "trouble(403: User \"u\" cannot get resource \"leases\")");
	buf_reset(&a.log);
	refuse_all(NULL, 401, "{\"kind\":\"Status\",\"message\":\"Unauthorized\"}");
	run_until(&a, "trouble(401: Unauthorized)");
	refuse_all(NULL, 0, NULL);
	run_until(&a, "trouble(401: Unauthorized) leading");
}

static void trouble_that_was_over_is_said_again(void **state UNUSED)
{
	set_holder("b");
	stand_as(&a, "a");
	refuse_all(NULL, 401, "no");
	run_until(&a, "trouble(401: no)");
	refuse_all(NULL, 0, NULL);
	run_until(&a, "trouble(401: no) waiting(b)");
	refuse_all(NULL, 401, "no");
	run_until(&a, "trouble(401: no) waiting(b) trouble(401: no)");
}

/* Reading is allowed, writing is not: what goes well does not hide what does not. */
static void trouble_with_writing_alone_is_said_once(void **state UNUSED)
{
	refuse_all("POST ", 404,
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"no namespace\","
		"\"details\":{\"name\":\"mesh\",\"kind\":\"namespaces\"}}");
	stand_as(&a, "a");
	run_until(&a, "trouble(404: no namespace)");
	run_until_count(&server.gets, 5);
	set_holder("");
	refuse_all("PUT ", 403, "{\"kind\":\"Status\",\"message\":\"no\"}");
	run_until(&a, "trouble(404: no namespace) trouble(403: no)");
	run_until_count(&server.gets, server.gets + 5);
	assert_string_equal(buf_str(&a.log), "trouble(404: no namespace) trouble(403: no)");
}

static void what_is_no_lease_is_trouble(void **state UNUSED)
{
	static const char *const bodies[] = { "", "hello", "[]", "{}", "{\"metadata\":{}}",
		"{\"metadata\":{\"resourceVersion\":7}}" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		refuse_all(NULL, 200, bodies[i]);
		stand_as(&a, "a");
		run_until(&a, "trouble(what the server has sent is not a Lease)");
		close_candidate(&a);
	}
	assert_int_equal(requests(), 0);
}

/* Odd ones can come from whatever else writes Leases. */
static void odd_records_do_no_harm(void **state UNUSED)
{
	static const struct {
		const char *json, *log;
	} rows[] = {
		{ "{\"metadata\":{}}", "leading" },
		{ "{\"metadata\":{},\"spec\":null}", "leading" },
		{ "{\"metadata\":{},\"spec\":[1]}", "leading" },
		{ "{\"metadata\":{},\"spec\":{\"holderIdentity\":null}}", "leading" },
		{ "{\"metadata\":{},\"spec\":{\"holderIdentity\":\"b\"}}", "waiting(b)" },
		{ "{\"metadata\":{},\"spec\":{\"holderIdentity\":\"b\","
		  "\"leaseDurationSeconds\":-1,\"leaseTransitions\":\"x\"}}",
			"waiting(b)" },
		{ "{\"metadata\":{},\"spec\":{\"holderIdentity\":\"b\","
		  "\"leaseDurationSeconds\":1e300}}",
			"waiting(b)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_record(rows[i].json);
		stand_as(&a, "a");
		run_until(&a, rows[i].log);
		close_candidate(&a);
	}
}

/* --- closing from inside */

static void callbacks_may_close(void **state UNUSED)
{
	static const char *const logs[] = { "leading", "leading lost(not renewed for 10 s)",
		"leading released", "waiting(b)", "trouble(401: no)" };
	int after;

	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		delete_record();
		refuse_all(NULL, 0, NULL);
		if (str_starts(logs[i], "waiting"))
			set_holder("b");
		if (str_starts(logs[i], "trouble"))
			refuse_all(NULL, 401, "no");
		open_as(&a, "a", &times);
		a.closes = logs[i];
		stand(&a);
		if (str_starts(logs[i], "leading "))
			run_until(&a, "leading");
		if (str_ends(logs[i], "released"))
			release(&a);
		else if (str_starts(logs[i], "leading "))
			clock_ms += 10000;
		run_until(&a, logs[i]);
		assert_null(a.lease);
		after = requests();
		run_for(20);
		assert_int_equal(requests(), after);
		close_candidate(&a);
	}
	lease_close(NULL);
}

static void it_may_be_closed_at_any_time(void **state UNUSED)
{
	open_as(&a, "a", &times);
	close_candidate(&a);
	stand_as(&a, "a");
	close_candidate(&a);
	stand_as(&a, "a");
	run_until(&a, "leading");
	release(&a);
}

/* --- those of the same machine */

static void of_a_process_that_is_gone_it_is_taken_at_once(void **state UNUSED)
{
	cleanup_free char *own = lease_identity();
	cleanup_free char *gone = xasprintf("host_%d_1%s", INT_MAX, strrchr(own, '_'));

	set_holder(gone);
	stand_as(&a, own);
	run_until(&a, "leading");
	assert_holder(own);
	assert_int_equal(server.puts, 1);
	assert_int_equal(spec_number("leaseTransitions"), 4);
}

static void one_that_runs_is_waited_for(void **state UNUSED)
{
	cleanup_free char *runs = lease_identity();
	cleanup_free char *other = xasprintf("host_%d_1%s", INT_MAX, strrchr(runs, '_'));
	cleanup_free char *waiting = xasprintf("waiting(%s)", runs);

	set_holder(runs);
	stand_as(&a, other);
	run_until(&a, waiting);
	run_until_count(&server.gets, 4);
	assert_int_equal(server.puts, 0);
}

static void who_rests_gives_it_back_and_may_stand_again(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	rest(&a);
	assert_false(lease_is_held(a.lease));
	stand_as(&b, "b");
	run_until(&b, "leading");
	assert_string_equal(buf_str(&a.log), "leading");
	stand(&a);
	run_until(&a, "leading waiting(b)");
	rest(&b);
	run_until(&a, "leading waiting(b) leading");
	assert_holder("a");
}

static void who_rests_asks_for_nothing(void **state UNUSED)
{
	int after;

	set_holder("c");
	stand_as(&a, "a");
	run_until(&a, "waiting(c)");
	rest(&a);
	rest(&a);
	run_for(20);
	after = requests();
	run_for(50);
	assert_int_equal(requests(), after);
	assert_holder("c");
	release(&a);
	run_until(&a, "waiting(c) released");
}

static void who_stands_again_while_it_is_given_back_gets_it_back(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	run_until_count(&server.puts, server.puts + 1);
	rest(&a);
	stand(&a);
	assert_false(lease_is_held(a.lease));
	late_answers();
	run_until(&a, "leading leading");
	assert_holder("a");
}

static void who_rests_may_end(void **state UNUSED)
{
	stand_as(&a, "a");
	run_until(&a, "leading");
	server.late = true;
	rest(&a);
	release(&a);
	late_answers();
	run_until(&a, "leading released");
	run_for(20);
	assert_string_equal(buf_str(&a.log), "leading released");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEASE_TEST(what_is_given_back_is_free),
		LEASE_TEST(a_renewal_under_way_is_waited_for),
		LEASE_TEST(a_renewal_under_way_that_fails_ends_it),
		LEASE_TEST(what_is_just_being_taken_is_given_back),
		LEASE_TEST(giving_back_in_vain_ends_in_time),
		LEASE_TEST(what_is_not_ours_is_not_touched),
		LEASE_TEST(trouble_is_said_once),
		LEASE_TEST(trouble_that_was_over_is_said_again),
		LEASE_TEST(trouble_with_writing_alone_is_said_once),
		LEASE_TEST(what_is_no_lease_is_trouble),
		LEASE_TEST(odd_records_do_no_harm),
		LEASE_TEST(callbacks_may_close),
		LEASE_TEST(it_may_be_closed_at_any_time),
		LEASE_TEST(of_a_process_that_is_gone_it_is_taken_at_once),
		LEASE_TEST(one_that_runs_is_waited_for),
		LEASE_TEST(who_rests_gives_it_back_and_may_stand_again),
		LEASE_TEST(who_rests_asks_for_nothing),
		LEASE_TEST(who_stands_again_while_it_is_given_back_gets_it_back),
		LEASE_TEST(who_rests_may_end),
	};

	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
