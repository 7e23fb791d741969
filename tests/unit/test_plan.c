/* The decision module: keys, and what they want. */
#include "tests/unit/plan_bench.h"

static void the_same_again_is_nothing(void **state UNUSED)
{
	check("loud\n"
	      "apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=1 y=1\n"
	      "> unchanged dc1/a x\n"
	      "> unchanged dc1/a y\n"
	      "apply dc1 a x=2 y=1\n"
	      "> unchanged dc1/a y\n"
	      "> configured dc1/a x\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void what_a_key_no_longer_names_goes_at_once_and_last(void **state UNUSED)
{
	check("ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "apply dc1 a y=2 z=1\n"
	      "> op write dc1/a y\n"
	      "> configured dc1/a y\n"
	      "> op write dc1/a z new\n"
	      "> created dc1/a z\n"
	      "> op delete dc1/a x\n"
	      "> deleted dc1/a x\n");
}

static void a_deletion_waits_for_the_writes_of_its_key(void **state UNUSED)
{
	const struct plan_config config = { .deletes_wait = true };

	check_with(&config, "apply dc1 a x=1\n"
			    "> created dc1/a x\n"
			    "ops\n"
			    "later\n"
			    "apply dc1 a y=1 z=1\n"
			    "> op write dc1/a y new\n"
			    "> op write dc1/a z new\n"
			    "done z ok\n"
			    "> created dc1/a z\n"
			    "done y retry\n"
			    "> failed dc1/a y: no luck\n"
			    "> op delete dc1/a x\n"
			    "done x ok\n"
			    "> deleted dc1/a x\n");
}

static void what_is_kept_is_left_as_it_is(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1 z=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "> created dc1/a z\n"
	      "apply dc1 a x=1 ?y\n"
	      "> deleted dc1/a z\n"
	      "keep dc1 a\n"
	      "apply dc1 a ?x\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void a_key_that_is_kept_takes_back_its_deletions(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "answer y retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a y: no luck\n"
	      "keep dc1 a\n"
	      "answer y ok\n"
	      "wait 3600000\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void an_object_that_cannot_be_read_is_left_and_said_once(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=2 #y\n"
	      "> failed dc1/a y: bad\n"
	      "> configured dc1/a x\n"
	      "apply dc1 a x=2 #y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 a x=2 y=1\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void an_object_without_a_name_stops_the_deletions_of_its_key(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=2 BROKEN\n"
	      "> [broken dc1/a: no name]\n"
	      "> configured dc1/a x\n"
	      "apply dc1 a x=2 BROKEN\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 a x=2\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void after_a_restart_nothing_is_deleted_before_its_key_is_said(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 a y=1\n"
	      "found dc1 b z=1\n"
	      "apply dc1 a x=1\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void hands_off_is_obeyed_and_said_once(void **state UNUSED)
{
	check("found dc1 a x=1!\n"
	      "found dc1 a y=1!\n"
	      "apply dc1 a x=2\n"
	      "> skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n"
	      "> skipped dc1/a y: 'meshpipe.io/reconcile' is 'disabled' on it\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n"
	      "found dc1 a x=1\n"
	      "> configured dc1/a x\n"
	      "found dc1 a y=1\n"
	      "> deleted dc1/a y\n");
}

static void drift_is_put_right(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "found dc1 a x=edited\n"
	      "> configured dc1/a x\n"
	      "lost x\n"
	      "> created dc1/a x\n"
	      "found dc1 a more=1\n"
	      "> deleted dc1/a more\n");
}

static void a_source_can_be_pruned_by_name(void **state UNUSED)
{
	check("remember dc2 all\n"
	      "found dc2 a x=1\n"
	      "found dc2 b y=1\n"
	      "found dc1 c z=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "prune dc1\n"
	      "> [prune no]\n"
	      "prune dc3\n"
	      "> [prune no]\n"
	      "prune dc2\n"
	      "> [remember dc2 nothing]\n"
	      "> [source pruned dc2]\n"
	      "> [prune yes]\n"
	      "> deleted dc2/a x\n"
	      "> deleted dc2/b y\n");
}

static void plain_manifests_are_not_pruned(void **state UNUSED)
{
	check("found - a x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void add_silent(void *arg, const char *source, size_t objects)
{
	assert_string_equal(source, "dc2");
	assert_int_equal(objects, 1);
	++*(int *)arg;
}

static void a_source_that_does_not_speak_is_known(void **state UNUSED)
{
	struct bench b = { .quiet = true };
	const struct plan_config config = { .accept_scope = false };
	const struct plan_handler handler = { on_result, on_notice, on_remember, &b };
	char spoken[] = "dc1", silent[] = "dc2", k[] = "k", x[] = "x=1", y[] = "y=1";
	int count = 0;

	b.plan = plan_new(&config, &handler);
	plan_remember(b.plan, "dc1", "all");
	plan_remember(b.plan, "dc2", "all");
	found(&b, (char *[]){ silent, k, x });
	found(&b, (char *[]){ spoken, k, y });
	assert_false(plan_all_synced(b.plan));
	plan_start(b.plan, "dc1", "s1", "all");
	assert_false(plan_all_synced(b.plan));
	plan_keep_key(b.plan, "dc1", "k");
	plan_synced(b.plan, 0, "dc1", "s1", 1);
	assert_true(plan_all_synced(b.plan));
	plan_silent_sources(b.plan, add_silent, &count);
	assert_int_equal(count, 1);
	plan_free(b.plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_again_is_nothing),
		cmocka_unit_test(what_a_key_no_longer_names_goes_at_once_and_last),
		cmocka_unit_test(a_deletion_waits_for_the_writes_of_its_key),
		cmocka_unit_test(what_is_kept_is_left_as_it_is),
		cmocka_unit_test(a_key_that_is_kept_takes_back_its_deletions),
		cmocka_unit_test(an_object_that_cannot_be_read_is_left_and_said_once),
		cmocka_unit_test(an_object_without_a_name_stops_the_deletions_of_its_key),
		cmocka_unit_test(after_a_restart_nothing_is_deleted_before_its_key_is_said),
		cmocka_unit_test(hands_off_is_obeyed_and_said_once),
		cmocka_unit_test(drift_is_put_right),
		cmocka_unit_test(a_source_can_be_pruned_by_name),
		cmocka_unit_test(plain_manifests_are_not_pruned),
		cmocka_unit_test(a_source_that_does_not_speak_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
