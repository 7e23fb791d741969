/*
 * mesh-map: change records in, desired sets out, by jq programs that users own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <uv.h>

#include "lib/lines.h"
#include "lib/log.h"
#include "lib/opt.h"
#include "lib/out.h"
#include "mesh-map/stream.h"

static struct {
	struct opt_list programs;
	struct opt_list lib_dirs;
	const char *config;
} arg;

static const struct opt opts[] = {
	{ OPT_LIST, 'f', "program", &arg.programs, "FILE", NULL,
		"a mapping program; several add up (default: workload-entries.jq)", 0 },
	{ OPT_STR, 0, "config", &arg.config, "FILE", NULL,
		"YAML file that programs know as $config", 0 },
	{ OPT_LIST, 'L', "library", &arg.lib_dirs, "DIR", NULL,
		"where programs' modules are looked for first; may be repeated", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "mesh-map",
	.summary =
		"Reads change records (consul-watch) from stdin and writes the Kubernetes objects\n"
		"that each service should have to stdout, for k8s-apply.",
	.synopsis = "[options] <records >desired",
	.epilogue =
		"Examples:\n"
		"  consul-watch --once | mesh-map | jq -c 'select(.type==\"apply\").objects[]'\n"
		"  mesh-map -f workload-entries.jq -f my-rules.jq --config mapping.yaml "
		"<records.ndjson\n"
		"\nSIGHUP loads programs and configuration anew.\n",
	.opts = opts,
};

/* All that happens while lines flow. */
struct session {
	uv_loop_t loop;
	struct mapping_options options;
	struct stream stream;
	struct lines *lines;
	uv_poll_t reader; /* of our output; in use only when has_reader */
	bool has_reader;
	bool ended;
	struct err err;
};

/*
 * Set by the signal itself: libuv hands signals out after all input, so that the
 * records that consul-watch says again, told by the same SIGHUP a moment later, would
 * still meet the old programs.
 */
static volatile sig_atomic_t hung_up;
static uv_async_t hangup;

static void end(struct session *s, const struct err *err)
{
	if (s->ended)
		return;
	s->ended = true;
	if (err != NULL)
		s->err = *err;
	lines_close(s->lines);
	signal(SIGHUP, SIG_IGN);
	uv_close((uv_handle_t *)&hangup, NULL);
	if (s->has_reader)
		uv_close((uv_handle_t *)&s->reader, NULL);
}

static void reload(struct session *s)
{
	struct err err = ERR_INIT;
	struct mapping *fresh = mapping_open(&s->options, &err);

	if (fresh == NULL) {
		log_error("not loaded anew, the old programs stay", "error", err.msg);
		return;
	}
	mapping_close(s->stream.mapping);
	s->stream.mapping = fresh;
	log_info("programs and configuration loaded anew");
}

static void reload_if_told(struct session *s)
{
	if (hung_up && !s->ended) {
		hung_up = 0;
		reload(s);
	}
}

static void on_signal(int number UNUSED)
{
	int saved = errno;

	hung_up = 1;
	uv_async_send(&hangup);
	errno = saved;
}

static void on_hangup(uv_async_t *async)
{
	reload_if_told(async->data);
}

static void on_line(void *handle, const char *text, size_t len)
{
	struct session *s = handle;
	struct err err = ERR_INIT;

	reload_if_told(s);
	if (!s->ended && stream_line(&s->stream, text, len, &err) < 0)
		end(s, &err);
}

/* Nothing waits to be read: a change must not wait for the next one. */
static void on_idle(void *handle)
{
	struct session *s = handle;
	struct err err = ERR_INIT;

	if (!s->ended && stream_flush(&s->stream, &err) < 0)
		end(s, &err);
}

static void on_end(void *handle, const struct err *err)
{
	on_idle(handle);
	end(handle, err);
}

static void on_reader(uv_poll_t *poll, int status, int events UNUSED)
{
	struct err err = ERR_INIT;

	/* The write end of a pipe without readers reports POLLERR, which libuv calls EBADF. */
	if (status < 0 || out_is_broken(STDOUT_FILENO)) {
		err_set(&err, EXIT_OUTPUT, "nobody reads our output");
		end(poll->data, &err);
	}
}

/* Notices that the reader went away also while there is nothing to write. */
static void watch_reader(struct session *s)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(STDOUT_FILENO, &st) < 0 ||
		!(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return;
	s->has_reader = uv_poll_init(&s->loop, &s->reader, STDOUT_FILENO) == 0;
	/* uv_poll_init makes it non-blocking, also for those who share it with us. */
	fcntl(STDOUT_FILENO, F_SETFL, flags);
	if (!s->has_reader)
		return;
	s->reader.data = s;
	uv_poll_start(&s->reader, UV_PRIORITIZED, on_reader); /* see wait_for_room() in lib/out.c */
}

static int flow(struct session *s, struct err *err)
{
	const struct lines_handler handler = {
		.on_line = on_line, .on_end = on_end, .on_idle = on_idle, .arg = s
	};
	const struct sigaction on_hup = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	uv_loop_init(&s->loop);
	s->lines = lines_open(&s->loop, STDIN_FILENO, LINES_MAX_BYTES, &handler, err);
	if (s->lines == NULL)
		return -1;
	uv_async_init(&s->loop, &hangup, on_hangup);
	hangup.data = s;
	sigaction(SIGHUP, &on_hup, NULL);
	watch_reader(s);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	if (s->err.status != EXIT_OK) {
		*err = s->err;
		return -1;
	}
	return 0;
}

static int run(struct err *err)
{
	struct session s = {
		.options = {
			.programs = arg.programs.item,
			.n_programs = arg.programs.count,
			.lib_dirs = arg.lib_dirs.item,
			.n_lib_dirs = arg.lib_dirs.count,
			.config = arg.config,
		},
	};
	struct mapping *mapping = mapping_open(&s.options, err);
	int rc;

	if (mapping == NULL)
		return -1;
	stream_init(&s.stream, mapping, STDOUT_FILENO);
	rc = flow(&s, err);
	/* Said already, one line for each service. */
	if (rc == 0 && stream_has_problems(&s.stream))
		err->status = EXIT_SOME_FAILED;
	mapping_close(s.stream.mapping);
	stream_release(&s.stream);
	return rc;
}

/* Programs are the user's code: they have no business with our environment. */
static void empty_environment(void)
{
	static char *none[] = { NULL };

	environ = none;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int first;

	hold_std_fds();
	log_init("mesh-map");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until there is something to load anew */
	first = opt_parse(&program, argc, argv, &err);
	if (first >= 0 && first < argc)
		first = err_set(&err, EXIT_USAGE,
			"unexpected argument '%s' (programs are given with -f)", argv[first]);
	empty_environment();
	if (first < 0 || run(&err) < 0)
		log_error("giving up", "error", err.msg);
	opt_list_release(&arg.programs);
	opt_list_release(&arg.lib_dirs);
	return (int)err.status;
}
