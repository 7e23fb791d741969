/* The decision module: snapshots, and what they prune. */
#include "tests/unit/plan_bench.h"

static void a_counted_snapshot_prunes_the_keys_it_does_not_name(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "found dc2 c z=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_keep_names_a_key_too(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "keep dc1 b\n"
	      "synced dc1 s1 2\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_snapshot_of_the_wrong_size_prunes_nothing(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 2\n"
	      "> [not pruned dc1: it announces 2 keys, 1 came]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n");
}

static void a_synced_without_its_start_prunes_nothing(void **state UNUSED)
{
	check("found dc1 b y=1\n"
	      "apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n"
	      "start dc1 s2 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n");
}

static void an_unreadable_line_spoils_the_snapshots_that_are_open(void **state UNUSED)
{
	check("found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "unreadable\n"
	      "apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: a line since its start could not be read]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n");
}

static void another_scope_prunes_nothing_but_keys_go_on(void **state UNUSED)
{
	check("remember dc1 all\n"
	      "found dc1 a x=1\n"
	      "found dc1 a y=1\n"
	      "found dc1 b z=1\n"
	      "start dc1 s1 web-only\n"
	      "apply dc1 a x=1\n"
	      "> deleted dc1/a y\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: it is of 'web-only', what is there is of 'all' (if that is "
	      "meant, run once with --accept-scope)]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b z\n");
}

static void another_scope_can_be_accepted(void **state UNUSED)
{
	const struct plan_config config = { .accept_scope = true };

	check_with(&config, "remember dc1 all\n"
			    "found dc1 a x=1\n"
			    "found dc1 b z=1\n"
			    "start dc1 s1 web-only\n"
			    "> [remember dc1 web-only]\n"
			    "apply dc1 a x=1\n"
			    "synced dc1 s1 1\n"
			    "> [synced dc1]\n"
			    "> deleted dc1/b z\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counted_snapshot_prunes_the_keys_it_does_not_name),
		cmocka_unit_test(a_keep_names_a_key_too),
		cmocka_unit_test(a_snapshot_of_the_wrong_size_prunes_nothing),
		cmocka_unit_test(a_synced_without_its_start_prunes_nothing),
		cmocka_unit_test(an_unreadable_line_spoils_the_snapshots_that_are_open),
		cmocka_unit_test(another_scope_prunes_nothing_but_keys_go_on),
		cmocka_unit_test(another_scope_can_be_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
