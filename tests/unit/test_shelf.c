/* shelf: what was put there comes back as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "k8s-apply/shelf.h"

static void check(struct shelf *s, const char *text)
{
	cleanup_free struct shelved *kept = shelf_put(s, text);
	cleanup_free char *back = shelf_get(s, kept);

	assert_string_equal(back, text);
}

static void test_short_and_long(void **state UNUSED)
{
	struct shelf *s = shelf_new();
	cleanup_free char *text = xcalloc(200001, 1);
	uint32_t noise = 1;

	check(s, "");
	check(s, "a");
	/* Much the same, and then nothing like it. */
	memset(text, 'x', 200000);
	check(s, text);
	for (size_t i = 0; i < 200000; i++) {
		noise = noise * 1664525u + 1013904223u;
		text[i] = (char)(1 + (noise >> 16) % 255);
	}
	check(s, text);
	shelf_free(s);
}

/* Before the sample is complete and after it, in whatever order they are asked for. */
static void test_many(void **state UNUSED)
{
	enum { COUNT = 500 };
	struct shelf *s = shelf_new();
	struct shelved *kept[COUNT];

	for (int i = 0; i < COUNT; i++) {
		cleanup_free char *text = xasprintf("{\"name\":\"svc-%d\",\"port\":%d}", i, i * 7);

		kept[i] = shelf_put(s, text);
	}
	for (int i = COUNT - 1; i >= 0; i--) {
		cleanup_free char *text = xasprintf("{\"name\":\"svc-%d\",\"port\":%d}", i, i * 7);
		cleanup_free char *back = shelf_get(s, kept[i]);

		assert_string_equal(back, text);
		free(kept[i]);
	}
	shelf_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_and_long),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
