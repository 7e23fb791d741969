/* The decision module: several keys, one object. */
#include "tests/unit/plan_bench.h"

static void who_has_an_object_keeps_it(void **state UNUSED)
{
	check("apply dc1 b x=1\n"
	      "> created dc1/b x\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/a x: 'dc1/b' has it\n"
	      "apply dc1 a x=3\n"
	      "apply dc1 b x=4\n"
	      "> configured dc1/b x\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "> configured dc1/a x\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 b x=1 y=1\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n");
}

static void with_none_having_it_the_lesser_key_gets_it(void **state UNUSED)
{
	check("ops\n"
	      "freeze\n"
	      "apply dc1 b x=1\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n"
	      "apply dc1 c x=3\n"
	      "> conflict dc1/c x: 'dc1/a' has it\n"
	      "thaw\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n");
}

/* "dc1-x/k" comes before "dc1/k": the order is that of the whole text. */

static void the_order_of_keys_is_that_of_their_text(void **state UNUSED)
{
	check("freeze\n"
	      "apply dc1 k x=1\n"
	      "apply dc1-x k x=2\n"
	      "> conflict dc1/k x: 'dc1-x/k' has it\n");
}

static void after_a_restart_the_one_who_had_it_has_it(void **state UNUSED)
{
	check("found dc1 b x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/a x: 'dc1/b' has it\n"
	      "apply dc1 b x=1\n"
	      "synced dc1 s1 2\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n");
}

static void an_object_that_moves_is_never_deleted(void **state UNUSED)
{
	check("ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "apply dc1 b x=1\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n"
	      "apply dc1 a y=1\n"
	      "> op write dc1/b x from dc1/a\n"
	      "> configured dc1/b x\n");
}

static void an_object_moves_from_a_key_that_vanished(void **state UNUSED)
{
	check("found dc1 old x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 new x=1\n"
	      "> conflict dc1/new x: 'dc1/old' has it\n"
	      "ops\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "> op write dc1/new x from dc1/old\n"
	      "> configured dc1/new x\n");
}

static void what_another_key_has_stays_there(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b x=1\n"
	      "> [another has it]\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void what_nobody_is_known_to_have_goes_to_who_wants_it(void **state UNUSED)
{
	check("found - - x=0\n"
	      "found - - y=0\n"
	      "apply dc1 a x=1\n"
	      "> configured dc1/a x\n"
	      "start dc1 1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 1 1\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_an_object_keeps_it),
		cmocka_unit_test(with_none_having_it_the_lesser_key_gets_it),
		cmocka_unit_test(the_order_of_keys_is_that_of_their_text),
		cmocka_unit_test(after_a_restart_the_one_who_had_it_has_it),
		cmocka_unit_test(an_object_that_moves_is_never_deleted),
		cmocka_unit_test(an_object_moves_from_a_key_that_vanished),
		cmocka_unit_test(what_another_key_has_stays_there),
		cmocka_unit_test(what_nobody_is_known_to_have_goes_to_who_wants_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
