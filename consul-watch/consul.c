#include "consul-watch/consul.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/http.h"

#define MAX_TOKEN_BYTES 4096u
#define MAX_BODY_BYTES	(256u << 20)
#define CONNECT_MS	5000
/* A server without a leader holds a read for 7 s before it says so. */
#define SLACK_MS 15000

struct consul {
	struct consul_config config;
	struct address address;
	char *url_base; /* address.base_url, with the TLS server name in it if there is one */
	struct curl_slist *connect_to;
	struct http *http;
	char *token;
	LIST_HEAD(, ask) asks; /* in flight */
};

struct ask {
	LIST_ENTRY(ask) link;
	struct curl_slist *headers;
	bool unindexed;
	void (*on_answer)(void *arg, const struct consul_answer *answer);
	void *arg;
};

static char *load_token(const struct consul_config *config, struct err *err)
{
	size_t len = 0;
	char *token;

	if (config->token_file == NULL)
		return xstrdup(config->token != NULL ? config->token : "");
	token = read_whole_file(config->token_file, MAX_TOKEN_BYTES, &len);
	if (token == NULL) {
		err_errno(err, EXIT_CONFIG, "cannot read token file '%s'", config->token_file);
		return NULL;
	}
	return token;
}

static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

int consul_reload_token(struct consul *c, struct err *err)
{
	cleanup_free char *raw = load_token(&c->config, err);
	char *token;

	if (raw == NULL)
		return -1;
	token = trim(raw);
	for (const char *s = token; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return err_set(err, EXIT_CONFIG,
				"the token of consul holds a blank or control character");
	free(c->token);
	c->token = xstrdup(token);
	return 0;
}

static void set_if(CURL *easy, CURLoption option, const char *value)
{
	if (value != NULL)
		curl_easy_setopt(easy, option, value);
}

static void on_new_handle(CURL *easy, void *arg)
{
	const struct consul *c = arg;
	const struct consul_config *config = &c->config;

	set_if(easy, CURLOPT_UNIX_SOCKET_PATH, c->address.socket);
	set_if(easy, CURLOPT_CAINFO, config->ca_file);
	set_if(easy, CURLOPT_CAPATH, config->ca_path);
	set_if(easy, CURLOPT_SSLCERT, config->client_cert);
	set_if(easy, CURLOPT_SSLKEY, config->client_key);
	if (c->connect_to != NULL)
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, c->connect_to);
	if (config->tls_no_verify) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (config->auth != NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERPWD, config->auth);
	}
}

/*
 * libcurl checks the certificate against the host of the URL, so the server
 * name goes there and CURLOPT_CONNECT_TO leads back to the real host.
 */
static int set_server_name(struct consul *c, struct err *err)
{
	const char *name = c->config.tls_server_name;
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL, *text = NULL;
	cleanup_free char *to = NULL;
	int rc = -1;

	if (url != NULL && curl_url_set(url, CURLUPART_URL, c->address.base_url, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
		to = xasprintf("::%s:%s", host, port);
		c->connect_to = curl_slist_append(NULL, to);
		free(c->url_base);
		c->url_base = xstrdup(text);
		if (str_ends(c->url_base, "/"))
			c->url_base[strlen(c->url_base) - 1] = '\0';
		rc = 0;
	} else {
		err_set(err, EXIT_CONFIG, "'%s' cannot stand as TLS server name", name);
	}
	curl_free(host);
	curl_free(port);
	curl_free(text);
	curl_url_cleanup(url);
	return rc;
}

static int check_file(const char *path, const char *what, struct err *err)
{
	if (path != NULL && access(path, R_OK) < 0)
		return err_errno(err, EXIT_CONFIG, "cannot read %s '%s'", what, path);
	return 0;
}

/* libcurl would name a missing file only at the first request, and not say which. */
static int check_files(const struct consul_config *config, struct err *err)
{
	if (check_file(config->ca_file, "CA file", err) < 0 ||
		check_file(config->ca_path, "CA directory", err) < 0 ||
		check_file(config->client_cert, "client certificate", err) < 0)
		return -1;
	return check_file(config->client_key, "client key", err);
}

static int prepare(struct consul *c, struct err *err)
{
	if (check_files(&c->config, err) < 0 ||
		address_parse(c->config.address, c->config.tls, &c->address, err) < 0)
		return -1;
	c->url_base = xstrdup(c->address.base_url);
	if (c->config.tls_server_name != NULL && c->address.tls && set_server_name(c, err) < 0)
		return -1;
	return consul_reload_token(c, err);
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
	LIST_INIT(&c->asks);
	if (prepare(c, err) < 0 || (c->http = http_open(loop, &http, err)) == NULL) {
		consul_close(c);
		return NULL;
	}
	return c;
}

static void ask_free(struct ask *a)
{
	LIST_REMOVE(a, link);
	curl_slist_free_all(a->headers);
	free(a);
}

void consul_close(struct consul *c)
{
	struct ask *a;

	if (c == NULL)
		return;
	http_close(c->http);
	while ((a = LIST_FIRST(&c->asks)) != NULL)
		ask_free(a);
	curl_slist_free_all(c->connect_to);
	address_release(&c->address);
	free(c->url_base);
	free(c->token);
	free(c);
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

static void judge_status(struct consul_answer *answer, const struct http_reply *reply)
{
	const char *text = reply->body_len > 0 ? reply->body : "no text";

	if (reply->status == 401 || reply->status == 403)
		fail(answer, CONSUL_REFUSED, "consul refuses the token: HTTP %ld: %.300s",
			reply->status, text);
	else if (reply->status == 400 || (reply->status >= 300 && reply->status < 400))
		fail(answer, CONSUL_IMPOSSIBLE, "HTTP %ld: %.300s", reply->status, text);
	else if (reply->status == 429)
		fail(answer, CONSUL_FAILED, "consul limits our requests: HTTP 429: %.300s", text);
	else
		fail(answer, CONSUL_FAILED, "HTTP %ld: %.300s", reply->status, text);
}

static void judge_data(struct consul_answer *answer, const struct http_reply *reply, bool unindexed)
{
	const char *index = http_header(reply, "X-Consul-Index");
	const char *leader = http_header(reply, "X-Consul-KnownLeader");
	struct err err = ERR_INIT;

	answer->streaming = header_is(reply, "X-Consul-Query-Backend", "streaming");
	answer->filtered = header_is(reply, "X-Consul-Results-Filtered-By-ACLs", "true");
	answer->no_leader =
		!answer->streaming && leader != NULL && strcasecmp(leader, "false") == 0;
	if (!unindexed && (index == NULL || !parse_u64(index, UINT64_MAX, &answer->index))) {
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
	answer->body = jvx_parse(reply->body, reply->body_len, &err);
	if (!jv_is_valid(answer->body))
		fail(answer, CONSUL_FAILED, "the answer is damaged: %s", err.msg);
}

static void on_reply(void *arg, const struct http_reply *reply)
{
	struct ask *a = arg;
	struct consul_answer answer = {
		.outcome = CONSUL_OK,
		.body = jv_invalid(),
		.multiplexed = reply->http_version == CURL_HTTP_VERSION_2_0,
		.elapsed_ms = reply->elapsed_ms,
		.at_ms = wall_ms(),
	};
	void (*on_answer)(void *, const struct consul_answer *) = a->on_answer;
	void *on_answer_arg = a->arg;

	if (reply->result != CURLE_OK)
		fail(&answer, CONSUL_UNREACHABLE, "%s", reply->error);
	else if (reply->status != 200)
		judge_status(&answer, reply);
	else
		judge_data(&answer, reply, a->unindexed);
	ask_free(a);
	on_answer(on_answer_arg, &answer);
	jv_free(answer.body);
}

static int add_parameter(struct buf *url, const char *name, const char *value)
{
	cleanup_free char *escaped = value != NULL ? http_escape(value) : NULL;

	return value != NULL ? buf_addf(url, "&%s=%s", name, escaped) : 0;
}

static int build_url(const struct consul *c, const struct consul_query *q, struct buf *url)
{
	static const char *const consistency[] = { "stale", "", "consistent" };

	if (buf_addf(url, "%s%s?%s", c->url_base, q->path, consistency[q->consistency]) < 0 ||
		add_parameter(url, "dc", c->config.datacenter) < 0 ||
		add_parameter(url, "ns", c->config.namespace) < 0 ||
		add_parameter(url, "partition", c->config.partition) < 0)
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
	struct ask *a = xcalloc(1, sizeof(*a));
	struct http_request request = {
		.timeout_ms = (long)(query->index > 0 ? query->wait_ms + query->wait_ms / 16 : 0) +
			      SLACK_MS,
		.max_body = MAX_BODY_BYTES,
		.on_done = on_reply,
		.arg = a,
	};

	LIST_INSERT_HEAD(&c->asks, a, link);
	a->unindexed = query->unindexed;
	a->on_answer = query->on_answer;
	a->arg = query->arg;
	if (*c->token != '\0') {
		cleanup_free char *header = xasprintf("X-Consul-Token: %s", c->token);

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
	if (http_get(c->http, &request, err) == NULL) {
		ask_free(a);
		return -1;
	}
	return 0;
}

const char *consul_address(const struct consul *c)
{
	return c->address.socket != NULL ? c->address.socket : c->address.base_url;
}
