/* The line that says how far a long piece of work is, on a pipe in place of a terminal. */
#include "k8s-apply/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/log.h"

static void expect_text(size_t done, size_t waiting, int64_t elapsed_ms, const char *expected)
{
	cleanup_free char *text = progress_text(done, waiting, elapsed_ms);

	assert_string_equal(text, expected);
}

static void numbers_have_commas(void **state UNUSED)
{
	expect_text(1234, 3766, 3010, "1,234 of 5,000 objects, 409/s, 9 s left");
	expect_text(0, 1234567, 2000, "0 of 1,234,567 objects, 0/s");
	expect_text(999, 1, 0, "999 of 1,000 objects, 0/s");
}

struct bench {
	uv_loop_t loop;
	int pipe[2];
	struct progress *progress;
};

static void open_bench(struct bench *b)
{
	uv_loop_init(&b->loop);
	assert_int_equal(pipe(b->pipe), 0);
	b->progress = progress_open(&b->loop, b->pipe[1]);
}

static void close_bench(struct bench *b)
{
	progress_close(b->progress);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	close(b->pipe[1]);
}

/* What it wrote; after close_bench. */
static void expect_written(struct bench *b, const char *start, const char *end)
{
	char text[256] = "";
	ssize_t len = read(b->pipe[0], text, sizeof(text) - 1);

	close(b->pipe[0]);
	assert_true(len >= 0);
	assert_true(str_starts(text, start));
	assert_true(str_ends(text, end));
}

static void short_work_has_none(void **state UNUSED)
{
	struct bench b;

	open_bench(&b);
	progress_set_waiting(b.progress, 5);
	uv_run(&b.loop, UV_RUN_NOWAIT);
	progress_set_waiting(b.progress, 0);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	close_bench(&b);
	expect_written(&b, "", "");
}

static void long_work_has_one_that_gives_way_to_the_log(void **state UNUSED)
{
	struct bench b;

	open_bench(&b);
	progress_set_waiting(b.progress, 5);
	progress_step(b.progress);
	progress_set_waiting(b.progress, 4);
	uv_run(&b.loop, UV_RUN_ONCE);
	log_info("a line of the log");
	/* It is off the terminal already. */
	progress_set_waiting(b.progress, 0);
	close_bench(&b);
	expect_written(&b, "\r1 of 5 objects, ", "\033[K\r\033[K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_have_commas),
		cmocka_unit_test(short_work_has_none),
		cmocka_unit_test(long_work_has_one_that_gives_way_to_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
