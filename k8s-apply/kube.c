#include "k8s-apply/kube.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "k8s-apply/kube_credentials.h"
#include "k8s-apply/warnings.h"
#include "lib/log.h"

#define CONNECT_TIMEOUT_MS 5000L

/* A handler of the API server may take 34 s. */
#define REQUEST_TIMEOUT_MS 40000L
#define MAX_ANSWER_BYTES   (16u << 20)

/*
 * Of a list or a watch. Over HTTP/2 one transfer reads what comes for all; when it fills the buffer of
 * another, libcurl 7.88 may leave the end of that answer where it is until the next frame comes, which
 * on a quiet connection is never. So a page of a list fits into its buffer. It is libcurl's largest.
 */
#define LONG_BUFFER_BYTES 524288L

/* Data that the peer does not acknowledge for so long: the connection is dead. */
#define USER_TIMEOUT_MS 20000

/* A server that is going away may wind up one connection after another. */
#define MAX_RESENDS 3

enum call_state {
	CALL_WAITING, /* for credentials */
	CALL_SENT,
	CALL_UNSENDABLE, /* the timer answers it */
};

struct kube_call {
	struct kube *kube;
	struct kube_call *prev, *next;
	struct kube_request request; /* with texts of our own */
	enum call_state state;
	struct http_call *call; /* of one that is sent */
	struct curl_slist *headers;
	unsigned serial;		 /* of the credentials that it was sent with */
	bool resent;			 /* with other credentials */
	unsigned resends;		 /* for connections that were lost */
	char why[KUBE_STATUS_WHY_BYTES]; /* of one that cannot be sent */
};

struct kube {
	struct kube_credentials *credentials;
	struct http *lanes[3];
	uv_timer_t timer; /* answers those that cannot be sent */
	struct kube_call *calls;
	char *base;		    /* what stands before a path */
	struct curl_slist *connect; /* where to, if the name of the certificate is another */
	struct warnings warnings;
	bool closing;
};

/* A peer that vanished without a word is found by the kernel, not by a silence: a watch is silent
 * for minutes, and keepalive alone does not count while something waits to be sent. */
static int on_socket(void *arg UNUSED, curl_socket_t fd, curlsocktype purpose UNUSED)
{
	unsigned timeout = USER_TIMEOUT_MS;

	/* An exec plugin must not have it. */
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	return CURL_SOCKOPT_OK;
}

const struct kubeconfig *kube_access(const struct kube *k)
{
	return kube_credentials_access(k->credentials);
}

static void on_new_handle(CURL *easy, void *arg)
{
	const struct kube *k = arg;

	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	kube_credentials_set_up(k->credentials, easy);
	if (k->connect != NULL)
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, k->connect);
	/* Lists are long and alike: 56 MB become 3. */
	if (!kube_access(k)->disable_compression)
		curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
}

/*
 * libcurl checks the certificate against the host of the URL. Where the kubeconfig says that it
 * has another name, that is put into the URL, and the connection goes to the server all the same.
 */
static int set_base(struct kube *k, struct err *err)
{
	const struct kubeconfig *access = kube_access(k);
	const char *name = access->tls_server_name;
	char *host = NULL, *port = NULL;
	cleanup_free char *to = NULL;
	CURLU *url;
	int rc = -1;

	if (name == NULL) {
		k->base = xstrdup(access->server);
		return 0;
	}
	url = curl_url();
	if (curl_url_set(url, CURLUPART_URL, access->server, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK) {
		char *text = NULL;

		to = xasprintf("%s:%s:%s:%s", name, port, host, port);
		k->connect = curl_slist_append(NULL, to);
		curl_url_get(url, CURLUPART_URL, &text, 0);
		k->base = xstrdup(text != NULL ? text : "");
		k->base[strlen(k->base) - str_ends(k->base, "/")] = '\0';
		curl_free(text);
		rc = 0;
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return rc == 0 ? 0
		       : err_set(err, EXIT_CONFIG, "'%s' with the server name '%s' is no address",
				 access->server, name);
}

static void unlink_call(struct kube_call *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		c->kube->calls = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
}

static void call_free(struct kube_call *c)
{
	const char *const texts[] = { c->request.method, c->request.path, c->request.body,
		c->request.content_type, c->request.accept };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free((char *)texts[i]);
	curl_slist_free_all(c->headers);
	free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct kube *k = handle->data;

	curl_slist_free_all(k->connect);
	free(k->base);
	free(k);
}

void kube_close(struct kube *k)
{
	if (k == NULL || k->closing)
		return;
	k->closing = true;
	for (size_t i = 0; i < ARRAY_SIZE(k->lanes); i++)
		http_close(k->lanes[i]);
	while (k->calls != NULL) {
		struct kube_call *c = k->calls;

		unlink_call(c);
		call_free(c);
	}
	kube_credentials_close(k->credentials);
	k->credentials = NULL;
	uv_close((uv_handle_t *)&k->timer, on_timer_closed);
}

/* The callback may close `k`: the call is in no list by then. */
static void finish(struct kube_call *c, const struct kube_answer *answer)
{
	unlink_call(c);
	c->request.on_answer(c->request.arg, answer);
	call_free(c);
}

static bool on_data(void *arg, const char *data, size_t len)
{
	struct kube_call *c = arg;

	return c->request.on_data(c->request.arg, data, len);
}

static struct kube_call *first_unsent(const struct kube *k)
{
	struct kube_call *c = k->calls;

	while (c != NULL && c->state != CALL_UNSENDABLE)
		c = c->next;
	return c;
}

/* What cannot be sent is answered the same way as all else. */
static void on_timer(uv_timer_t *timer)
{
	struct kube *k = timer->data;
	struct kube_call *c;

	while (!k->closing && (c = first_unsent(k)) != NULL) {
		struct kube_answer answer = { .body = "", .status.verdict = KUBE_LATER };

		memcpy(answer.status.why, c->why, sizeof(c->why));
		finish(c, &answer);
	}
}

static void add_header(struct kube_call *c, const char *name, const char *value)
{
	cleanup_free char *line = xasprintf("%s: %s", name, value);

	c->headers = curl_slist_append(c->headers, line);
}

/* As kube_credentials_get. */
static int set_headers(struct kube_call *c, struct err *err)
{
	const struct kube_request *r = &c->request;

	curl_slist_free_all(c->headers);
	c->headers = NULL;
	add_header(c, "Accept", r->accept != NULL ? r->accept : "application/json");
	if (r->body != NULL)
		add_header(c, "Content-Type",
			r->content_type != NULL ? r->content_type : "application/json");
	return kube_credentials_get(
		c->kube->credentials, steady_ms(), &c->headers, &c->serial, err);
}

static long timeout_of(const struct kube *k, const struct kube_request *r)
{
	int64_t given_ms = kube_access(k)->request_timeout_ms;

	if (r->timeout_ms == 0)
		return given_ms >= 0 ? (long)given_ms : REQUEST_TIMEOUT_MS;
	return r->timeout_ms;
}

static void on_done(void *arg, const struct http_reply *reply);

static struct http_call *send_to_lane(struct kube_call *c, struct err *err)
{
	const struct kube_request *r = &c->request;
	cleanup_free char *url = xasprintf("%s%s", c->kube->base, r->path);
	const struct http_request request = {
		.method = r->method,
		.url = url,
		.headers = c->headers,
		.body = r->body,
		.timeout_ms = timeout_of(c->kube, r),
		.max_body = r->max_body > 0 ? r->max_body : MAX_ANSWER_BYTES,
		.buffer_bytes = r->lane == KUBE_LANE_WATCH ? LONG_BUFFER_BYTES : 0,
		.on_data = r->on_data != NULL ? on_data : NULL,
		.on_done = on_done,
		.arg = c,
	};

	return http_send(c->kube->lanes[r->lane], &request, err);
}

/* Sends it if we know as whom by now. */
static void start(struct kube_call *c)
{
	struct err err = ERR_INIT;
	int rc = set_headers(c, &err);

	c->state = CALL_WAITING;
	if (rc == 0)
		return;
	if (rc > 0 && c->request.still != NULL && !c->request.still(c->request.arg))
		rc = err_set(&err, EXIT_UNAVAILABLE, "it may not be sent any more");
	c->call = rc > 0 ? send_to_lane(c, &err) : NULL;
	c->state = c->call != NULL ? CALL_SENT : CALL_UNSENDABLE;
	if (c->call == NULL) {
		snprintf(c->why, sizeof(c->why), "%.*s", (int)sizeof(c->why) - 1, err.msg);
		uv_timer_start(&c->kube->timer, on_timer, 0, 0);
	}
}

/* Refused, and there are other credentials than those: once. */
static bool send_again(struct kube_call *c)
{
	if (!kube_credentials_refused(c->kube->credentials, c->serial) || c->resent)
		return false;
	c->resent = true;
	c->call = NULL;
	start(c);
	return true;
}

/*
 * A connection was lost under it, or wound up: the same goes out again at once, on another. That is
 * safe for writes too, as each has its precondition. Not for a watch, of which a part is taken
 * already, nor for the Lease, which has a time to keep.
 */
static bool send_elsewhere(struct kube_call *c, const struct kube_status *status)
{
	if (!status->dropped || c->request.lane == KUBE_LANE_LEASE || c->request.on_data != NULL ||
		c->resends >= MAX_RESENDS)
		return false;
	c->resends++;
	log_debug("sent again", "error", status->why);
	c->call = NULL;
	start(c);
	return true;
}

static void on_done(void *arg, const struct http_reply *reply)
{
	struct kube_call *c = arg;
	struct kube_answer answer = {
		.body = reply->body,
		.body_len = reply->body_len,
	};

	warnings_take(&c->kube->warnings, reply);
	kube_status_of_reply(reply, &answer.status);
	if (send_elsewhere(c, &answer.status))
		return;
	if (answer.status.verdict == KUBE_UNAUTHORIZED && send_again(c))
		return;
	finish(c, &answer);
}

/* Nothing is called back from in here: the list stays as it is. */
static void on_ready(void *arg)
{
	struct kube *k = arg;

	for (struct kube_call *c = k->calls; c != NULL; c = c->next)
		if (c->state == CALL_WAITING)
			start(c);
}

static void on_rotated(void *arg)
{
	struct kube *k = arg;

	for (size_t i = 0; i < ARRAY_SIZE(k->lanes); i++)
		http_refresh(k->lanes[i]);
}

struct kube *kube_open(uv_loop_t *loop, struct kubeconfig *access, struct err *err)
{
	/* Over HTTP/2 one connection carries all, if the server has streams for them; over
	 * HTTP/1.1 it takes one each. No limit for watches: what waits for a place would wait
	 * unseen for as long as the others stand. */
	static const long connections[] = {
		[KUBE_LANE_WORK] = 32, [KUBE_LANE_WATCH] = 0, [KUBE_LANE_LEASE] = 1
	};
	struct kube *k = xcalloc(1, sizeof(*k));
	const struct kube_credentials_handler handler = {
		.on_ready = on_ready,
		.on_rotated = on_rotated,
		.arg = k,
	};

	k->credentials = kube_credentials_open(loop, access, &handler);
	uv_timer_init(loop, &k->timer);
	k->timer.data = k;
	for (size_t i = 0; i < ARRAY_SIZE(k->lanes); i++) {
		const struct http_config config = {
			.max_connections = connections[i],
			.keep_limit = true,
			.connect_timeout_ms = CONNECT_TIMEOUT_MS,
			.on_new_handle = on_new_handle,
			.arg = k,
		};

		k->lanes[i] = http_open(loop, &config, err);
		if (k->lanes[i] == NULL) {
			kube_close(k);
			return NULL;
		}
	}
	if (set_base(k, err) < 0) {
		kube_close(k);
		return NULL;
	}
	return k;
}

static char *copy(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

struct kube_call *kube_send(struct kube *k, const struct kube_request *r)
{
	struct kube_call *c = xcalloc(1, sizeof(*c));

	c->kube = k;
	c->request = *r;
	c->request.method = copy(r->method);
	c->request.path = copy(r->path);
	c->request.body = copy(r->body);
	c->request.content_type = copy(r->content_type);
	c->request.accept = copy(r->accept);
	c->next = k->calls;
	if (c->next != NULL)
		c->next->prev = c;
	k->calls = c;
	start(c);
	return c;
}

bool kube_is_accepted(const struct kube_call *c)
{
	return c->call != NULL && http_status(c->call) == 200;
}

void kube_cancel(struct kube_call *c)
{
	if (c == NULL)
		return;
	http_cancel(c->call);
	unlink_call(c);
	call_free(c);
}

char *kube_path(
	const char *api_version, const char *namespace, const char *plural, const char *name)
{
	cleanup_free char *ns = http_escape(namespace);
	cleanup_free char *last = http_escape(name != NULL ? name : "");
	bool core = strchr(api_version, '/') == NULL;

	/* An apiVersion and a plural are of characters that need no escape. */
	return xasprintf("/%s/%s%s%s/%s%s%s", core ? "api" : "apis", api_version,
		*ns != '\0' ? "/namespaces/" : "", ns, plural, name != NULL ? "/" : "", last);
}
