/* The decision module: deletions wait for another key, and sources that are not the present. */
#include "tests/unit/plan_bench.h"

/* As k8s-apply has it. */
static void check_delayed(const char *script)
{
	const struct plan_config config = {
		.quiet_ms = 50,
		.quiet_max_ms = 1000,
		.prune_delay_ms = 2000,
	};

	check_with(&config, script);
}

static void what_a_key_gives_up_goes_when_the_input_is_quiet(void **state UNUSED)
{
	check_delayed("apply dc1 a x=1 y=1\n"
		      "> created dc1/a x\n"
		      "> created dc1/a y\n"
		      "apply dc1 a x=1\n"
		      "counts\n"
		      "> objects 2 waiting 1 failed 0 held 0/0\n"
		      "wait 49\n"
		      "wait 1\n"
		      "> deleted dc1/a y\n"
		      "counts\n"
		      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void an_input_that_is_never_quiet_puts_it_off_for_a_second(void **state UNUSED)
{
	check_delayed("hush\n"
		      "apply dc1 a x=1 y=1\n"
		      "apply dc1 a x=1\n"
		      "speak\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 40\napply dc1 b\nwait 40\napply dc1 b\nwait 40\napply dc1 b\n"
		      "wait 39\napply dc1 b\n"
		      "wait 1\n"
		      "> deleted dc1/a y\n");
}

static void an_object_moves_when_the_key_that_loses_it_speaks_first(void **state UNUSED)
{
	check_delayed("ops\n"
		      "apply dc1 a x=1 y=1\n"
		      "> op write dc1/a x new\n"
		      "> created dc1/a x\n"
		      "> op write dc1/a y new\n"
		      "> created dc1/a y\n"
		      "apply dc1 a x=1\n"
		      "wait 30\n"
		      "apply dc1 b y=1\n"
		      "> op write dc1/b y from dc1/a\n"
		      "> configured dc1/b y\n"
		      "wait 5000\n");
}

static void an_object_moves_from_a_key_that_loses_all(void **state UNUSED)
{
	check_delayed("ops\n"
		      "apply dc1 c z=1\n"
		      "> op write dc1/c z new\n"
		      "> created dc1/c z\n"
		      "apply dc1 a x=1 y=1\n"
		      "> op write dc1/a x new\n"
		      "> created dc1/a x\n"
		      "> op write dc1/a y new\n"
		      "> created dc1/a y\n"
		      "apply dc1 a\n"
		      "wait 1900\n"
		      "apply dc1 b y=1\n"
		      "> op write dc1/b y from dc1/a\n"
		      "> configured dc1/b y\n"
		      "wait 99\n"
		      "wait 1\n"
		      "> op delete dc1/a x\n"
		      "> deleted dc1/a x\n");
}

static void a_key_that_comes_back_in_time_keeps_its_objects(void **state UNUSED)
{
	check_delayed("hush\n"
		      "apply dc1 c z=1\n"
		      "apply dc1 a x=1\n"
		      "start dc1 s1 all\n"
		      "keep dc1 c\n"
		      "synced dc1 s1 1\n"
		      "speak\n"
		      "wait 1000\n"
		      "apply dc1 a x=1\n"
		      "wait 5000\n"
		      "apply dc1 a x=2\n"
		      "> configured dc1/a x\n");
}

static void what_is_tried_again_does_not_wait_anew(void **state UNUSED)
{
	check_delayed("hush\n"
		      "apply dc1 a x=1 y=1\n"
		      "later\n"
		      "apply dc1 a x=1\n"
		      "ops\n"
		      "speak\n"
		      "wait 50\n"
		      "> op delete dc1/a y\n"
		      "done y decide\n"
		      "> op delete dc1/a y\n"
		      "done y ok\n"
		      "> deleted dc1/a y\n");
}

static void at_the_end_nothing_is_waited_for(void **state UNUSED)
{
	check_delayed("hush\n"
		      "apply dc1 c z=1\n"
		      "apply dc1 a x=1\n"
		      "apply dc1 b y=1 z=1\n"
		      "speak\n"
		      "apply dc1 a\n"
		      "apply dc1 b z=1\n"
		      "hurry\n"
		      "> deleted dc1/b y\n"
		      "> deleted dc1/a x\n"
		      "apply dc1 b\n"
		      "counts\n"
		      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void a_source_that_is_not_the_present_waits_and_the_others_go_on(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "pause dc1\n"
	      "apply dc1 a x=2\n"
	      "apply dc2 b z=1\n"
	      "> created dc2/b z\n"
	      "lost x\n"
	      "counts\n"
	      "> objects 2 waiting 2 failed 0 held 0/0\n"
	      "apply dc2 b z=2\n"
	      "> configured dc2/b z\n"
	      "resume dc1\n"
	      "> deleted dc1/a y\n"
	      "> created dc1/a x\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void what_waits_for_its_source_may_be_wanted_no_more(void **state UNUSED)
{
	check("pause dc1\n"
	      "apply dc1 a x=1\n"
	      "apply dc1 a\n"
	      "counts\n"
	      "> objects 0 waiting 0 failed 0 held 0/0\n"
	      "resume dc1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_key_gives_up_goes_when_the_input_is_quiet),
		cmocka_unit_test(an_input_that_is_never_quiet_puts_it_off_for_a_second),
		cmocka_unit_test(an_object_moves_when_the_key_that_loses_it_speaks_first),
		cmocka_unit_test(an_object_moves_from_a_key_that_loses_all),
		cmocka_unit_test(a_key_that_comes_back_in_time_keeps_its_objects),
		cmocka_unit_test(what_is_tried_again_does_not_wait_anew),
		cmocka_unit_test(at_the_end_nothing_is_waited_for),
		cmocka_unit_test(a_source_that_is_not_the_present_waits_and_the_others_go_on),
		cmocka_unit_test(what_waits_for_its_source_may_be_wanted_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
