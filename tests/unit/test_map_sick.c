#include "mesh-map/sick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LATER_MS (steady_ms() + 3600 * 1000)

static void die(struct sick_list *l, const char *source, const char *service, const char *text)
{
	struct item *item = item_new(ITEM_SERVICE, 7, text, strlen(text));

	item_name(item, source, strlen(source), service, strlen(service));
	sick_died(l, item, "of it");
	item_free(item);
}

static void the_pauses_grow(void **state UNUSED)
{
	struct sick_list l = { 0 };
	int64_t pause_ms = 0;

	for (int i = 0; i < 12; i++) {
		int64_t now_ms = steady_ms(),
			least_ms = (1000LL << i) < 300000 ? 1000LL << i : 300000;

		die(&l, "dc1", "web", "{}");
		pause_ms = sick_find(&l, "dc1/web")->due_ms - now_ms;
		assert_true(pause_ms >= least_ms);
		assert_true(pause_ms <= 2 * least_ms + 1000);
		assert_null(sick_due(&l, now_ms));
		assert_non_null(sick_due(&l, now_ms + pause_ms));
	}
	sick_release(&l);
	assert_int_equal(l.count, 0);
}

static void the_last_record_is_the_one_to_try(void **state UNUSED)
{
	struct sick_list l = { 0 };
	struct item *newer = item_new(ITEM_SERVICE, 9, "newer", 5);

	die(&l, "dc1", "web", "older");
	die(&l, "dc2", "web", "other");
	sick_renew(&l, sick_find(&l, "dc1/web"), newer);
	assert_string_equal(sick_find(&l, "dc1/web")->text, "newer");
	assert_int_equal(sick_find(&l, "dc1/web")->line, 9);
	assert_string_equal(sick_find(&l, "dc2/web")->text, "other");
	assert_int_equal(l.bytes, 10);
	sick_forget(&l, "dc1/web");
	assert_null(sick_find(&l, "dc1/web"));
	assert_int_equal(l.bytes, 5);
	sick_forget(&l, "dc1/web");
	item_free(newer);
	sick_release(&l);
	assert_int_equal(l.bytes, 0);
}

static void a_snapshot_ends_the_tries_of_its_source(void **state UNUSED)
{
	struct sick_list l = { 0 };

	die(&l, "dc1", "web", "{}");
	die(&l, "dc2", "web", "{}");
	sick_forget_texts(&l, "dc1");
	/* What it does is known still: its next record goes to nobody's worker. */
	assert_non_null(sick_find(&l, "dc1/web"));
	assert_string_equal(sick_due(&l, LATER_MS)->subject, "dc2/web");
	sick_forget_text(&l, "dc2/web");
	assert_null(sick_due(&l, LATER_MS));
	sick_forget_unnamed(&l, "dc1");
	assert_null(sick_find(&l, "dc1/web"));
	assert_non_null(sick_find(&l, "dc2/web"));
	assert_int_equal(l.count, 1);
	sick_release(&l);
}

static void what_is_too_much_is_not_remembered(void **state UNUSED)
{
	size_t len = 40u << 20;
	cleanup_free char *text = xcalloc(len + 1, 1);
	struct sick_list l = { 0 };

	memset(text, 'x', len);
	die(&l, "dc1", "a", text);
	die(&l, "dc1", "b", text);
	assert_non_null(sick_find(&l, "dc1/a")->text);
	assert_null(sick_find(&l, "dc1/b")->text);
	assert_int_equal(l.bytes, len);
	sick_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pauses_grow),
		cmocka_unit_test(the_last_record_is_the_one_to_try),
		cmocka_unit_test(a_snapshot_ends_the_tries_of_its_source),
		cmocka_unit_test(what_is_too_much_is_not_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
