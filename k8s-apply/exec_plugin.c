#include "k8s-apply/exec_plugin.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/backoff.h"
#include "lib/buf.h"
#include "lib/log.h"

/* Of standard error: its last line is shown. */
#define MAX_ERROR_BYTES (64u << 10)
#define MAX_SHOWN	200

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 60000

/* For what an exited plugin wrote last, when another process has its output, too. */
#define DRAIN_MS 200

/* A credential that the server refuses so early is not run for again: the next would be no better. */
#define MIN_AGE_MS 5000

/* So long before its end a credential is not used any more, and so long before the next one is
 * fetched; but no larger part of its life than a twentieth and a fifth. */
#define MARGIN_MS 5000
#define AHEAD_MS  60000

/* So long one is used that has expired already, by our clock. */
#define EXPIRED_USE_MS 5000

/* One process; it outlives its plugin where that is closed first. */
struct run {
	struct exec_plugin *plugin; /* NULL: nobody wants it any more */
	uv_process_t process;
	uv_pipe_t pipes[2]; /* standard output and error */
	uv_timer_t timer;
	struct buf texts[2];
	char chunk[4096];
	unsigned handles; /* that are not closed */
	unsigned pipes_open;
	bool spawned, exited;
	int64_t exit_status;
	int signal;
	struct err failure; /* found before its end */
};

struct exec_plugin {
	const struct exec_config *config;
	uv_loop_t *loop;
	int64_t timeout_ms;
	struct exec_plugin_handler handler;
	struct run *run; /* NULL: none */
	struct exec_credential credential;
	bool has;	      /* a credential */
	bool warned;	      /* that it has expired already */
	int64_t got_ms;	      /* when; the steady clock */
	int64_t use_until_ms; /* the wall clock; INT64_MAX: for ever */
	int64_t fetch_from_ms;
	struct backoff backoff;
	int64_t pause_until_ms;
	struct err failure; /* of the last run, while the pause lasts */
};

static void on_closed(uv_handle_t *handle)
{
	struct run *r = handle->data;

	if (--r->handles > 0)
		return;
	buf_release(&r->texts[0]);
	buf_release(&r->texts[1]);
	free(r);
}

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

/* Also what it has started. libuv waits for the process itself as long as its handle is open. */
static void kill_run(struct run *r)
{
	if (r->spawned && !r->exited)
		kill(-r->process.pid, SIGKILL);
	close_handle((uv_handle_t *)&r->pipes[0]);
	close_handle((uv_handle_t *)&r->pipes[1]);
	close_handle((uv_handle_t *)&r->timer);
	if (!r->spawned || r->exited)
		close_handle((uv_handle_t *)&r->process);
}

/* The last line that says something, for people. */
static char *last_line(struct buf *text)
{
	cleanup_free char *copy = xstrdup(buf_str(text));
	char *line = str_trim(copy), *newline = strrchr(line, '\n');

	if (newline != NULL)
		line = newline + 1;
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return xstrndup(line, strlen(line) < MAX_SHOWN ? strlen(line) : MAX_SHOWN);
}

static int fail_exit(struct run *r, struct err *err)
{
	cleanup_free char *said = last_line(&r->texts[1]);
	const char *colon = *said != '\0' ? ": " : "";

	if (r->signal != 0)
		return err_set(
			err, EXIT_CONFIG, "it was killed by signal %d%s%s", r->signal, colon, said);
	return err_set(
		err, EXIT_CONFIG, "it ended with status %d%s%s", (int)r->exit_status, colon, said);
}

static int take_credential(struct run *r, struct exec_credential *ret, struct err *err)
{
	if (r->failure.msg[0] != '\0') {
		*err = r->failure;
		return -1;
	}
	if (r->exit_status != 0 || r->signal != 0)
		return fail_exit(r, err);
	return exec_credential_parse(
		buf_str(&r->texts[0]), r->texts[0].len, r->plugin->config->api_version, ret, err);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void keep(struct exec_plugin *p, struct exec_credential *fresh)
{
	int64_t life_ms = fresh->expires_ms - wall_ms();

	exec_credential_release(&p->credential);
	p->credential = *fresh;
	p->has = true;
	p->got_ms = steady_ms();
	p->use_until_ms = p->fetch_from_ms = INT64_MAX;
	if (fresh->expires_ms != 0 && life_ms <= 0) {
		/* Our clock may be ahead: the server judges, and it is asked for again soon. */
		p->use_until_ms = p->fetch_from_ms = wall_ms() + EXPIRED_USE_MS;
		if (!p->warned)
			log_warn("the exec plugin's credential has expired already, by the clock "
				 "of this machine; it is tried",
				"command", p->config->command);
		p->warned = true;
	} else if (fresh->expires_ms != 0) {
		p->warned = false;
		p->use_until_ms = fresh->expires_ms - least(MARGIN_MS, life_ms / 20);
		p->fetch_from_ms = fresh->expires_ms - least(AHEAD_MS, life_ms / 5);
	}
	backoff_reset(&p->backoff);
	p->pause_until_ms = 0;
}

static void settle(struct run *r)
{
	struct exec_plugin *p = r->plugin;
	struct exec_credential fresh = { .token = NULL };
	struct err err = ERR_INIT;
	int rc;

	if (p == NULL)
		return;
	rc = take_credential(r, &fresh, &err);
	p->run = NULL;
	r->plugin = NULL;
	kill_run(r);
	if (rc == 0) {
		keep(p, &fresh);
	} else {
		err_wrap(&err, "%s: '%s'", p->config->place, p->config->command);
		p->failure = err;
		p->pause_until_ms = steady_ms() + backoff_next_ms(&p->backoff);
	}
	p->handler.on_end(p->handler.arg, rc == 0 ? NULL : &err);
}

static void check_settled(struct run *r)
{
	if (r->exited && r->pipes_open == 0)
		settle(r);
}

static void on_drained(uv_timer_t *timer)
{
	settle(timer->data);
}

static void on_exit_seen(uv_process_t *process, int64_t status, int signal)
{
	struct run *r = process->data;

	r->exited = true;
	r->exit_status = status;
	r->signal = signal;
	close_handle((uv_handle_t *)process);
	/* What it has left running may hold its output open for ever: what it said itself is there. */
	if (r->pipes_open > 0 && r->plugin != NULL)
		uv_timer_start(&r->timer, on_drained, DRAIN_MS, 0);
	check_settled(r);
}

static void on_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *ret)
{
	struct run *r = handle->data;

	*ret = uv_buf_init(r->chunk, sizeof(r->chunk));
}

static void fail(struct run *r, const char *why)
{
	if (r->plugin == NULL)
		return;
	err_set(&r->failure, EXIT_CONFIG, "%s", why);
	settle(r);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
	struct run *r = stream->data;
	bool is_error = stream == (uv_stream_t *)&r->pipes[1];
	struct buf *text = &r->texts[is_error];

	if (n < 0) {
		r->pipes_open--;
		close_handle((uv_handle_t *)stream);
		check_settled(r);
		return;
	}
	/* Of what it complains the end counts. */
	if (is_error && text->len + (size_t)n > text->max_bytes)
		buf_reset(text);
	if (buf_add(text, data->base, (size_t)n) < 0)
		fail(r, "its output is longer than a MiB");
}

static void on_limit(uv_timer_t *timer)
{
	struct run *r = timer->data;
	cleanup_free char *why = NULL;

	if (r->plugin == NULL)
		return;
	why = xasprintf(
		"it has not ended within %lld s", (long long)(r->plugin->timeout_ms + 999) / 1000);
	fail(r, why);
}

/* From the loop: nobody expects an answer while he asks. */
static void on_not_started(uv_timer_t *timer)
{
	settle(timer->data);
}

static int spawn(struct run *r)
{
	const struct exec_config *x = r->plugin->config;
	cleanup_free char *file = exec_config_file(x);
	uv_stdio_container_t stdio[] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&r->pipes[0] },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
			.data.stream = (uv_stream_t *)&r->pipes[1] },
	};
	const uv_process_options_t options = {
		.exit_cb = on_exit_seen,
		/* Nothing is of that name: ENOENT. */
		.file = file != NULL ? file : "",
		.args = x->argv,
		.env = x->env,
		/* A group of its own, to be killed as a whole. */
		.flags = UV_PROCESS_DETACHED,
		.stdio = stdio,
		.stdio_count = ARRAY_SIZE(stdio),
	};

	return uv_spawn(r->plugin->loop, &r->process, &options);
}

static void start(struct exec_plugin *p)
{
	struct run *r = xcalloc(1, sizeof(*r));
	int rc;

	p->run = r;
	r->plugin = p;
	buf_init(&r->texts[0], EXEC_CREDENTIAL_MAX_BYTES);
	buf_init(&r->texts[1], MAX_ERROR_BYTES);
	uv_pipe_init(p->loop, &r->pipes[0], 0);
	uv_pipe_init(p->loop, &r->pipes[1], 0);
	uv_timer_init(p->loop, &r->timer);
	r->handles = 4;
	r->process.data = r->timer.data = r->pipes[0].data = r->pipes[1].data = r;
	rc = spawn(r);
	if (rc < 0) {
		exec_config_fail_missing(p->config, -rc, &r->failure);
		uv_timer_start(&r->timer, on_not_started, 0, 0);
		return;
	}
	log_debug("exec plugin runs", "command", p->config->command);
	r->spawned = true;
	for (r->pipes_open = 0; r->pipes_open < 2; r->pipes_open++)
		uv_read_start((uv_stream_t *)&r->pipes[r->pipes_open], on_alloc, on_read);
	uv_timer_start(&r->timer, on_limit, (uint64_t)p->timeout_ms, 0);
}

struct exec_plugin *exec_plugin_open(uv_loop_t *loop, const struct exec_config *config,
	int64_t timeout_ms, const struct exec_plugin_handler *handler)
{
	struct exec_plugin *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->config = config;
	p->timeout_ms = timeout_ms;
	p->handler = *handler;
	p->backoff = (struct backoff){ .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS };
	return p;
}

void exec_plugin_close(struct exec_plugin *p)
{
	if (p == NULL)
		return;
	if (p->run != NULL) {
		p->run->plugin = NULL;
		kill_run(p->run);
	}
	exec_credential_release(&p->credential);
	free(p);
}

int exec_plugin_get(struct exec_plugin *p, const struct exec_credential **ret, struct err *err)
{
	int64_t now = wall_ms();
	bool serves = p->has && now < p->use_until_ms, pauses = steady_ms() < p->pause_until_ms;

	if (p->run == NULL && !pauses && (!serves || now >= p->fetch_from_ms))
		start(p);
	if (serves) {
		*ret = &p->credential;
		return 1;
	}
	if (p->run != NULL)
		return 0;
	*err = p->failure;
	return -1;
}

bool exec_plugin_drop(struct exec_plugin *p)
{
	if (p->has && steady_ms() - p->got_ms < MIN_AGE_MS)
		return false;
	p->has = false;
	return true;
}
