/* intern: what is equal is there once, for as long as somebody holds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "k8s-apply/intern.h"

static void test_one_copy(void **state UNUSED)
{
	struct intern in = { .map = MAP_INIT };
	char text[] = "dc1";
	const char *a = intern_text(&in, text), *b = intern_text(&in, "dc1");

	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, text);
	assert_int_equal(in.map.count, 1);
	intern_drop(&in, a);
	assert_string_equal(b, "dc1");
	intern_drop(&in, b);
	assert_int_equal(in.map.count, 0);
	intern_release(&in);
}

static void test_bytes(void **state UNUSED)
{
	static const uint64_t one[] = { 1, 2 }, other[] = { 1, 2, 3 };
	struct intern in = { .map = MAP_INIT };
	uint64_t *a = intern_bytes(&in, one, sizeof(one));
	uint64_t *b = intern_bytes(&in, other, sizeof(other));

	assert_ptr_not_equal(a, b);
	assert_int_equal(intern_len(a), sizeof(one));
	assert_int_equal(intern_len(b), sizeof(other));
	assert_memory_equal(b, other, sizeof(other));
	assert_int_equal((uintptr_t)a % sizeof(*a), 0);
	assert_int_equal(intern_len(NULL), 0);
	intern_drop(&in, NULL);
	/* What nobody dropped goes with it. */
	intern_release(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_copy),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
