/* The decision module: failures, pauses and what changes meanwhile. */
#include "tests/unit/plan_bench.h"

static void while_frozen_nothing_is_done_and_nothing_forgotten(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "freeze\n"
	      "apply dc1 a x=2\n"
	      "apply dc1 b z=1\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 2 waiting 3 failed 0 held 0/0\n"
	      "thaw\n"
	      "> configured dc1/a x\n"
	      "> deleted dc1/a y\n"
	      "> created dc1/b z\n");
}

static void a_failure_is_said_once_and_tried_again_with_growing_pauses(void **state UNUSED)
{
	check("ops\n"
	      "answer x retry\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> failed dc1/a x: no luck\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "wait 999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "wait 1999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n"
	      "retry\n"
	      "> op write dc1/a x new\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n");
}

static void after_it_succeeds_a_failure_is_said_again(void **state UNUSED)
{
	check("answer x retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "answer x ok\n"
	      "wait 1000\n"
	      "> created dc1/a x\n"
	      "answer x refused\n"
	      "apply dc1 a x=2\n"
	      "> failed dc1/a x: no luck\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n");
}

static void the_pause_ends_at_five_minutes(void **state UNUSED)
{
	check("answer x retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "ops\n"
	      "wait 299999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n");
}

static void what_is_refused_waits_for_another_word(void **state UNUSED)
{
	check("ops\n"
	      "answer x refused\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "> failed dc1/a x: no luck\n"
	      "wait 86400000\n"
	      "retry\n"
	      "answer x ok\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n");
}

static void what_somebody_else_has_is_a_conflict(void **state UNUSED)
{
	check("answer x foreign\n"
	      "apply dc1 a x=1\n"
	      "> conflict dc1/a x: no luck\n"
	      "counts\n"
	      "> objects 0 waiting 0 failed 1 held 0/0\n"
	      "answer x ok\n"
	      "wait 299999\n"
	      "wait 1\n"
	      "> created dc1/a x\n");
}

static void what_is_denied_is_tried_again_slowly(void **state UNUSED)
{
	check("answer x denied\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "answer x ok\n"
	      "wait 299999\n"
	      "wait 1\n"
	      "> created dc1/a x\n");
}

static void what_goes_away_is_worth_another_try(void **state UNUSED)
{
	check("answer x retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "answer x ok\n"
	      "lost x\n"
	      "> created dc1/a x\n");
}

static void the_latest_word_wins_while_one_is_in_flight(void **state UNUSED)
{
	check("ops\n"
	      "later\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "apply dc1 a x=2\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 0 waiting 1 failed 0 held 0/0\n"
	      "done x ok\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a x\n"
	      "apply dc1 a x=4\n"
	      "done x retry\n"
	      "> failed dc1/a x: no luck\n"
	      "> op write dc1/a x\n"
	      "done x ok\n"
	      "> configured dc1/a x\n");
}

static void what_is_unwanted_by_the_time_it_is_made_goes(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "later\n"
	      "ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a y new\n"
	      "apply dc1 a x=1\n"
	      "done y ok\n"
	      "> created dc1/a y\n"
	      "> op delete dc1/a y\n"
	      "done y ok\n"
	      "> deleted dc1/a y\n");
}

static void the_target_may_ask_to_decide_again(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "ops\n"
	      "later\n"
	      "apply dc1 a x=2\n"
	      "> op write dc1/a x\n"
	      "found dc1 a x=1!\n"
	      "done x decide\n"
	      "> skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n");
}

static void a_lost_answer_of_a_deletion_is_no_loss(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "later\n"
	      "apply dc1 a y=1\n"
	      "lost x\n"
	      "done x decide\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void what_is_fought_over_is_tried_again_when_the_target_says(void **state UNUSED)
{
	check("later\n"
	      "apply dc1 a x=1\n"
	      "leave x 3000\n"
	      "> conflict dc1/a x: a fight\n"
	      "ops\n"
	      "counts\n"
	      "> objects 0 waiting 0 failed 1 held 0/0\n"
	      "wait 2999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "leave x 6000\n"
	      "wait 5999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "done x ok\n"
	      "> created dc1/a x\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void what_is_adopted_was_there_before(void **state UNUSED)
{
	check("answer x adopted\n"
	      "apply dc1 a x=1 y=1\n"
	      "> configured+adopted dc1/a x\n"
	      "> created dc1/a y\n"
	      "answer x ok\n"
	      "apply dc1 a y=1\n"
	      "> deleted dc1/a x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(while_frozen_nothing_is_done_and_nothing_forgotten),
		cmocka_unit_test(a_failure_is_said_once_and_tried_again_with_growing_pauses),
		cmocka_unit_test(after_it_succeeds_a_failure_is_said_again),
		cmocka_unit_test(the_pause_ends_at_five_minutes),
		cmocka_unit_test(what_is_refused_waits_for_another_word),
		cmocka_unit_test(what_somebody_else_has_is_a_conflict),
		cmocka_unit_test(what_is_denied_is_tried_again_slowly),
		cmocka_unit_test(what_goes_away_is_worth_another_try),
		cmocka_unit_test(the_latest_word_wins_while_one_is_in_flight),
		cmocka_unit_test(what_is_unwanted_by_the_time_it_is_made_goes),
		cmocka_unit_test(the_target_may_ask_to_decide_again),
		cmocka_unit_test(a_lost_answer_of_a_deletion_is_no_loss),
		cmocka_unit_test(what_is_fought_over_is_tried_again_when_the_target_says),
		cmocka_unit_test(what_is_adopted_was_there_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
