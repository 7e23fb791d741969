#include "lib/out.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define LINE_BYTES 1000

struct writer {
	uv_loop_t loop;
	struct out *out;
	int rooms, gones;
	struct err err;
	int fds[2]; /* read end, write end */
};

static void on_room(void *arg)
{
	struct writer *w = arg;

	w->rooms++;
}

static void on_gone(void *arg, const struct err *err)
{
	struct writer *w = arg;

	w->gones++;
	w->err = *err;
}

static void start(struct writer *w)
{
	const struct out_handler handler = { on_room, on_gone, w };
	struct err err = ERR_INIT;

	uv_loop_init(&w->loop);
	w->out = out_open(&w->loop, w->fds[1], &handler, &err);
	assert_non_null(w->out);
}

static void start_with(struct writer *w, const char *kind)
{
	int rc;

	memset(w, 0, sizeof(*w));
	rc = strcmp(kind, "pipe") == 0 ? pipe(w->fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, w->fds);
	assert_int_equal(rc, 0);
	start(w);
}

static void finish(struct writer *w)
{
	out_close(w->out);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	if (w->fds[0] >= 0)
		close(w->fds[0]);
	close(w->fds[1]);
}

static void on_time_out(uv_timer_t *timer)
{
	timer->data = NULL;
}

/* Runs the loop for that time; returns how often it woke. */
static int turns_in(struct writer *w, uint64_t ms)
{
	uv_timer_t timer;
	int turns = 0;

	uv_timer_init(&w->loop, &timer);
	timer.data = w;
	uv_timer_start(&timer, on_time_out, ms, 0);
	while (timer.data != NULL) {
		uv_run(&w->loop, UV_RUN_ONCE);
		turns++;
	}
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	return turns;
}

static const char *line(char c)
{
	static char text[LINE_BYTES];

	memset(text, c, LINE_BYTES - 1);
	text[LINE_BYTES - 1] = '\0';
	return text;
}

static const char *const kinds[] = { "pipe", "socket" };

static void lines_are_written_at_once_while_there_is_room(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;
		char text[64] = "";

		start_with(&w, kinds[i]);
		out_line(w.out, "one");
		out_line(w.out, "");
		assert_int_equal(out_pending(w.out), 0);
		assert_false(out_full(w.out));
		assert_int_equal(read(w.fds[0], text, sizeof(text)), 5);
		assert_memory_equal(text, "one\n\n", 5);
		finish(&w);
	}
}

/* A slow reader: nothing blocks, nothing is lost, and room is said when it is there. */
static void a_full_reader_fills_the_buffer_and_not_more_is_asked_for(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;
		size_t lines = 0, expected, got = 0;
		char *text = xcalloc(1, 4u << 20);

		start_with(&w, kinds[i]);
		while (!out_full(w.out)) {
			out_line(w.out, line((char)('a' + lines % 26)));
			lines++;
			assert_true(lines < 2000);
		}
		expected = lines * LINE_BYTES;
		assert_in_range(out_pending(w.out), 64u << 10, (64u << 10) + LINE_BYTES);
		assert_true(turns_in(&w, 50) < 10);
		assert_int_equal(w.rooms, 0);

		fcntl(w.fds[0], F_SETFL, O_NONBLOCK);
		while (got < expected) {
			ssize_t n = read(w.fds[0], text + got, (4u << 20) - got);

			if (n > 0)
				got += (size_t)n;
			uv_run(&w.loop, UV_RUN_NOWAIT);
		}
		assert_int_equal(got, expected);
		for (size_t l = 0; l < lines; l++)
			assert_memory_equal(
				text + l * LINE_BYTES, line((char)('a' + l % 26)), LINE_BYTES - 1);
		assert_true(w.rooms >= 1);
		assert_false(out_full(w.out));
		assert_int_equal(out_pending(w.out), 0);
		/* The descriptor's mode is its owner's. */
		assert_int_equal(fcntl(w.fds[1], F_GETFL) & O_NONBLOCK, 0);
		finish(&w);
		free(text);
	}
}

static void one_line_may_be_longer_than_everything(void **state UNUSED)
{
	struct writer w;
	size_t len = 1u << 20, got = 0;
	char *text = xcalloc(1, len + 1), *back = xcalloc(1, len + 1);

	memset(text, 'x', len);
	start_with(&w, "pipe");
	out_line(w.out, text);
	assert_true(out_full(w.out));
	fcntl(w.fds[0], F_SETFL, O_NONBLOCK);
	while (got < len + 1) {
		ssize_t n =
			read(w.fds[0], back + (got < len ? got : len), got < len ? len - got : 1);

		if (n > 0)
			got += (size_t)n;
		uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(back[len], '\n');
	assert_memory_equal(back, text, len);
	finish(&w);
	free(text);
	free(back);
}

static void a_reader_that_goes_is_noticed_while_nothing_is_written(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;

		start_with(&w, kinds[i]);
		turns_in(&w, 10);
		assert_int_equal(w.gones, 0);
		close(w.fds[0]);
		w.fds[0] = -1;
		assert_true(turns_in(&w, 50) < 10);
		assert_int_equal(w.gones, 1);
		assert_int_equal(w.err.status, EXIT_OUTPUT);
		assert_string_equal(w.err.msg, "nobody reads our output");
		/* What is said then goes nowhere, and is not kept. */
		out_line(w.out, "more");
		assert_int_equal(out_pending(w.out), 0);
		assert_true(turns_in(&w, 20) < 10);
		assert_int_equal(w.gones, 1);
		finish(&w);
	}
}

static void a_reader_that_goes_is_noticed_while_it_is_slow(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;

		start_with(&w, kinds[i]);
		while (!out_full(w.out))
			out_line(w.out, line('x'));
		close(w.fds[0]);
		w.fds[0] = -1;
		turns_in(&w, 50);
		assert_int_equal(w.gones, 1);
		finish(&w);
	}
}

/*
 * journald's end of a service's stdout: a socket on which nothing comes back, so
 * its reading side is shut down from the start. Neither gone nor a reason to spin.
 */
static void a_socket_that_is_only_written_to_is_a_reader(void **state UNUSED)
{
	for (int side = 0; side < 2; side++) {
		struct writer w;
		char text[8];

		start_with(&w, "socket");
		if (side == 0)
			shutdown(w.fds[1], SHUT_RD);
		else
			shutdown(w.fds[0], SHUT_WR);
		assert_true(turns_in(&w, 50) < 10);
		assert_int_equal(w.gones, 0);
		out_line(w.out, "hello");
		assert_int_equal(read(w.fds[0], text, sizeof(text)), 6);
		assert_true(turns_in(&w, 50) < 10);
		close(w.fds[0]);
		w.fds[0] = -1;
		turns_in(&w, 50);
		assert_int_equal(w.gones, 1);
		finish(&w);
	}
}

static void files_take_everything(void **state UNUSED)
{
	char path[] = "/tmp/meshpipe-test.XXXXXX";
	struct writer w = { .fds = { -1, mkstemp(path) } };
	char *text;
	size_t len;

	start(&w);
	for (int i = 0; i < 1000; i++)
		out_line(w.out, line('x'));
	assert_int_equal(out_pending(w.out), 0);
	text = read_whole_file(path, 2u << 20, &len);
	assert_int_equal(len, 1000 * LINE_BYTES);
	free(text);
	unlink(path);
	finish(&w);
}

static void a_full_disk_is_said(void **state UNUSED)
{
	struct writer w = { .fds = { -1, open("/dev/full", O_WRONLY) } };

	start(&w);
	out_line(w.out, "x");
	assert_int_equal(w.gones, 1);
	assert_int_equal(w.err.status, EXIT_OUTPUT);
	assert_string_equal(w.err.msg, "cannot write output: No space left on device");
	finish(&w);
}

static void a_closed_descriptor_is_an_error(void **state UNUSED)
{
	const struct out_handler handler = { on_room, on_gone, NULL };
	struct err err = ERR_INIT;
	uv_loop_t loop;

	uv_loop_init(&loop);
	assert_null(out_open(&loop, 987, &handler, &err));
	assert_int_equal(err.status, EXIT_OUTPUT);
	out_close(NULL);
	uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_written_at_once_while_there_is_room),
		cmocka_unit_test(a_full_reader_fills_the_buffer_and_not_more_is_asked_for),
		cmocka_unit_test(one_line_may_be_longer_than_everything),
		cmocka_unit_test(a_reader_that_goes_is_noticed_while_nothing_is_written),
		cmocka_unit_test(a_reader_that_goes_is_noticed_while_it_is_slow),
		cmocka_unit_test(a_socket_that_is_only_written_to_is_a_reader),
		cmocka_unit_test(files_take_everything),
		cmocka_unit_test(a_full_disk_is_said),
		cmocka_unit_test(a_closed_descriptor_is_an_error),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
