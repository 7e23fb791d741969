#include "mesh-map/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "mesh-map/limits.h"

/* k8s-apply reads no longer line. */
#define MAX_ANSWER_BYTES (64u << 20)

/* Above this a worker ends after its record: glibc gives pieces of such memory back late or never. */
#define RETIRE_BYTES (256u << 20)

/* Before a line, and before the record and the problem of an answer. */
struct head {
	uint32_t kind; /* enum answer_kind */
	uint32_t record_len;
	uint32_t problem_len; /* 0: none */
	uint32_t objects, kept;
	int64_t took_us;
};

/* --- the worker's side: blocking, no loop --- */

static bool read_all(int fd, char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, data, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The record that a line becomes, as text; NULL with *ret_problem when it is no line for us. */
static char *map_line(
	struct mapping *m, const char *line, size_t len, struct head *ret, char **ret_problem)
{
	cleanup_jv jv record = jv_invalid();
	cleanup_jv jv answer = jv_invalid();
	struct err err = ERR_INIT;
	char *text;

	record = jvx_parse(line, len, &err);
	if (!jvx_is(record, JV_KIND_OBJECT)) {
		ret->kind = ANSWER_UNREADABLE;
		*ret_problem = xstrdup(jv_is_valid(record) ? "not a JSON object" : err.msg);
		return NULL;
	}
	answer = mapping_run(m, record, ret_problem);
	mapping_count(answer, &ret->objects, &ret->kept);
	text = jvx_dump(answer);
	if (strlen(text) < MAX_ANSWER_BYTES)
		return text;
	free(text);
	free(*ret_problem);
	*ret_problem = xasprintf("its objects take more than %u MiB", MAX_ANSWER_BYTES >> 20);
	jv_free(jvx_take(&answer));
	answer = mapping_keep(record, *ret_problem);
	return jvx_dump(answer);
}

static bool answer_line(int fd, struct mapping *m, const char *line, size_t len)
{
	struct head head = { .kind = ANSWER_RECORD };
	cleanup_free char *problem = NULL;
	int64_t began = now_us();
	cleanup_free char *record = map_line(m, line, len, &head, &problem);

	head.took_us = now_us() - began;
	head.record_len = record != NULL ? (uint32_t)strlen(record) : 0;
	head.problem_len = problem != NULL ? (uint32_t)strlen(problem) : 0;
	return write_all(fd, &head, sizeof(head)) == 0 &&
	       write_all(fd, record, head.record_len) == 0 &&
	       write_all(fd, problem, head.problem_len) == 0;
}

static bool has_grown(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) == 0 &&
	       (uint64_t)usage.ru_maxrss * 1024 > RETIRE_BYTES;
}

static void work(int fd, struct mapping *m)
{
	struct head head;

	while (read_all(fd, (char *)&head, sizeof(head))) {
		cleanup_free char *line = xcalloc((size_t)head.record_len + 1, 1);

		if (!read_all(fd, line, head.record_len) ||
			!answer_line(fd, m, line, head.record_len) || has_grown())
			return;
	}
}

/* stderr stays, for what programs say; what else is open belongs to the parent. */
static int keep_only(int fd)
{
	if (dup2(fd, STDIN_FILENO) < 0)
		return -1;
	close(STDOUT_FILENO);
	if (syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, 0) < 0)
		for (int i = STDERR_FILENO + 1; i < sysconf(_SC_OPEN_MAX); i++)
			close(i);
	return STDIN_FILENO;
}

_Noreturn static void be_worker(
	int fd, pid_t parent, struct mapping *m, const struct worker_limits *limits)
{
	limits_end_with(parent);
	fd = keep_only(fd);
	if (fd < 0)
		_exit(EXIT_OK);
	limits_memory(limits->memory_bytes);
	limits_harmless();
	limits_no_files();
	work(fd, m);
	_exit(EXIT_OK);
}

/* --- the parent's side --- */

int worker_start(
	struct worker *w, struct mapping *m, const struct worker_limits *limits, struct err *err)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot start a worker");
	w->pid = fork();
	if (w->pid == 0)
		be_worker(pair[1], parent, m, limits);
	close(pair[1]);
	if (w->pid < 0) {
		close(pair[0]);
		return err_errno(err, EXIT_SYSTEM, "cannot start a worker");
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	w->fd = pair[0];
	w->taken = 0;
	buf_init(&w->in, MAX_ANSWER_BYTES + (1u << 20));
	return 0;
}

int worker_send(struct worker *w, const char *text, size_t len, size_t *offset)
{
	const struct head head = { .record_len = (uint32_t)len };

	while (*offset < sizeof(head) + len) {
		bool in_head = *offset < sizeof(head);
		const char *from =
			in_head ? (const char *)&head + *offset : text + (*offset - sizeof(head));
		size_t left = in_head ? sizeof(head) - *offset : len + sizeof(head) - *offset;
		ssize_t n = send(w->fd, from, left, MSG_NOSIGNAL | (in_head ? MSG_MORE : 0));

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			*offset += (size_t)n;
	}
	*offset = WORKER_SENT;
	return 0;
}

/* Where the next answer begins, when it is there as a whole. */
static bool has_answer(const struct worker *w)
{
	size_t have = w->in.len - w->taken;
	struct head head;

	if (have < sizeof(head))
		return false;
	memcpy(&head, w->in.data + w->taken, sizeof(head));
	return have - sizeof(head) >= (size_t)head.record_len + head.problem_len;
}

bool worker_read(struct worker *w)
{
	char chunk[64u << 10];

	buf_consume(&w->in, w->taken);
	w->taken = 0;
	for (;;) {
		ssize_t n = read(w->fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0 || buf_add(&w->in, chunk, (size_t)n) < 0)
			return false;
		/* Of large answers only one is held at a time; the loop comes back for more. */
		if (has_answer(w))
			return true;
	}
}

bool worker_answer(struct worker *w, struct answer *ret)
{
	struct head head;
	const char *body;

	if (!has_answer(w))
		return false;
	memcpy(&head, w->in.data + w->taken, sizeof(head));
	body = w->in.data + w->taken + sizeof(head);
	*ret = (struct answer){
		.kind = (enum answer_kind)head.kind,
		.record = body,
		.record_len = head.record_len,
		.problem = head.problem_len > 0 ? body + head.record_len : NULL,
		.problem_len = head.problem_len,
		.objects = head.objects,
		.kept = head.kept,
		.took_us = head.took_us,
	};
	w->taken += sizeof(head) + head.record_len + head.problem_len;
	return true;
}

int64_t worker_cpu_ms(const struct worker *w)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(w->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void worker_end(struct worker *w, const struct worker_limits *limits, char **ret_why)
{
	int status = 0;

	if (ret_why != NULL)
		*ret_why = NULL;
	if (w->fd < 0)
		return;
	close(w->fd);
	w->fd = -1;
	buf_release(&w->in);
	kill(w->pid, SIGKILL); /* does not change how one ended that has ended */
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ret_why != NULL)
		*ret_why = limits_cause(status, limits->memory_bytes);
}
