#include "lib/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void an_error_has_a_status_and_a_message(void **state UNUSED)
{
	struct err err = ERR_INIT;

	assert_int_equal(err.status, EXIT_OK);
	assert_string_equal(err.msg, "");
	assert_int_equal(err_set(&err, EXIT_USAGE, "unknown option '%s'", "-x"), -1);
	assert_int_equal(err.status, 64);
	assert_string_equal(err.msg, "unknown option '-x'");
}

static void errno_is_said_last(void **state UNUSED)
{
	struct err err = ERR_INIT;

	errno = ENOENT;
	assert_int_equal(err_errno(&err, EXIT_CONFIG, "cannot read '%s'", "f"), -1);
	assert_int_equal(err.status, 78);
	assert_string_equal(err.msg, "cannot read 'f': No such file or directory");
}

static void context_goes_in_front_and_keeps_the_status(void **state UNUSED)
{
	struct err err = ERR_INIT;

	err_set(&err, EXIT_REFUSED, "permission denied");
	assert_int_equal(err_wrap(&err, "object '%s'", "web"), -1);
	assert_int_equal(err_wrap(&err, "set '%s'", "prod"), -1);
	assert_int_equal(err.status, 77);
	assert_string_equal(err.msg, "set 'prod': object 'web': permission denied");
}

static void what_is_too_long_is_cut(void **state UNUSED)
{
	struct err err = ERR_INIT;
	char big[4096];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&err, EXIT_BUG, "%s", big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	errno = EIO;
	err_errno(&err, EXIT_BUG, "%s", big);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	err_wrap(&err, "context");
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	assert_memory_equal(err.msg, "context: xxx", 12);
	/* A context leaves room for what it is the context of. */
	err_set(&err, EXIT_BUG, "the reason");
	err_wrap(&err, "%s", big);
	assert_non_null(strstr(err.msg, "x: the reason"));
	for (int i = 0; i < 300; i++)
		err_wrap(&err, "again and again");
	assert_true(strlen(err.msg) < sizeof(err.msg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_a_status_and_a_message),
		cmocka_unit_test(errno_is_said_last),
		cmocka_unit_test(context_goes_in_front_and_keeps_the_status),
		cmocka_unit_test(what_is_too_long_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
