#include "lib/lines.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "lib/buf.h"

#define LIMIT 100

/* What came in, one line each in <>; "!" for one that was too long. */
struct seen {
	uv_loop_t loop;
	struct lines *lines;
	struct buf text;
	int ends, idles;
	int close_after; /* closes in that on_line; 0: never */
	bool pauses;	 /* in each on_line */
	int count;
	struct err err;
};

static void on_line(void *arg, const char *text, size_t len)
{
	struct seen *s = arg;

	if (text == NULL) {
		assert_int_equal(buf_adds(&s->text, "!"), 0);
	} else {
		assert_int_equal(text[len], '\0');
		assert_int_equal(buf_addf(&s->text, "<"), 0);
		assert_int_equal(buf_add(&s->text, text, len), 0);
		assert_int_equal(buf_addf(&s->text, ">"), 0);
	}
	if (++s->count == s->close_after)
		lines_close(s->lines);
	if (s->pauses)
		lines_pause(s->lines);
}

static void on_end(void *arg, const struct err *err)
{
	struct seen *s = arg;

	s->ends++;
	if (err != NULL)
		s->err = *err;
	lines_close(s->lines);
}

static void on_idle(void *arg)
{
	struct seen *s = arg;

	s->idles++;
}

static void start(struct seen *s, int fd)
{
	const struct lines_handler handler = { on_line, on_end, on_idle, s };
	struct err err = ERR_INIT;

	memset(s, 0, sizeof(*s));
	buf_init(&s->text, 4u << 20);
	uv_loop_init(&s->loop);
	s->lines = lines_open(&s->loop, fd, LIMIT, &handler, &err);
	assert_non_null(s->lines);
}

static void finish(struct seen *s)
{
	uv_run(&s->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&s->loop), 0);
}

static void put(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		assert_true(n > 0);
		text += n;
		len -= (size_t)n;
	}
}

/* A regular file, opened for reading, without a name. */
static int file_with(const char *text, size_t len)
{
	char path[] = "/tmp/meshpipe-test.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	put(fd, text, len);
	unlink(path);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static const struct {
	const char *text;
	size_t len;
	const char *lines;
} inputs[] = {
	{ "", 0, "" },
	{ "\n", 1, "<>" },
	{ "a\nb\n", 4, "<a><b>" },
	{ "a\n\nb", 4, "<a><><b>" },
	{ "a\r\nb", 4, "<a\r><b>" },
};

static void every_kind_of_input_reads_alike(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		for (int kind = 0; kind < 3; kind++) {
			struct seen s;
			int fds[2] = { -1, -1 };

			if (kind == 0) {
				fds[0] = file_with(inputs[i].text, inputs[i].len);
			} else {
				int rc = kind == 1 ? pipe(fds)
						   : socketpair(AF_UNIX, SOCK_STREAM, 0, fds);

				assert_int_equal(rc, 0);
				put(fds[1], inputs[i].text, inputs[i].len);
				close(fds[1]);
			}
			start(&s, fds[0]);
			finish(&s);
			assert_string_equal(buf_str(&s.text), inputs[i].lines);
			assert_int_equal(s.ends, 1);
			assert_int_equal(s.err.status, EXIT_OK);
			buf_release(&s.text);
			close(fds[0]);
		}
	}
}

static void dev_null_ends_at_once(void **state UNUSED)
{
	struct seen s;
	int fd = open("/dev/null", O_RDONLY);

	start(&s, fd);
	finish(&s);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.count, 0);
	buf_release(&s.text);
	close(fd);
}

static void what_comes_in_pieces_is_put_together(void **state UNUSED)
{
	static const char *const pieces[] = { "a", "", "b\nc", "d", "\n", "\n", "e" };
	struct seen s;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	start(&s, fds[0]);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		put(fds[1], pieces[i], strlen(pieces[i]));
		uv_run(&s.loop, UV_RUN_NOWAIT);
	}
	assert_string_equal(buf_str(&s.text), "<ab><cd><>");
	assert_true(s.idles > 0);
	assert_int_equal(s.ends, 0);
	close(fds[1]);
	finish(&s);
	assert_string_equal(buf_str(&s.text), "<ab><cd><><e>");
	buf_release(&s.text);
	close(fds[0]);
}

/* Of `len` letters; static. */
static const char *letters(size_t len)
{
	static char text[4 * LIMIT];

	memset(text, 'x', len);
	text[len] = '\0';
	return text;
}

static void a_line_over_the_limit_is_said_once_and_skipped(void **state UNUSED)
{
	static const size_t lengths[] = { LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT, 3 * LIMIT };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		/* In one piece, in two, and as the end without a newline. */
		for (int way = 0; way < 3; way++) {
			struct seen s;
			int fds[2];
			const char *big = letters(lengths[i]);
			cleanup_free char *middle =
				lengths[i] > LIMIT ? xstrdup("!") : xasprintf("<%s>", big);
			cleanup_free char *expected =
				xasprintf("<before>%s%s", middle, way < 2 ? "<after>" : "");
			size_t cut = way == 1 ? lengths[i] / 2 : 0;

			assert_int_equal(pipe(fds), 0);
			start(&s, fds[0]);
			put(fds[1], "before\n", 7);
			put(fds[1], big, cut);
			uv_run(&s.loop, UV_RUN_NOWAIT);
			put(fds[1], big + cut, lengths[i] - cut);
			if (way < 2)
				put(fds[1], "\nafter\n", 7);
			close(fds[1]);
			finish(&s);
			assert_string_equal(buf_str(&s.text), expected);
			buf_release(&s.text);
			close(fds[0]);
		}
	}
}

static void a_nul_is_a_character(void **state UNUSED)
{
	struct seen s;
	int fd = file_with("a\0b\nc\n", 6);

	start(&s, fd);
	finish(&s);
	assert_int_equal(s.text.len, 8);
	assert_memory_equal(s.text.data, "<a\0b><c>", 8);
	buf_release(&s.text);
	close(fd);
}

static void many_lines_leave_the_loop_its_turn(void **state UNUSED)
{
	/* 4 MB: more than one round reads. */
	size_t count = 400000;
	cleanup_free char *text = xcalloc(count, 10);
	struct seen s;
	int fd, turns = 0;

	for (size_t i = 0; i < count; i++)
		snprintf(text + 10 * i, 10, "%08zu", i % 100000000);
	for (size_t i = 0; i < count; i++) {
		text[10 * i + 8] = 'x';
		text[10 * i + 9] = '\n';
	}
	fd = file_with(text, 10 * count);
	start(&s, fd);
	buf_release(&s.text);
	buf_init(&s.text, 16u << 20);
	while (uv_run(&s.loop, UV_RUN_NOWAIT) != 0)
		turns++;
	assert_true(turns > 2);
	assert_int_equal((size_t)s.count, count);
	assert_int_equal(uv_loop_close(&s.loop), 0);
	buf_release(&s.text);
	close(fd);
}

static void what_was_read_waits_while_paused(void **state UNUSED)
{
	static const char text[] = "a\nbb\n\nc\nlast";
	static const char *const so_far[] = { "<a>", "<a><bb>", "<a><bb><>", "<a><bb><><c>" };

	for (int kind = 0; kind < 2; kind++) {
		struct seen s;
		int fds[2] = { -1, -1 };

		if (kind == 0) {
			fds[0] = file_with(text, strlen(text));
		} else {
			assert_int_equal(pipe(fds), 0);
			put(fds[1], text, strlen(text));
			close(fds[1]);
		}
		start(&s, fds[0]);
		s.pauses = true;
		for (size_t i = 0; i < ARRAY_SIZE(so_far); i++) {
			for (int turn = 0; turn < 3; turn++)
				uv_run(&s.loop, UV_RUN_NOWAIT);
			assert_string_equal(buf_str(&s.text), so_far[i]);
			assert_int_equal(s.ends, 0);
			lines_resume(s.lines);
		}
		finish(&s);
		assert_string_equal(buf_str(&s.text), "<a><bb><><c><last>");
		assert_int_equal(s.ends, 1);
		buf_release(&s.text);
		close(fds[0]);
	}
}

static void closing_inside_a_callback_stops_it(void **state UNUSED)
{
	static const char text[] = "a\nb\nc\nd";

	for (int after = 1; after <= 4; after++) {
		struct seen s;
		int fd = file_with(text, strlen(text));

		start(&s, fd);
		s.close_after = after;
		finish(&s);
		assert_int_equal(s.count, after);
		assert_int_equal(s.ends, 0);
		buf_release(&s.text);
		close(fd);
	}
}

static void the_descriptor_stays_as_it_was(void **state UNUSED)
{
	struct seen s;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	start(&s, fds[0]);
	/* Another process may read from it, too. */
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	lines_close(s.lines);
	lines_close(s.lines);
	lines_close(NULL);
	finish(&s);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_true(fcntl(fds[0], F_GETFD) >= 0);
	buf_release(&s.text);
	close(fds[0]);
	close(fds[1]);
}

static void what_cannot_be_read_is_an_error(void **state UNUSED)
{
	const struct lines_handler handler = { on_line, on_end, NULL, NULL };
	struct err err = ERR_INIT;
	struct seen s;
	uv_loop_t loop;
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY);

	start(&s, fd);
	finish(&s);
	assert_int_equal(s.ends, 1);
	assert_int_equal(s.err.status, EXIT_SYSTEM);
	assert_string_equal(s.err.msg, "cannot read input: Is a directory");
	buf_release(&s.text);
	close(fd);

	uv_loop_init(&loop);
	assert_null(lines_open(&loop, 987, LIMIT, &handler, &err));
	assert_int_equal(err.status, EXIT_SYSTEM);
	uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_input_reads_alike),
		cmocka_unit_test(dev_null_ends_at_once),
		cmocka_unit_test(what_comes_in_pieces_is_put_together),
		cmocka_unit_test(a_line_over_the_limit_is_said_once_and_skipped),
		cmocka_unit_test(a_nul_is_a_character),
		cmocka_unit_test(many_lines_leave_the_loop_its_turn),
		cmocka_unit_test(what_was_read_waits_while_paused),
		cmocka_unit_test(closing_inside_a_callback_stops_it),
		cmocka_unit_test(the_descriptor_stays_as_it_was),
		cmocka_unit_test(what_cannot_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
