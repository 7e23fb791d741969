#include "mesh-map/sink.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void lines_wait_for_the_flush(void **state UNUSED)
{
	struct err err = ERR_INIT;
	struct sink s;
	char got[64] = "";
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	sink_init(&s, fds[1]);
	assert_int_equal(sink_line(&s, "one", 3, &err), 0);
	assert_int_equal(sink_line(&s, "two!", 3, &err), 0);
	assert_int_equal(read(fds[0], got, sizeof(got)), -1);
	assert_int_equal(sink_flush(&s, &err), 0);
	assert_int_equal(read(fds[0], got, sizeof(got) - 1), 8);
	assert_string_equal(got, "one\ntwo\n");
	assert_int_equal(sink_flush(&s, &err), 0);
	sink_release(&s);
	close(fds[0]);
	close(fds[1]);
}

/* Reads to the end; counts newlines. */
static void *count_lines(void *arg)
{
	int fd = *(int *)arg;
	char chunk[1000];
	intptr_t lines = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += chunk[i] == '\n';
	return (void *)lines;
}

static void a_slow_reader_gets_every_line(void **state UNUSED)
{
	static char line[70000];
	struct err err = ERR_INIT;
	struct sink s;
	pthread_t reader;
	void *lines = NULL;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	/* As when somebody who shares our output made it so. */
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	memset(line, 'x', sizeof(line));
	sink_init(&s, fds[1]);
	assert_int_equal(pthread_create(&reader, NULL, count_lines, &fds[0]), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(sink_line(&s, line, sizeof(line), &err), 0);
	assert_int_equal(sink_flush(&s, &err), 0);
	close(fds[1]);
	pthread_join(reader, &lines);
	assert_int_equal((intptr_t)lines, 50);
	sink_release(&s);
	close(fds[0]);
}

static void a_reader_that_went_away_is_an_error(void **state UNUSED)
{
	struct err err = ERR_INIT;
	struct sink s;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	sink_init(&s, fds[1]);
	assert_int_equal(sink_line(&s, "one", 3, &err), 0);
	assert_int_equal(sink_flush(&s, &err), -1);
	assert_int_equal(err.status, EXIT_OUTPUT);
	assert_string_equal(err.msg, "nobody reads our output");
	sink_release(&s);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_wait_for_the_flush),
		cmocka_unit_test(a_slow_reader_gets_every_line),
		cmocka_unit_test(a_reader_that_went_away_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
