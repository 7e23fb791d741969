#include "lib/http.h"

#include <string.h>

#include "lib/buf.h"

#ifndef MESHPIPE_VERSION
#define MESHPIPE_VERSION "unknown"
#endif

/* Handles kept for the next calls; each holds about 6 KB. */
#define MAX_SPARE 256

/* libcurl's own default. */
#define BUFFER_BYTES 16384L

/* Of one HTTP/2 connection; the server's own limit holds where it is lower. */
#define MAX_STREAMS 250L

struct http_call {
	struct http *http;
	struct http_call *prev, *next; /* of the calls in flight, or `next` of the spare ones */
	CURL *easy;
	struct buf body;
	int64_t started_ms;
	unsigned epoch; /* of http when the handle was made */
	bool in_flight;
	char error[CURL_ERROR_SIZE];
	bool (*on_data)(void *arg, const char *data, size_t len);
	void (*on_done)(void *arg, const struct http_reply *reply);
	void *arg;
};

struct http {
	struct http_config config;
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	struct http_call *calls;
	struct http_call *spare;
	unsigned spares;
	unsigned epoch;
	unsigned sockets;  /* the loop's, also those that are closing */
	unsigned polled;   /* of them, those of a request */
	unsigned running;  /* requests */
	bool multiplexed;  /* many of them share a connection */
	long limit;	   /* as libcurl was told */
	bool send_started; /* libcurl has not been called since */
	bool closing;
	bool timer_closed;
};

struct http_socket {
	uv_poll_t poll;
	struct http *http;
	curl_socket_t fd;
};

static void free_when_closed(struct http *h)
{
	if (h->closing && h->timer_closed && h->sockets == 0)
		free(h);
}

static void call_free(struct http_call *c)
{
	curl_easy_cleanup(c->easy);
	buf_release(&c->body);
	free(c);
}

static void unlink_call(struct http_call *c)
{
	struct http *h = c->http;

	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		h->calls = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
	c->in_flight = false;
	h->running--;
}

static void retire(struct http_call *c)
{
	struct http *h = c->http;

	/* The next call may stand for minutes before it has a body. */
	buf_release(&c->body);
	if (h->closing || h->spares >= MAX_SPARE || c->epoch != h->epoch) {
		call_free(c);
		return;
	}
	c->next = h->spare;
	h->spare = c;
	h->spares++;
}

static void finish(struct http_call *c, CURLcode result)
{
	struct http_reply reply = {
		.result = result,
		.error = "",
		.body = buf_str(&c->body),
		.body_len = c->body.len,
		.elapsed_ms = steady_ms() - c->started_ms,
		.easy = c->easy,
	};
	struct http *h = c->http;
	long connects = 0;

	/* Only on_body() makes this one, and libcurl writes its own words over ours. */
	if (result == CURLE_WRITE_ERROR && c->on_data == NULL)
		snprintf(c->error, sizeof(c->error), "the answer is longer than %zu bytes",
			c->body.max_bytes);
	if (result != CURLE_OK)
		reply.error = c->error[0] != '\0' ? c->error : curl_easy_strerror(result);
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &reply.status);
	curl_easy_getinfo(c->easy, CURLINFO_HTTP_VERSION, &reply.http_version);
	curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connects);
	reply.fresh = connects > 0;
	if (reply.status != 0)
		h->multiplexed = reply.http_version == CURL_HTTP_VERSION_2_0;
	curl_multi_remove_handle(h->multi, c->easy);
	unlink_call(c);
	c->on_done(c->arg, &reply);
	retire(c);
}

/* Calls back only here, outside of libcurl: a callback may start or drop other calls. */
static void collect(struct http *h)
{
	CURLMsg *msg;
	int left;

	while (!h->closing && (msg = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *c = NULL;
		CURLcode result = msg->data.result; /* msg dies with remove_handle */

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &c);
		finish(c, result);
	}
}

static void act(struct http *h, curl_socket_t fd, int flags)
{
	int running;

	curl_multi_socket_action(h->multi, fd, flags, &running);
	collect(h);
	/* What an answer led to goes out before the next answer is read: the server works meanwhile. */
	if (h->send_started && !h->closing) {
		h->send_started = false;
		curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		collect(h);
	}
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl's CURLMOPT_TIMERFUNCTION: -1 stops the timer. */
static int on_set_timer(CURLM *multi UNUSED, long timeout_ms, void *arg)
{
	struct http *h = arg;

	if (timeout_ms < 0 || h->closing)
		uv_timer_stop(&h->timer);
	else
		uv_timer_start(&h->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

static void on_socket_event(uv_poll_t *poll, int status, int events)
{
	struct http_socket *s = poll->data;
	int flags = 0;

	/* libcurl's own read or write finds the error, and its name. */
	if (status < 0)
		flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	act(s->http, s->fd, flags);
}

static void on_socket_closed(uv_handle_t *handle)
{
	struct http_socket *s = handle->data;
	struct http *h = s->http;

	free(s);
	h->sockets--;
	free_when_closed(h);
}

static struct http_socket *socket_new(struct http *h, curl_socket_t fd)
{
	struct http_socket *s = xcalloc(1, sizeof(*s));

	s->http = h;
	s->fd = fd;
	if (uv_poll_init_socket(h->loop, &s->poll, fd) < 0) {
		free(s);
		return NULL;
	}
	s->poll.data = s;
	h->sockets++;
	h->polled++;
	curl_multi_assign(h->multi, fd, s);
	return s;
}

/* libcurl's CURLMOPT_SOCKETFUNCTION. Returning -1 would end all transfers. */
static int on_set_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct http *h = arg;
	struct http_socket *s = assigned;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) {
			uv_poll_stop(&s->poll);
			uv_close((uv_handle_t *)&s->poll, on_socket_closed);
			curl_multi_assign(h->multi, fd, NULL);
			h->polled--;
		}
		return 0;
	}
	if (s == NULL && (s = socket_new(h, fd)) == NULL)
		return 0; /* the call ends by its timeout */
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&s->poll, events, on_socket_event);
	return 0;
}

/*
 * With CURLOPT_PIPEWAIT too libcurl opens a connection for each request that finds
 * no stream free. So it gets no more of them than the requests need.
 */
static void set_limit(struct http *h)
{
	long needed = (long)h->running / MAX_STREAMS + 1, limit = h->config.max_connections;

	if (h->multiplexed && !h->config.keep_limit && needed < limit)
		limit = needed;
	if (limit == h->limit)
		return;
	h->limit = limit;
	curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, limit);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, limit);
}

long http_status(const struct http_call *c)
{
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

void http_limit(struct http *h, long max_connections)
{
	h->config.max_connections = max_connections;
	set_limit(h);
}

unsigned http_connections(const struct http *h)
{
	return h->polled;
}

struct http *http_open(uv_loop_t *loop, const struct http_config *config, struct err *err)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->config = *config;
	h->loop = loop;
	h->multi = curl_multi_init();
	if (h->multi == NULL || uv_timer_init(loop, &h->timer) < 0) {
		err_set(err, EXIT_SYSTEM, "cannot set up libcurl");
		if (h->multi != NULL)
			curl_multi_cleanup(h->multi);
		free(h);
		return NULL;
	}
	h->timer.data = h;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_set_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	http_limit(h, config->max_connections);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, MAX_STREAMS);
	return h;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct http *h = handle->data;

	h->timer_closed = true;
	free_when_closed(h);
}

void http_refresh(struct http *h)
{
	h->multiplexed = false;
	set_limit(h);
	h->epoch++;
	h->spares = 0;
	while (h->spare != NULL) {
		struct http_call *c = h->spare;

		h->spare = c->next;
		call_free(c);
	}
}

void http_close(struct http *h)
{
	if (h == NULL || h->closing)
		return;
	h->closing = true;
	while (h->calls != NULL)
		http_cancel(h->calls);
	http_refresh(h);
	curl_multi_cleanup(h->multi);
	uv_timer_stop(&h->timer);
	uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct http_call *c = arg;
	long status = 0;
	bool taken;

	if (c->on_data != NULL)
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	taken = status == 200 ? c->on_data(c->arg, data, size * count)
			      : buf_add(&c->body, data, size * count) == 0;
	return taken ? size * count : 0;
}

static struct http_call *call_new(struct http *h)
{
	struct http_call *c = xcalloc(1, sizeof(*c));

	c->http = h;
	c->epoch = h->epoch;
	c->easy = curl_easy_init();
	if (c->easy == NULL) {
		free(c);
		return NULL;
	}
	curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(c->easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, h->config.connect_timeout_ms);
	/* A blocking query carries no bytes for minutes: the kernel must find a dead peer. */
	curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPIDLE, 15L);
	curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPINTVL, 5L);
	curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "meshpipe/" MESHPIPE_VERSION);
	if (h->config.on_new_handle != NULL)
		h->config.on_new_handle(c->easy, h->config.arg);
	return c;
}

/* The method and the body; a handle keeps what the call before it had. */
static void set_method(CURL *easy, const char *method, const char *body)
{
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
	curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	if (body != NULL) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static struct http_call *call_take(struct http *h)
{
	struct http_call *c = h->spare;

	if (c == NULL)
		return call_new(h);
	h->spare = c->next;
	h->spares--;
	return c;
}

struct http_call *http_send(struct http *h, const struct http_request *request, struct err *err)
{
	struct http_call *c = call_take(h);

	if (c == NULL) {
		err_set(err, EXIT_SYSTEM, "cannot set up libcurl");
		return NULL;
	}
	c->prev = c->next = NULL;
	c->error[0] = '\0';
	c->on_data = request->on_data;
	c->on_done = request->on_done;
	c->arg = request->arg;
	c->started_ms = steady_ms();
	c->body.max_bytes = request->max_body;
	curl_easy_setopt(c->easy, CURLOPT_URL, request->url);
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
	curl_easy_setopt(c->easy, CURLOPT_BUFFERSIZE,
		request->buffer_bytes > 0 ? request->buffer_bytes : BUFFER_BYTES);
	set_method(c->easy, request->method, request->body);
	h->running++;
	set_limit(h);
	if (curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
		h->running--;
		err_set(err, EXIT_SYSTEM, "cannot start a request for '%s'", request->url);
		call_free(c);
		return NULL;
	}
	c->next = h->calls;
	if (h->calls != NULL)
		h->calls->prev = c;
	h->calls = c;
	c->in_flight = true;
	h->send_started = true;
	return c;
}

void http_cancel(struct http_call *call)
{
	if (call == NULL || !call->in_flight)
		return;
	curl_multi_remove_handle(call->http->multi, call->easy);
	unlink_call(call);
	retire(call);
}

const char *http_header_at(const struct http_reply *reply, const char *name, size_t number)
{
	struct curl_header *header = NULL;

	if (curl_easy_header(reply->easy, name, number, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

const char *http_header(const struct http_reply *reply, const char *name)
{
	return http_header_at(reply, name, 0);
}

char *http_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = xstrdup(escaped != NULL ? escaped : "");

	curl_free(escaped);
	return copy;
}
