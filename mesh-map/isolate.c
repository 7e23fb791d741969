#include "mesh-map/isolate.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "mesh-map/limits.h"

#define MAX_RESULT_BYTES (512u << 20)
#define MAX_MEMORY_BYTES (UINT64_C(2) << 30)

static void __attribute__((noreturn))
be_child(int fd, pid_t parent, jv (*work)(void *arg), void *arg)
{
	static char *no_environment[] = { NULL };
	cleanup_jv jv result = jv_invalid();
	cleanup_free char *text = NULL;

	environ = no_environment;
	limits_end_with(parent);
	limits_memory(MAX_MEMORY_BYTES);
	limits_harmless();
	result = work(arg);
	text = jvx_dump(result);
	_exit(write_all(fd, text, strlen(text)) == 0 ? EXIT_OK : EXIT_OUTPUT);
}

/* Reads to the end. False when the time was over before. */
static bool read_result(int fd, int64_t until_ms, struct buf *out)
{
	char chunk[65536];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left_ms = until_ms - steady_ms();
		ssize_t n;

		if (left_ms <= 0)
			return false;
		if (poll(&p, 1, left_ms < INT_MAX ? (int)left_ms : INT_MAX) <= 0)
			continue;
		n = read(fd, chunk, sizeof(chunk));
		if (n == 0 || (n < 0 && errno != EINTR))
			return true;
		/* More than that: the end is missing, which is no JSON then. */
		if (n > 0 && buf_add(out, chunk, (size_t)n) < 0)
			return true;
	}
}

static int fail_time(int64_t timeout_ms, struct err *err)
{
	if (timeout_ms % 1000 != 0)
		return err_set(
			err, EXIT_SOME_FAILED, "did not end within %lld ms", (long long)timeout_ms);
	return err_set(
		err, EXIT_SOME_FAILED, "did not end within %lld s", (long long)timeout_ms / 1000);
}

static int wait_for(pid_t child, struct err *err)
{
	cleanup_free char *why = NULL;
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	why = limits_cause(status, MAX_MEMORY_BYTES);
	if (why != NULL)
		return err_set(err, EXIT_SOME_FAILED, "%s", why);
	return 0;
}

static jv take_result(int fd, pid_t child, int64_t timeout_ms, struct err *err)
{
	cleanup_buf struct buf text;
	bool in_time;

	buf_init(&text, MAX_RESULT_BYTES);
	in_time = read_result(fd, timeout_ms > 0 ? steady_ms() + timeout_ms : INT64_MAX, &text);
	if (!in_time)
		kill(child, SIGKILL);
	if (wait_for(child, err) < 0 || !in_time) {
		if (!in_time)
			fail_time(timeout_ms, err);
		return jv_invalid();
	}
	return jvx_parse(buf_str(&text), text.len, err);
}

jv isolate_run(jv (*work)(void *arg), void *arg, int64_t timeout_ms, struct err *err)
{
	cleanup_close int reader = -1;
	pid_t parent = getpid(), child;
	int ends[2];

	fflush(NULL);
	if (pipe(ends) < 0 || (child = fork()) < 0) {
		err_errno(err, EXIT_SYSTEM, "cannot start a process");
		return jv_invalid();
	}
	if (child == 0) {
		close(ends[0]);
		be_child(ends[1], parent, work, arg);
	}
	close(ends[1]);
	reader = ends[0];
	return take_result(reader, child, timeout_ms, err);
}
