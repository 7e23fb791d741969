#include "lib/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static void parse_u64_takes_whole_decimal_numbers_only(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool good;
		uint64_t value;
	} rows[] = {
		{ "0", UINT64_MAX, true, 0 },
		{ "007", UINT64_MAX, true, 7 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999999999", UINT64_MAX, false, 0 },
		{ "1000", 1000, true, 1000 },
		{ "1001", 1000, false, 0 },
		{ "", UINT64_MAX, false, 0 },
		{ "-1", UINT64_MAX, false, 0 },
		{ "+1", UINT64_MAX, false, 0 },
		{ " 1", UINT64_MAX, false, 0 },
		{ "1 ", UINT64_MAX, false, 0 },
		{ "1a", UINT64_MAX, false, 0 },
		{ "0x10", UINT64_MAX, false, 0 },
		{ "1.0", UINT64_MAX, false, 0 },
		{ "\xd9\xa1", UINT64_MAX, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 42;

		assert_int_equal(parse_u64(rows[i].text, rows[i].max, &value), rows[i].good);
		/* Untouched on failure. */
		assert_int_equal(value, rows[i].good ? rows[i].value : 42);
	}
}

static void starts_and_ends(void **state UNUSED)
{
	assert_true(str_starts("https://x", "https://"));
	assert_true(str_starts("abc", ""));
	assert_false(str_starts("ab", "abc"));
	assert_true(str_ends("a.yaml", ".yaml"));
	assert_true(str_ends("abc", ""));
	assert_false(str_ends("yaml", ".yaml"));
}

static void take_moves_a_value_out(void **state UNUSED)
{
	char *a = xstrdup("x");
	cleanup_free char *b = TAKE(a);

	assert_null(a);
	assert_string_equal(b, "x");
}

/* A file of `len` bytes; the caller removes and frees the name. */
static char *make_file(size_t len)
{
	char *path = xstrdup("/tmp/meshpipe-test.XXXXXX");
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	for (size_t i = 0; i < len; i++)
		fputc((int)('a' + i % 26), f);
	fclose(f);
	return path;
}

static void a_file_is_read_whole(void **state UNUSED)
{
	static const size_t lengths[] = { 0, 1, 4094, 4095, 4096, 4097, 8192, 100000 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		cleanup_free char *path = make_file(lengths[i]);
		size_t len = 12345;
		cleanup_free char *text = read_whole_file(path, 100000, &len);

		assert_non_null(text);
		assert_int_equal(len, lengths[i]);
		assert_int_equal(strlen(text), lengths[i]);
		unlink(path);
	}
}

static void a_file_over_the_limit_is_not_read(void **state UNUSED)
{
	cleanup_free char *path = make_file(5000);
	cleanup_free char *fits = read_whole_file(path, 5000, NULL);

	assert_non_null(fits);
	errno = 0;
	assert_null(read_whole_file(path, 4999, NULL));
	assert_int_equal(errno, EFBIG);
	unlink(path);
	errno = 0;
	assert_null(read_whole_file(path, 5000, NULL));
	assert_int_equal(errno, ENOENT);
	errno = 0;
	assert_null(read_whole_file("/tmp", 5000, NULL));
	assert_int_equal(errno, EISDIR);
	/* It has no end: the limit must bound what is read, too. */
	errno = 0;
	assert_null(read_whole_file("/dev/zero", 100000, NULL));
	assert_int_equal(errno, EFBIG);
}

static void sizes_of_nothing_give_memory(void **state UNUSED)
{
	static const size_t sizes[] = { 8, 0 };
	cleanup_free char *c = xstrndup("abc", 2);
	cleanup_free char *d = xasprintf("%s-%d", "x", 7);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* cppcheck-suppress invalidFunctionArg */
		cleanup_free char *a = xcalloc(sizes[i], sizes[i]);
		cleanup_free char *b = xrealloc(NULL, sizes[i], sizes[i]);

		assert_non_null(a);
		assert_non_null(b);
	}
	assert_string_equal(c, "ab");
	assert_string_equal(d, "x-7");
}

#if !defined(__SANITIZE_ADDRESS__)
static void without_memory_the_process_ends_with_71(void **state UNUSED)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		void *p;

		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		p = xrealloc(NULL, SIZE_MAX / 2, 4);
		_exit(p != NULL ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 71);
}
#endif

static void clocks_go_on(void **state UNUSED)
{
	int64_t before = steady_ms();
	struct timespec boot;

	usleep(20000);
	assert_in_range(steady_ms() - before, 19, 10000);
	/* Also while the machine sleeps. */
	clock_gettime(CLOCK_BOOTTIME, &boot);
	assert_in_range(
		(int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000 - steady_ms() + 1000, 0, 2000);
	/* Later than this was written. */
	assert_true(wall_ms() > 1767225600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_u64_takes_whole_decimal_numbers_only),
		cmocka_unit_test(starts_and_ends),
		cmocka_unit_test(take_moves_a_value_out),
		cmocka_unit_test(a_file_is_read_whole),
		cmocka_unit_test(a_file_over_the_limit_is_not_read),
		cmocka_unit_test(sizes_of_nothing_give_memory),
#if !defined(__SANITIZE_ADDRESS__)
		cmocka_unit_test(without_memory_the_process_ends_with_71),
#endif
		cmocka_unit_test(clocks_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
