#include "consul-watch/consul.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <sys/queue.h>
#include <xxhash.h>

#include "consul-watch/crowd.h"
#include "lib/buf.h"
#include "lib/http.h"
#include "lib/log.h"

/* As long as a record may be. */
#define MAX_BODY_BYTES	   (64u << 20)
#define CONNECT_MS	   5000
#define MAX_RETRY_AFTER_MS (5 * 60 * 1000)
/* Thousands of queries may stand, and their answers are short. */
#define BLOCKING_BUFFER_BYTES 1024
/* A wait that ended this much before its time did not run out. */
#define EARLY_SLACK_MS 500
/* A server without a leader holds a read for 7 s before it says so. */
#define SLACK_MS 15000

struct consul {
	struct consul_config config;
	struct crowd crowd;
	struct address_list addresses;
	unsigned address; /* in use, counted on: modulo their number */
	unsigned era;	  /* of address and token */
	unsigned tokens;  /* credentials_tokens() of it */
	struct credentials *credentials;
	struct http *http;
	LIST_HEAD(, ask) asks;	/* in flight */
	uv_timer_t leave_timer; /* to end those at an address that was left */
};

struct ask {
	LIST_ENTRY(ask) link;
	struct http_call *call;
	struct curl_slist *headers;
	struct tls_files *tls;
	struct consul *consul;
	unsigned address, era; /* of the consul when it was asked */
	bool unindexed;
	int64_t wait_ms; /* 0: not blocking */
	uint64_t known_hash;
	void (*on_answer)(void *arg, const struct consul_answer *answer);
	void *arg;
};

int consul_reload_token(struct consul *c, struct err *err)
{
	return credentials_reload_token(c->credentials, err);
}

static const struct address *address_of(const struct consul *c, unsigned number)
{
	return &c->addresses.item[number % c->addresses.count];
}

static const struct address *in_use(const struct consul *c)
{
	return address_of(c, c->address);
}

static const char *text_of(const struct address *a)
{
	return a->socket != NULL ? a->socket : a->base_url;
}

static void on_new_handle(CURL *easy, void *arg)
{
	const struct consul *c = arg;
	const struct consul_config *config = &c->config;
	const struct address *address = in_use(c);

	credentials_apply(c->credentials, easy);
	if (address->socket != NULL)
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, address->socket);
	if (address->connect_to != NULL)
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, address->connect_to);
	/* A proxy elsewhere cannot reach it, and must not see the token. */
	if (address->local)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	else
		curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (config->tls_no_verify) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (config->auth != NULL && *config->auth != '\0') {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERPWD, config->auth);
	}
}

static int prepare(struct consul *c, struct err *err)
{
	const char *name = c->config.tls_server_name;

	c->credentials = credentials_open(&c->config.credentials, err);
	if (c->credentials == NULL ||
		address_list_parse(c->config.addresses, c->config.tls, &c->addresses, err) < 0)
		return -1;
	return name != NULL && *name != '\0'
		       ? address_list_set_server_name(&c->addresses, name, err)
		       : 0;
}

struct consul *consul_open(uv_loop_t *loop, const struct consul_config *config, struct err *err)
{
	struct consul *c = xcalloc(1, sizeof(*c));
	struct http_config http = {
		.max_connections = config->max_connections,
		.connect_timeout_ms = CONNECT_MS,
		.on_new_handle = on_new_handle,
		.arg = c,
	};

	c->config = *config;
	crowd_init(&c->crowd, config->max_connections);
	LIST_INIT(&c->asks);
	uv_timer_init(loop, &c->leave_timer);
	c->leave_timer.data = c;
	if (prepare(c, err) < 0 || (c->http = http_open(loop, &http, err)) == NULL) {
		consul_close(c);
		return NULL;
	}
	c->tokens = credentials_tokens(c->credentials);
	return c;
}

static void ask_free(struct ask *a)
{
	LIST_REMOVE(a, link);
	credentials_drop(a->tls);
	curl_slist_free_all(a->headers);
	free(a);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void consul_close(struct consul *c)
{
	struct ask *a;

	if (c == NULL)
		return;
	http_close(c->http);
	while ((a = LIST_FIRST(&c->asks)) != NULL)
		ask_free(a);
	address_list_release(&c->addresses);
	credentials_close(c->credentials);
	uv_close((uv_handle_t *)&c->leave_timer, on_closed);
}

static bool header_is(const struct http_reply *reply, const char *name, const char *value)
{
	const char *text = http_header(reply, name);

	return text != NULL && strcasecmp(text, value) == 0;
}

/* One line of a body for a message: Consul's errors are plain text. */
static void fail(struct consul_answer *answer, enum consul_outcome outcome, const char *fmt, ...)
	PRINTF(3, 4);
static void fail(struct consul_answer *answer, enum consul_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	answer->outcome = outcome;
	va_start(ap, fmt);
	vsnprintf(answer->error, sizeof(answer->error), fmt, ap);
	va_end(ap);
	for (char *s = answer->error; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s))
			*s = ' ';
}

/* In seconds only; the other form, a date, would need the clocks of both to agree. */
static int64_t retry_after_ms(const struct http_reply *reply)
{
	const char *text = http_header(reply, "Retry-After");
	uint64_t seconds = 0;

	if (text == NULL || !parse_u64(text, UINT64_MAX, &seconds))
		return 0;
	return seconds < MAX_RETRY_AFTER_MS / 1000 ? (int64_t)seconds * 1000 : MAX_RETRY_AFTER_MS;
}

static void judge_status(struct consul_answer *answer, const struct http_reply *reply)
{
	const char *text = reply->body_len > 0 ? reply->body : "no text";

	if (reply->status == 429 || reply->status == 503)
		answer->retry_after_ms = retry_after_ms(reply);
	if (reply->status == 401 || reply->status == 403)
		fail(answer, CONSUL_REFUSED, "consul refuses the token: HTTP %ld: %.300s",
			reply->status, text);
	else if (reply->status == 400 || (reply->status >= 300 && reply->status < 400))
		fail(answer, CONSUL_IMPOSSIBLE, "HTTP %ld: %.300s", reply->status, text);
	else if (reply->status == 429)
		fail(answer, CONSUL_LIMITED, "consul limits our requests: HTTP 429: %.300s", text);
	else
		fail(answer, CONSUL_FAILED, "HTTP %ld: %.300s", reply->status, text);
}

static void judge_data(
	struct consul_answer *answer, const struct http_reply *reply, const struct ask *a)
{
	const char *index = http_header(reply, "X-Consul-Index");
	const char *leader = http_header(reply, "X-Consul-KnownLeader");
	struct err err = ERR_INIT;

	answer->streaming = header_is(reply, "X-Consul-Query-Backend", "streaming");
	answer->filtered = header_is(reply, "X-Consul-Results-Filtered-By-ACLs", "true");
	answer->no_leader =
		!answer->streaming && leader != NULL && strcasecmp(leader, "false") == 0;
	if (!a->unindexed && (index == NULL || !parse_u64(index, UINT64_MAX, &answer->index))) {
		fail(answer, CONSUL_FAILED, "the answer has no index; is this really consul?");
		return;
	}
	if (answer->streaming && answer->index <= 1) {
		fail(answer, CONSUL_FAILED, "the agent has not heard from a server yet");
		return;
	}
	/* A blocking query must never be sent with 0, which would return at once. */
	if (answer->index == 0)
		answer->index = 1;
	answer->body_hash = XXH3_64bits(reply->body, reply->body_len);
	answer->unchanged = a->known_hash != 0 && answer->body_hash == a->known_hash;
	if (answer->unchanged)
		return;
	answer->body = jvx_parse(reply->body, reply->body_len, &err);
	if (!jv_is_valid(answer->body))
		fail(answer, CONSUL_FAILED, "the answer is damaged: %s", err.msg);
}

bool consul_is_crowded(const struct consul *c)
{
	return c->crowd.connections < c->config.max_connections;
}

long consul_connections(const struct consul *c)
{
	return c->crowd.connections;
}

/* True when the reply refuses a connection. */
static bool judge_crowd(struct consul *c, const struct http_reply *reply)
{
	bool refused = crowd_judge(&c->crowd, reply, http_connections(c->http), consul_address(c));

	http_limit(c->http, c->crowd.connections);
	return refused;
}

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct ask *a = arg;
	struct consul_answer answer = {
		.outcome = CONSUL_OK,
		.body = jv_invalid(),
		.multiplexed = reply->http_version == CURL_HTTP_VERSION_2_0,
		.elapsed_ms = reply->elapsed_ms,
		.early = a->wait_ms > 0 && reply->elapsed_ms < a->wait_ms - EARLY_SLACK_MS,
		.at_ms = wall_ms(),
		.from = text_of(address_of(a->consul, a->address)),
		.era = a->era,
	};
	void (*on_answer)(void *, const struct consul_answer *) = a->on_answer;
	void *on_answer_arg = a->arg;

	if (judge_crowd(a->consul, reply))
		fail(&answer, CONSUL_CROWDED, "the agent allows our address no more connections");
	else if (reply->result != CURLE_OK)
		fail(&answer, CONSUL_UNREACHABLE, "%s", reply->error);
	else if (reply->status != 200)
		judge_status(&answer, reply);
	else
		judge_data(&answer, reply, a);
	ask_free(a);
	on_answer(on_answer_arg, &answer);
	jv_free(answer.body);
}

/* What stands would keep its service from being asked as it is to be asked now. */
static void on_leave(uv_timer_t *timer)
{
	struct consul *c = timer->data;
	struct ask *a, *next;

	for (a = LIST_FIRST(&c->asks); a != NULL; a = next) {
		struct ask left = *a;
		struct consul_answer answer = { .body = jv_invalid(),
			.at_ms = wall_ms(),
			.from = text_of(address_of(c, a->address)),
			.era = a->era };

		next = LIST_NEXT(a, link);
		if (a->era == c->era)
			continue;
		fail(&answer, CONSUL_UNREACHABLE,
			"asked anew, of another agent or with another token");
		http_cancel(a->call);
		ask_free(a);
		left.on_answer(left.arg, &answer);
	}
}

static void begin_era(struct consul *c)
{
	c->era++;
	uv_timer_start(&c->leave_timer, on_leave, 0, 0);
}

static int add_parameter(struct buf *url, const char *name, const char *value)
{
	cleanup_free char *escaped = value != NULL ? http_escape(value) : NULL;

	return value != NULL ? buf_addf(url, "&%s=%s", name, escaped) : 0;
}

static int add_catalog(struct buf *url, const struct consul_catalog *catalog)
{
	if (catalog == NULL)
		return 0;
	return add_parameter(url, "dc", catalog->datacenter) < 0 ||
			       add_parameter(url, "ns", catalog->namespace) < 0 ||
			       add_parameter(url, "partition", catalog->partition) < 0 ||
			       add_parameter(url, "peer", catalog->peer) < 0
		       ? -1
		       : 0;
}

static int build_url(const struct consul *c, const struct consul_query *q, struct buf *url)
{
	static const char *const consistency[] = { "stale", "", "consistent" };

	if (buf_addf(url, "%s%s?%s", in_use(c)->url, q->path, consistency[q->consistency]) < 0 ||
		add_catalog(url, q->catalog) < 0 || add_parameter(url, "filter", q->filter) < 0 ||
		add_parameter(url, "tag", q->tag) < 0)
		return -1;
	if (q->index == 0)
		return 0;
	/* A wait needs a unit (400 without), and 0 would mean five minutes. */
	return buf_addf(url, "&index=%llu&wait=%lldms", (unsigned long long)q->index,
		(long long)q->wait_ms);
}

int consul_ask(struct consul *c, const struct consul_query *query, struct err *err)
{
	cleanup_buf struct buf url;
	const char *token;
	struct ask *a;
	struct http_request request = {
		.timeout_ms = (long)(query->index > 0 ? query->wait_ms + query->wait_ms / 16 : 0) +
			      SLACK_MS,
		.max_body = MAX_BODY_BYTES,
		.buffer_bytes = query->index > 0 ? BLOCKING_BUFFER_BYTES : 0,
		.on_done = on_reply,
	};

	if (credentials_refresh(c->credentials))
		http_refresh(c->http);
	if (credentials_tokens(c->credentials) != c->tokens)
		begin_era(c);
	c->tokens = credentials_tokens(c->credentials);
	if (crowd_grow(&c->crowd))
		http_limit(c->http, c->crowd.connections);
	request.arg = a = xcalloc(1, sizeof(*a));
	LIST_INSERT_HEAD(&c->asks, a, link);
	a->tls = credentials_hold(c->credentials);
	a->consul = c;
	a->address = c->address;
	a->era = c->era;
	a->unindexed = query->unindexed;
	a->wait_ms = query->index > 0 ? query->wait_ms : 0;
	a->known_hash = query->known_hash;
	a->on_answer = query->on_answer;
	a->arg = query->arg;
	token = credentials_token(c->credentials);
	if (*token != '\0') {
		cleanup_free char *header = xasprintf("X-Consul-Token: %s", token);

		a->headers = curl_slist_append(NULL, header);
	}
	buf_init(&url, 64u << 10);
	request.headers = a->headers;
	if (build_url(c, query, &url) < 0) {
		ask_free(a);
		return err_set(
			err, EXIT_BAD_INPUT, "the name in '%.60s...' is too long", query->path);
	}
	request.url = buf_str(&url);
	a->call = http_send(c->http, &request, err);
	if (a->call == NULL) {
		ask_free(a);
		return -1;
	}
	return 0;
}

const char *consul_address(const struct consul *c)
{
	return text_of(in_use(c));
}

bool consul_is_current(const struct consul *c, const struct consul_answer *answer)
{
	return answer->era == c->era;
}

/* A datacenter that is away is away from every agent, and its source is one of several. */
static bool is_of_the_address(const struct consul_answer *answer)
{
	static const char *const elsewhere[] = { "No path to datacenter", "Remote DC has no server",
		"rpc error" };

	if (answer->outcome == CONSUL_CROWDED || answer->outcome == CONSUL_LIMITED)
		return true;
	if (answer->outcome != CONSUL_FAILED)
		return answer->outcome == CONSUL_UNREACHABLE;
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
		if (strstr(answer->error, elsewhere[i]) != NULL)
			return false;
	return true;
}

bool consul_fail_over(struct consul *c, const struct consul_answer *answer)
{
	if (!is_of_the_address(answer))
		return false;
	if (c->addresses.count > 1 && consul_is_current(c, answer)) {
		c->address++;
		http_refresh(c->http);
		begin_era(c);
		log_debug("going on to the next address", "addr", consul_address(c));
	}
	return c->address < c->addresses.count && !consul_is_current(c, answer);
}
