/*
 * Any bytes as a Consul agent's HTTP answer, through libcurl, lib/http and consul.c as in
 * production. The agent is a Unix socket on the same loop: it reads a request, writes the bytes,
 * and closes.
 *
 * Whatever the bytes: each question is answered once and at once; an answer is data with an
 * index, or an error of one line; and the next answer of the agent is read as if nothing had been.
 */
#include <ctype.h>
#include <curl/curl.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "consul-watch/consul.h"
#include "tests/fuzz/fuzz.h"

#define SOUND                                                                                      \
	"HTTP/1.1 200 OK\r\nX-Consul-Index: 42\r\nX-Consul-Knownleader: true\r\n"                  \
	"Content-Length: 6\r\n\r\n[\"ok\"]"

/* The agent closes at once: nothing takes longer than a busy machine. */
#define AT_ONCE_MS 10000

char fuzz_outcome[600];

/* --- the agent */

static struct agent {
	uv_loop_t loop;
	uv_pipe_t listener;
	char folder[32], socket[48], address[64];
	const uint8_t *data;
	size_t size;
	unsigned connections; /* open now */
} agent;

struct connection {
	uv_pipe_t pipe;
	uv_write_t write;
	char request[4096];
	size_t len;
	bool answered;
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
	agent.connections--;
}

static void end_connection(struct connection *c)
{
	if (!uv_is_closing((uv_handle_t *)&c->pipe))
		uv_close((uv_handle_t *)&c->pipe, on_closed);
}

static void on_written(uv_write_t *write, int status UNUSED)
{
	end_connection(write->data);
}

static void answer(struct connection *c)
{
	bool sound = str_starts(c->request, "GET /v1/sound?");
	uv_buf_t bytes = sound ? uv_buf_init((char *)SOUND, strlen(SOUND))
			       : uv_buf_init((char *)agent.data, (unsigned)agent.size);

	c->answered = true;
	c->write.data = c;
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &bytes, 1, on_written) < 0)
		end_connection(c);
}

static void on_alloc(uv_handle_t *handle, size_t hint UNUSED, uv_buf_t *ret)
{
	struct connection *c = handle->data;

	*ret = uv_buf_init(c->request + c->len, (unsigned)(sizeof(c->request) - 1 - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf UNUSED)
{
	struct connection *c = stream->data;

	if (n < 0) {
		end_connection(c);
		return;
	}
	c->len += (size_t)n;
	c->request[c->len] = '\0';
	if (!c->answered && strstr(c->request, "\r\n\r\n") != NULL)
		answer(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (status < 0 || c == NULL)
		abort();
	uv_pipe_init(&agent.loop, &c->pipe, 0);
	c->pipe.data = c;
	agent.connections++;
	MUST(uv_accept(listener, (uv_stream_t *)&c->pipe) == 0, "cannot accept");
	uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

static void remove_socket(void)
{
	unlink(agent.socket);
	rmdir(agent.folder);
}

static void start_agent(void)
{
	signal(SIGPIPE, SIG_IGN);
	MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "cannot set up libcurl");
	snprintf(agent.folder, sizeof(agent.folder), "/tmp/fuzz-consul.XXXXXX");
	MUST(mkdtemp(agent.folder) != NULL, "cannot make a folder");
	snprintf(agent.socket, sizeof(agent.socket), "%s/socket", agent.folder);
	snprintf(agent.address, sizeof(agent.address), "unix://%s", agent.socket);
	atexit(remove_socket);
	uv_loop_init(&agent.loop);
	uv_pipe_init(&agent.loop, &agent.listener, 0);
	MUST(uv_pipe_bind(&agent.listener, agent.socket) == 0, "cannot bind %s", agent.socket);
	MUST(uv_listen((uv_stream_t *)&agent.listener, 16, on_connection) == 0, "cannot listen");
	/* The loop ends when there is nothing else. */
	uv_unref((uv_handle_t *)&agent.listener);
}

/* --- the questions */

static bool not_json; /* what some question was answered with */

struct reply {
	unsigned answers;
	struct consul_answer answer; /* its body is a copy */
};

static void check_error(const struct consul_answer *a)
{
	MUST(a->error[0] != '\0', "an error without a text");
	MUST(memchr(a->error, '\0', sizeof(a->error)) != NULL, "an error without an end");
	for (const char *s = a->error; *s != '\0'; s++)
		MUST(!iscntrl((unsigned char)*s), "an error that is not printable: %s", a->error);
	MUST(!jv_is_valid(a->body), "data beside an error: %s", a->error);
}

static void on_answer(void *arg, const struct consul_answer *a)
{
	struct reply *reply = arg;

	reply->answers++;
	reply->answer = *a;
	reply->answer.body = jv_copy(a->body);
	MUST(reply->answers == 1, "answered %u times", reply->answers);
	MUST(a->elapsed_ms >= 0 && a->elapsed_ms < AT_ONCE_MS, "an answer after %lld ms",
		(long long)a->elapsed_ms);
	if (a->outcome != CONSUL_OK) {
		check_error(a);
		not_json = not_json || strstr(a->error, "not JSON") != NULL;
		return;
	}
	MUST(a->error[0] == '\0', "data with an error: %s", a->error);
	MUST(a->index >= 1, "data with index 0");
	MUST(jv_is_valid(a->body) == !a->unchanged, "no data, and no error");
}

/* The reply's body is owned by the caller. */
static struct reply ask(struct consul *c, struct consul_query query)
{
	struct reply reply = { .answers = 0 };
	struct err err = ERR_INIT;

	query.on_answer = on_answer;
	query.arg = &reply;
	MUST(consul_ask(c, &query, &err) == 0, "cannot ask: %s", err.msg);
	MUST(reply.answers == 0, "answered from inside consul_ask");
	while (reply.answers == 0)
		MUST(uv_run(&agent.loop, UV_RUN_ONCE) != 0 || reply.answers > 0, "no answer");
	return reply;
}

static void check_sound(struct consul *c)
{
	struct reply reply = ask(c, (struct consul_query){ .path = "/v1/sound" });
	cleanup_jv jv body = reply.answer.body;
	cleanup_free char *text = jvx_dump(body);

	MUST(reply.answer.outcome == CONSUL_OK, "a sound answer afterwards: %s",
		reply.answer.error);
	MUST(reply.answer.index == 42 && !reply.answer.streaming && !reply.answer.no_leader &&
			!reply.answer.filtered,
		"something is left of the answer before");
	MUST(strcmp(text, "[\"ok\"]") == 0, "another body: %s", text);
}

/* The same bytes mean the same, but for the index. (Only what has one comes by a stream.) */
static void check_unindexed(struct consul *c, const struct reply *indexed)
{
	const struct consul_query query = { .path = "/v1/bytes", .unindexed = true };
	struct reply reply = ask(c, query);
	cleanup_jv jv body = reply.answer.body;
	cleanup_free char *first = NULL, *second = NULL;

	if (indexed->answer.outcome != CONSUL_OK || indexed->answer.streaming)
		return;
	MUST(reply.answer.outcome == CONSUL_OK, "asked again: %s", reply.answer.error);
	MUST(!reply.answer.unchanged, "nothing was known, and yet it is unchanged");
	first = jvx_dump(indexed->answer.body);
	second = jvx_dump(body);
	MUST(strcmp(first, second) == 0, "asked again: another body");
}

static void check_known(struct consul *c, const struct reply *before)
{
	const struct consul_query query = {
		.path = "/v1/bytes",
		.known_hash = before->answer.body_hash,
	};
	struct reply reply;

	if (before->answer.outcome != CONSUL_OK)
		return;
	reply = ask(c, query);
	MUST(reply.answer.outcome == CONSUL_OK, "asked again: %s", reply.answer.error);
	MUST(reply.answer.unchanged && reply.answer.body_hash == before->answer.body_hash,
		"the same body is not known again");
	MUST(reply.answer.index == before->answer.index, "asked again: another index");
}

static void describe(const struct consul_answer *a)
{
	static const char *const outcomes[] = {
		[CONSUL_OK] = "ok",
		[CONSUL_UNREACHABLE] = "unreachable",
		[CONSUL_CROWDED] = "crowded",
		[CONSUL_LIMITED] = "limited",
		[CONSUL_FAILED] = "failed",
		[CONSUL_REFUSED] = "refused",
		[CONSUL_IMPOSSIBLE] = "impossible",
	};

	if (a->outcome != CONSUL_OK)
		snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s: %s", outcomes[a->outcome],
			a->error);
	else
		snprintf(fuzz_outcome, sizeof(fuzz_outcome), "ok: index %llu, %s of %d%s%s%s",
			(unsigned long long)a->index, jv_kind_name(jv_get_kind(a->body)),
			jvx_length(a->body), a->streaming ? ", streaming" : "",
			a->no_leader ? ", no leader" : "", a->filtered ? ", filtered" : "");
}

static void ask_all(void)
{
	struct consul_config config = { .max_connections = 4, .addresses = agent.address };
	struct err err = ERR_INIT;
	struct consul *c = consul_open(&agent.loop, &config, &err);
	struct reply reply;

	MUST(c != NULL, "cannot open: %s", err.msg);
	reply = ask(c, (struct consul_query){ .path = "/v1/bytes" });
	describe(&reply.answer);
	check_unindexed(c, &reply);
	check_known(c, &reply);
	check_sound(c);
	jv_free(reply.answer.body);
	consul_close(c);
	uv_run(&agent.loop, UV_RUN_DEFAULT);
	MUST(agent.connections == 0, "%u connections are left open", agent.connections);
}

/* Twice: only then is it known whose leaks they are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (agent.folder[0] == '\0')
		start_agent();
	agent.data = data;
	agent.size = size;
	not_json = false;
	fuzz_leaks_begin();
	ask_all();
	fuzz_leaks_end();
	if (!not_json)
		ask_all();
	return 0;
}
