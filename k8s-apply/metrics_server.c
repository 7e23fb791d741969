#include "k8s-apply/metrics_server.h"

#include <microhttpd.h>
#include <string.h>

#include "k8s-apply/listen.h"
#include "lib/log.h"

/* Far more than monitoring needs, and little enough not to hurt. */
#define MAX_CONNECTIONS	     32
#define MAX_CONNECTION_BYTES (16u << 10)
#define MAX_IDLE_S	     15u

/* https://prometheus.io/docs/instrumenting/exposition_formats/ */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_TYPE    "text/plain; charset=utf-8"

struct metrics_server {
	struct MHD_Daemon *daemon;
	struct metrics_server_handler handler;
	uv_poll_t poll; /* libmicrohttpd's own epoll, which holds its sockets */
	uv_timer_t timer;
	int open_handles;
};

/* Takes `text` over. */
static enum MHD_Result answer(
	struct MHD_Connection *connection, unsigned status, const char *type, char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (response == NULL) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_metrics(
	const struct metrics_server *s, struct MHD_Connection *connection)
{
	char *text = s->handler.on_metrics(s->handler.arg);

	if (text == NULL)
		return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, TEXT_TYPE,
			xstrdup("the numbers do not fit into an answer\n"));
	return answer(connection, MHD_HTTP_OK, METRICS_TYPE, text);
}

static enum MHD_Result answer_ready(
	const struct metrics_server *s, struct MHD_Connection *connection)
{
	cleanup_free char *why = s->handler.on_ready(s->handler.arg);

	if (why == NULL)
		return answer(connection, MHD_HTTP_OK, TEXT_TYPE, xstrdup("ok\n"));
	return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, TEXT_TYPE,
		xasprintf("not ready: %s\n", why));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version UNUSED, const char *body UNUSED, size_t *body_len,
	void **request)
{
	struct metrics_server *s = arg;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, TEXT_TYPE,
			xstrdup("there is only something to read here\n"));
	/* Once for the head and for each piece of a body: an answer before the end would close. */
	if (*request == NULL || *body_len > 0) {
		*request = s;
		*body_len = 0;
		return MHD_YES;
	}
	if (strcmp(path, "/metrics") == 0)
		return answer_metrics(s, connection);
	if (strcmp(path, "/healthz") == 0)
		return answer(connection, MHD_HTTP_OK, TEXT_TYPE, xstrdup("ok\n"));
	if (strcmp(path, "/readyz") == 0)
		return answer_ready(s, connection);
	return answer(connection, MHD_HTTP_NOT_FOUND, TEXT_TYPE,
		xstrdup("there are /metrics, /healthz and /readyz\n"));
}

static void work(struct metrics_server *s);

static void on_timer(uv_timer_t *timer)
{
	work(timer->data);
}

static void on_poll(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	work(poll->data);
}

static unsigned connections_of(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info != NULL ? info->num_connections : 0;
}

/* It says itself when it wants to be called again although nothing comes. */
static void work(struct metrics_server *s)
{
	MHD_UNSIGNED_LONG_LONG pause_ms;
	unsigned before;

	/* At the limit it stops to listen. Connections go at the end of a run, and only at the
	 * beginning of the next, for which nothing would ask, does it listen again. */
	do {
		before = connections_of(s->daemon);
		MHD_run(s->daemon);
	} while (connections_of(s->daemon) < before);
	if (MHD_get_timeout(s->daemon, &pause_ms) == MHD_YES)
		uv_timer_start(&s->timer, on_timer, pause_ms, 0);
	else
		uv_timer_stop(&s->timer);
}

static int poll_fd(struct MHD_Daemon *daemon)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info != NULL ? info->epoll_fd : -1;
}

/* Takes `fd` over. */
static struct MHD_Daemon *start_daemon(int fd, struct metrics_server *s)
{
	/* Without a thread of its own, and without words on stderr that are not ours. */
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, s,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MAX_CONNECTION_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, MAX_IDLE_S, MHD_OPTION_END);

	if (daemon == NULL)
		close(fd);
	else if (poll_fd(daemon) < 0) {
		MHD_stop_daemon(daemon);
		daemon = NULL;
	}
	return daemon;
}

struct metrics_server *metrics_server_open(uv_loop_t *loop, const char *address,
	const struct metrics_server_handler *handler, struct err *err)
{
	cleanup_free char *where = NULL;
	struct metrics_server *s;
	int fd = listen_on(address, &where, err);

	if (fd < 0) {
		err_wrap(err, "option '--metrics'");
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->handler = *handler;
	s->daemon = start_daemon(fd, s);
	if (s->daemon == NULL) {
		err_set(err, EXIT_SYSTEM, "cannot serve HTTP on '%s'", address);
		free(s);
		return NULL;
	}
	uv_timer_init(loop, &s->timer);
	uv_poll_init(loop, &s->poll, poll_fd(s->daemon));
	s->timer.data = s->poll.data = s;
	s->open_handles = 2;
	uv_poll_start(&s->poll, UV_READABLE, on_poll);
	log_info("numbers for monitoring are at /metrics", "address", where);
	return s;
}

static void on_closed(uv_handle_t *handle)
{
	struct metrics_server *s = handle->data;

	if (--s->open_handles == 0)
		free(s);
}

void metrics_server_close(struct metrics_server *s)
{
	if (s == NULL)
		return;
	uv_close((uv_handle_t *)&s->poll, on_closed);
	uv_close((uv_handle_t *)&s->timer, on_closed);
	MHD_stop_daemon(s->daemon);
}
