/* The decision module: too many deletions are held. */
#include "tests/unit/plan_bench.h"

static void the_last_keys_of_a_source_are_held(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc2 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "synced dc1 s1 0\n"
	      "> [hold dc1 1/1: nothing would be left of the source]\n"
	      "> held dc1/a x\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 1/1\n"
	      "start dc1 s2 all\n"
	      "synced dc1 s2 0\n"
	      "> [synced dc1]\n"
	      "apply dc1 a x=1\n"
	      "> [nothing held]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_key_that_becomes_empty_counts_as_one_that_vanished(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "apply dc1 a\n"
	      "> [hold dc1 1/1: nothing would be left of the source]\n"
	      "> held dc1/a x\n"
	      "apply dc1 a\n"
	      "keep dc1 a\n"
	      "> [nothing held]\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void twenty_keys_may_go_but_not_one_more(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 21 100\n"
	      "empty dc1 1 19\n"
	      "counts\n"
	      "> objects 81 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 k020\n"
	      "> deleted dc1/k020 dc1-k020\n"
	      "apply dc1 k021\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k021 dc1-k021\n"
	      "apply dc1 k022\n"
	      "> held dc1/k022 dc1-k022\n"
	      "apply dc1 new n=1\n"
	      "> created dc1/new n\n"
	      "counts\n"
	      "> objects 81 waiting 0 failed 0 held 2/2\n");
}

static void the_ten_minutes_pass(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "empty dc1 1 20\n"
	      "wait 599999\n"
	      "apply dc1 k021\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k021 dc1-k021\n"
	      "keys dc1 21 21\n"
	      "wait 1\n"
	      "apply dc1 k021\n"
	      "> deleted dc1/k021 dc1-k021\n");
}

static void a_tenth_of_many_keys_may_go(void **state UNUSED)
{
	check("keys dc1 1 500\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 51 500\n"
	      "hush\n"
	      "synced dc1 s1 450\n"
	      "speak\n"
	      "counts\n"
	      "> objects 450 waiting 0 failed 0 held 0/0\n");
}

/* Of a snapshot that lacks too many nothing goes, the first twenty neither. */

static void a_batch_is_held_whole(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 22 101\n"
	      "hush\n"
	      "synced dc1 s1 80\n"
	      "speak\n"
	      "counts\n"
	      "> objects 101 waiting 0 failed 0 held 21/21\n");
}

static void two_sources_share_the_ten_minutes(void **state UNUSED)
{
	check("keys dc1 1 50\n"
	      "keys dc2 1 50\n"
	      "empty dc1 1 15\n"
	      "empty dc2 1 15\n"
	      "counts\n"
	      "> objects 80 waiting 0 failed 0 held 10/10\n");
}

static void an_approval_is_a_ceiling(void **state UNUSED)
{
	check("keys dc1 1 30\n"
	      "empty dc1 1 22\n"
	      "counts\n"
	      "> objects 10 waiting 0 failed 0 held 2/2\n"
	      "approve 1\n"
	      "> [approval too low 2/2]\n"
	      "approve 2\n"
	      "> deleted dc1/k021 dc1-k021\n"
	      "> deleted dc1/k022 dc1-k022\n"
	      "approve 100\n"
	      "counts\n"
	      "> objects 8 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 k023\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k023 dc1-k023\n");
}

static void an_approval_given_before_is_used_up(void **state UNUSED)
{
	const struct plan_config config = { .approved_keys = 2 };

	check_with(&config, "keys dc1 1 30\n"
			    "empty dc1 1 20\n"
			    "apply dc1 k021\n"
			    "> deleted dc1/k021 dc1-k021\n"
			    "apply dc1 k022\n"
			    "> deleted dc1/k022 dc1-k022\n"
			    "apply dc1 k023\n"
			    "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, "
			    "within ten minutes]\n"
			    "> held dc1/k023 dc1-k023\n");
}

static void an_approval_given_before_is_a_ceiling_too(void **state UNUSED)
{
	const struct plan_config config = { .approved_keys = 2 };

	check_with(&config, "found dc1 a x=1\n"
			    "found dc1 b y=1\n"
			    "found dc1 c z=1\n"
			    "start dc1 s1 all\n"
			    "> [remember dc1 all]\n"
			    "synced dc1 s1 0\n"
			    "> [hold dc1 3/3: nothing would be left of the source]\n"
			    "> held dc1/a x\n"
			    "> held dc1/b y\n"
			    "> held dc1/c z\n"
			    "> [synced dc1]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_keys_of_a_source_are_held),
		cmocka_unit_test(a_key_that_becomes_empty_counts_as_one_that_vanished),
		cmocka_unit_test(twenty_keys_may_go_but_not_one_more),
		cmocka_unit_test(the_ten_minutes_pass),
		cmocka_unit_test(a_tenth_of_many_keys_may_go),
		cmocka_unit_test(a_batch_is_held_whole),
		cmocka_unit_test(two_sources_share_the_ten_minutes),
		cmocka_unit_test(an_approval_is_a_ceiling),
		cmocka_unit_test(an_approval_given_before_is_used_up),
		cmocka_unit_test(an_approval_given_before_is_a_ceiling_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
