/*
 * mesh-map: change records in, desired sets out, by jq programs that users own.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "lib/lines.h"
#include "lib/log.h"
#include "lib/opt.h"
#include "lib/out.h"
#include "mesh-map/commands.h"
#include "mesh-map/pool.h"
#include "mesh-map/print_config.h"
#include "mesh-map/stream.h"

static struct {
	struct opt_list programs;
	struct opt_list lib_dirs;
	const char *config;
	bool no_validate;
	bool trace;
	bool print_config;
	uint64_t jobs, memory_bytes;
	int64_t timeout_ms;
} arg = { .memory_bytes = UINT64_C(2) << 30, .timeout_ms = 5000 };

static const struct opt opts[] = {
	{ OPT_LIST, 'f', "program", &arg.programs, "FILE", NULL,
		"a mapping program; several add up (default: workload-entries.jq)", 0 },
	{ OPT_STR, 0, "config", &arg.config, "FILE", NULL,
		"YAML file that programs know as $config", 0 },
	{ OPT_FLAG, 0, "print-config", &arg.print_config, NULL, NULL,
		"show every key of the configuration as it takes effect, and exit", 0 },
	{ OPT_LIST, 'L', "library", &arg.lib_dirs, "DIR", NULL,
		"where programs' modules are looked for first; may be repeated", 0 },
	{ OPT_UINT, 'j', "jobs", &arg.jobs, "N", NULL,
		"map so many services at once (default: as many as there are processors)", 256 },
	{ OPT_DURATION, 0, "timeout", &arg.timeout_ms, "DURATION", NULL,
		"processor time that one service may take (default 5s; 0: no limit)", 0 },
	{ OPT_SIZE, 0, "memory", &arg.memory_bytes, "SIZE", NULL,
		"memory that one service may take (default 2G; 0: no limit)", UINT64_C(1) << 40 },
	{ OPT_FLAG, 0, "trace", &arg.trace, NULL, NULL,
		"say on stderr what each service cost and became, and what programs say", 0 },
	{ OPT_FLAG, 0, "no-validate", &arg.no_validate, NULL, NULL,
		"send objects without checking them by the rules of Istio and Kubernetes", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "mesh-map",
	.summary =
		"Reads change records (consul-watch) from stdin and writes the Kubernetes objects\n"
		"that each service should have to stdout, for k8s-apply.",
	.synopsis = "[init | test | explain] [options] <records >desired",
	.epilogue =
		"Examples:\n"
		"  consul-watch --once | mesh-map | jq -c 'select(.type==\"apply\").objects[]'\n"
		"  mesh-map -f workload-entries.jq -f my-rules.jq --config mapping.yaml "
		"<records.ndjson\n"
		"\nSIGHUP loads programs and configuration anew.\n",
	.opts = opts,
};

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, struct err *err);
} commands[] = {
	{ "init", command_init },
	{ "test", command_test },
	{ "explain", command_explain },
};

/* All that happens while lines flow. */
struct session {
	uv_loop_t loop;
	struct mapping_options options;
	struct stream stream;
	struct pool *pool;
	struct lines *lines;
	struct out *out;
	uv_async_t hangup;
	bool input_ended;
	struct err err;
};

/*
 * Set by the signal itself: libuv hands signals out after all input, so that the
 * records that consul-watch says again, told by the same SIGHUP a moment later, would
 * still meet the old programs.
 */
static volatile sig_atomic_t hung_up;
static uv_async_t *hangup;

/* The loop ends; what is open is closed behind it. */
static void fail(struct session *s, const struct err *err)
{
	if (s->err.status == EXIT_OK)
		s->err = *err;
	uv_stop(&s->loop);
}

/* A pipe is at its end by now, and would read as a file without anything in it. */
static int check_file(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(
			err, EXIT_CONFIG, "'%s' is no regular file, it cannot be read again", path);
	return 0;
}

/* What may be read once more. A configuration that is empty now is one that is just being written. */
static int check_files(const struct mapping_options *options, struct err *err)
{
	struct stat st;

	for (size_t i = 0; i < options->n_programs; i++)
		if (check_file(options->programs[i], err) < 0)
			return -1;
	if (options->config == NULL)
		return 0;
	if (check_file(options->config, err) < 0)
		return -1;
	if (stat(options->config, &st) == 0 && st.st_size == 0)
		return err_set(err, EXIT_CONFIG, "'%s' is empty (for no keys at all write {})",
			options->config);
	return 0;
}

static void reload(struct session *s)
{
	struct err err = ERR_INIT;
	struct mapping *fresh = NULL;

	if (check_files(&s->options, &err) == 0)
		fresh = mapping_open(&s->options, &err);
	if (fresh == NULL) {
		log_error("not loaded anew, the old programs stay", "error", err.msg);
		return;
	}
	pool_reload(s->pool, fresh);
	log_info("programs and configuration loaded anew");
}

static void reload_if_told(struct session *s)
{
	if (hung_up) {
		hung_up = 0;
		reload(s);
	}
}

static void on_signal(int number UNUSED)
{
	int saved = errno;

	hung_up = 1;
	uv_async_send(hangup);
	errno = saved;
}

static void on_hangup(uv_async_t *async)
{
	reload_if_told(async->data);
}

static void end_if_done(struct session *s)
{
	if (s->input_ended && pool_empty(s->pool) && out_pending(s->out) == 0)
		uv_stop(&s->loop);
}

static void on_line(void *handle, const char *text, size_t len)
{
	struct session *s = handle;
	struct item *item;

	reload_if_told(s);
	item = stream_take(&s->stream, text, len);
	if (item != NULL)
		pool_add(s->pool, item);
	if (pool_full(s->pool))
		lines_pause(s->lines);
}

static void on_end(void *handle, const struct err *err)
{
	struct session *s = handle;

	if (err != NULL)
		fail(s, err);
	s->input_ended = true;
	end_if_done(s);
}

static bool on_done(void *handle, struct item *item)
{
	struct session *s = handle;

	if (out_full(s->out))
		return false;
	stream_put(&s->stream, item);
	return true;
}

static void on_progress(void *handle)
{
	struct session *s = handle;

	if (!pool_full(s->pool))
		lines_resume(s->lines);
	end_if_done(s);
}

static void on_room(void *handle)
{
	struct session *s = handle;

	pool_flush(s->pool);
	on_progress(s);
}

static void on_failed(void *handle, const struct err *err)
{
	fail(handle, err);
}

static int open_all(struct session *s, struct mapping *mapping, struct err *err)
{
	const struct lines_handler lines = { .on_line = on_line, .on_end = on_end, .arg = s };
	const struct out_handler out = { .on_room = on_room, .on_gone = on_failed, .arg = s };
	const struct pool_config pool = {
		.jobs = (unsigned)arg.jobs,
		.limits = { .memory_bytes = arg.memory_bytes, .timeout_ms = arg.timeout_ms },
		.on_done = on_done,
		.on_progress = on_progress,
		.on_failed = on_failed,
		.arg = s,
	};

	uv_async_init(&s->loop, &s->hangup, on_hangup);
	s->hangup.data = s;
	s->pool = pool_open(&s->loop, &pool, mapping);
	s->out = out_open(&s->loop, STDOUT_FILENO, &out, err);
	if (s->out == NULL)
		return -1;
	stream_init(&s->stream, s->out);
	s->stream.trace = arg.trace;
	s->lines = lines_open(&s->loop, STDIN_FILENO, LINES_MAX_BYTES, &lines, err);
	return s->lines != NULL ? 0 : -1;
}

static void close_all(struct session *s)
{
	signal(SIGHUP, SIG_IGN);
	lines_close(s->lines);
	pool_close(s->pool);
	out_close(s->out);
	uv_close((uv_handle_t *)&s->hangup, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	stream_release(&s->stream);
}

static int flow(struct session *s, struct mapping *mapping, struct err *err)
{
	const struct sigaction on_hup = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	uv_loop_init(&s->loop);
	if (open_all(s, mapping, &s->err) == 0) {
		hangup = &s->hangup;
		sigaction(SIGHUP, &on_hup, NULL);
		uv_run(&s->loop, UV_RUN_DEFAULT);
		/* Said already, one line for each service. */
		if (s->err.status == EXIT_OK && stream_has_problems(&s->stream))
			err->status = EXIT_SOME_FAILED;
	}
	close_all(s);
	if (s->err.status == EXIT_OK)
		return 0;
	*err = s->err;
	return -1;
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
			.no_validate = arg.no_validate,
		},
	};
	struct mapping *mapping;

	if (arg.print_config)
		return print_config(&s.options, err);
	mapping = mapping_open(&s.options, err);
	return mapping != NULL ? flow(&s, mapping, err) : -1;
}

/* Programs are the user's code: they have no business with our environment. */
static void empty_environment(void)
{
	static char *none[] = { NULL };

	environ = none;
}

static int pipe_main(int argc, char **argv, struct err *err)
{
	int first = opt_parse(&program, argc, argv, err);

	if (first < 0)
		return -1;
	if (first < argc)
		return err_set(err, EXIT_USAGE,
			"unexpected argument '%s' (programs are given with -f)", argv[first]);
	/* What programs say is logged at level debug. */
	if (arg.trace)
		(void)!log_set_level("debug");
	if (arg.jobs == 0)
		arg.jobs = uv_available_parallelism();
	empty_environment();
	return run(err);
}

/* What a command said may still be on its way, to a disk that is full. */
static int finish(int rc, struct err *err)
{
	if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		return err_errno(err, EXIT_OUTPUT, "cannot write output");
	return rc;
}

static int run_command(int argc, char **argv, struct err *err)
{
	if (argc > 1)
		for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
			if (strcmp(argv[1], commands[i].name) == 0)
				return finish(commands[i].run(argc - 1, argv + 1, err), err);
	return pipe_main(argc, argv, err);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	hold_std_fds();
	log_init("mesh-map");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until there is something to load anew */
	if (run_command(argc, argv, &err) < 0)
		log_error("giving up", "error", err.msg);
	opt_list_release(&arg.programs);
	opt_list_release(&arg.lib_dirs);
	return (int)err.status;
}
