#include "lib/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* What one log line puts on stderr, through a pipe. */
static char said[64u << 10];
static int said_fd, real_stderr;

static int listen_to_stderr(void **state UNUSED)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, sizeof(said)) > 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	said_fd = fds[0];
	unsetenv("JOURNAL_STREAM");
	log_init("prog");
	log_set_level("info");
	log_set_format("logfmt");
	return 0;
}

static int leave_stderr(void **state UNUSED)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(said_fd);
	return 0;
}

static const char *heard(void)
{
	ssize_t n = read(said_fd, said, sizeof(said) - 1);

	said[n > 0 ? n : 0] = '\0';
	return said;
}

static void a_line_is_logfmt(void **state UNUSED)
{
	log_warn("cannot reach consul", "addr", "127.0.0.1:8500", "retry_ms", log_num(500));
	assert_string_equal(heard(),
		"prog: level=warn msg=\"cannot reach consul\" addr=127.0.0.1:8500 retry_ms=500\n");
	log_error("one");
	assert_string_equal(heard(), "prog: level=error msg=one\n");
}

static void a_missing_value_leaves_its_pair_out(void **state UNUSED)
{
	const char *missing = NULL;

	log_info("m", "a", missing, "b", "2", "c", "");
	assert_string_equal(heard(), "prog: level=info msg=m b=2 c=\"\"\n");
}

static void what_stands_in_a_value_stays_on_one_line(void **state UNUSED)
{
	static const struct {
		const char *value, *logfmt, *json;
	} rows[] = {
		{ "a b", "\"a b\"", "\"a b\"" },
		{ "a\nb\n", "\"a\\nb\\n\"", "\"a\\nb\\n\"" },
		{ "\"\\", "\"\\\"\\\\\"", "\"\\\"\\\\\"" },
		{ "a=b", "\"a=b\"", "\"a=b\"" },
		{ "\x1b[31m\t\x7f", "\"\\u001b[31m\\u0009\\u007f\"",
			"\"\\u001b[31m\\u0009\\u007f\"" },
		{ "stra\xc3\x9f"
		  "e",
			"stra\xc3\x9f"
			"e",
			"\"stra\xc3\x9f"
			"e\"" },
	};
	char expected[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		log_set_format("logfmt");
		log_info("m", "v", rows[i].value);
		snprintf(expected, sizeof(expected), "prog: level=info msg=m v=%s\n",
			rows[i].logfmt);
		assert_string_equal(heard(), expected);
		log_set_format("json");
		log_info("m", "v", rows[i].value);
		snprintf(expected, sizeof(expected),
			"{\"program\":\"prog\",\"level\":\"info\",\"msg\":\"m\",\"v\":%s}\n",
			rows[i].json);
		assert_string_equal(heard(), expected);
	}
}

/* What a function then finds in its variables before it sets them. */
static __attribute__((noinline)) void soil_the_stack(void)
{
	volatile char dirt[4096];

	for (size_t i = 0; i < sizeof(dirt); i++)
		dirt[i] = 0x5a;
}

static void levels_below_the_chosen_one_say_nothing(void **state UNUSED)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };

	for (size_t chosen = 0; chosen < ARRAY_SIZE(names); chosen++) {
		assert_true(log_set_level(names[chosen]));
		for (size_t level = 0; level < ARRAY_SIZE(names); level++) {
			soil_the_stack();
			log_write((enum log_level)level, "m", "k", "v", (char *)NULL);
			assert_int_equal(*heard() != '\0', level <= chosen);
			assert_int_equal(log_enabled((enum log_level)level), level <= chosen);
		}
	}
	assert_false(log_set_level("loud"));
	assert_false(log_set_format("xml"));
}

static void a_pair_that_does_not_fit_is_left_out_whole(void **state UNUSED)
{
	char *big = xcalloc(1, (32u << 10) + 1);

	memset(big, 'x', 32u << 10);
	log_info("m", "a", "1", "big", big, "b", "2");
	assert_string_equal(heard(), "prog: level=info msg=m a=1 b=2\n");
	log_set_format("json");
	log_info("m", "a", "1", "big", big);
	assert_string_equal(
		heard(), "{\"program\":\"prog\",\"level\":\"info\",\"msg\":\"m\",\"a\":\"1\"}\n");
	free(big);
}

/* Fills the line to the last byte: its end must still come. */
static void every_line_ends(void **state UNUSED)
{
	for (size_t len = 16000; len < 16500; len++) {
		char *value = xcalloc(1, len + 1);
		const char *line;

		memset(value, 'x', len);
		log_info("m", "v", value);
		line = heard();
		assert_int_equal(line[strlen(line) - 1], '\n');
		free(value);
	}
}

static void under_journald_a_line_starts_with_its_priority(void **state UNUSED)
{
	char stream[64];
	struct stat st;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("prog");
	log_warn("m");
	assert_string_equal(heard(), "<4>prog: level=warn msg=m\n");
	/* Its stderr was redirected since. */
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init("prog");
	log_warn("m");
	assert_string_equal(heard(), "prog: level=warn msg=m\n");
	unsetenv("JOURNAL_STREAM");
}

static void four_numbers_fit_into_one_line(void **state UNUSED)
{
	log_info("m", "a", log_num(1), "b", log_num(-2), "c", log_num(3), "d",
		log_num(9223372036854775807LL));
	assert_string_equal(heard(), "prog: level=info msg=m a=1 b=-2 c=3 d=9223372036854775807\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, listen_to_stderr, leave_stderr)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_is_logfmt),
		TEST(a_missing_value_leaves_its_pair_out),
		TEST(what_stands_in_a_value_stays_on_one_line),
		TEST(levels_below_the_chosen_one_say_nothing),
		TEST(a_pair_that_does_not_fit_is_left_out_whole),
		TEST(every_line_ends),
		TEST(under_journald_a_line_starts_with_its_priority),
		TEST(four_numbers_fit_into_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
