#include "lib/http.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "tests/unit/http_server.h"

/* --- a client */

struct client {
	uv_loop_t loop;
	struct http *http;
	int replies;
	bool inside; /* http_send or http_cancel: no callback may come */
	/* The last reply. */
	CURLcode result;
	long status;
	char error[512];
	char index[32], lower[32];
	bool has_none;
	int64_t elapsed_ms;
	struct buf body;
	/* What its callback does. */
	int more; /* starts so many more, one after the other */
	const char *more_path;
	struct http_call *cancels;
	bool closes;
};

static struct http_call *get(struct client *c, const char *path, long timeout_ms, size_t max_body);

static void on_done(void *arg, const struct http_reply *reply)
{
	struct client *c = arg;
	const char *index = NULL, *lower = NULL;

	assert_false(c->inside);
	c->replies++;
	c->result = reply->result;
	c->status = reply->status;
	c->elapsed_ms = reply->elapsed_ms;
	snprintf(c->error, sizeof(c->error), "%s", reply->error);
	buf_reset(&c->body);
	assert_int_equal(buf_add(&c->body, reply->body, reply->body_len), 0);
	assert_int_equal(reply->body[reply->body_len], '\0');
	if (reply->result == CURLE_OK) {
		index = http_header(reply, "X-CONSUL-INDEX");
		lower = http_header(reply, "X-Lower");
		c->has_none = http_header(reply, "X-Nothing") == NULL;
	}
	snprintf(c->index, sizeof(c->index), "%s", index != NULL ? index : "");
	snprintf(c->lower, sizeof(c->lower), "%s", lower != NULL ? lower : "");
	if (c->more > 0) {
		c->more--;
		get(c, c->more_path, 5000, 1000);
	}
	http_cancel(c->cancels);
	c->cancels = NULL;
	if (c->closes)
		http_close(c->http);
}

static struct http_call *get_url(
	struct client *c, const char *url, long timeout_ms, size_t max_body)
{
	struct err err = ERR_INIT;
	const struct http_request request = {
		.url = url,
		.timeout_ms = timeout_ms,
		.max_body = max_body,
		.on_done = on_done,
		.arg = c,
	};
	struct http_call *call;

	c->inside = true;
	call = http_send(c->http, &request, &err);
	c->inside = false;
	assert_non_null(call);
	return call;
}

static struct http_call *get(struct client *c, const char *path, long timeout_ms, size_t max_body)
{
	cleanup_free char *url = xasprintf("http://127.0.0.1:%d%s", server.port, path);

	return get_url(c, url, timeout_ms, max_body);
}

static void open_client(struct client *c, long max_connections)
{
	struct err err = ERR_INIT;
	const struct http_config config = {
		.max_connections = max_connections,
		.connect_timeout_ms = 2000,
	};

	memset(c, 0, sizeof(*c));
	buf_init(&c->body, 1u << 20);
	uv_loop_init(&c->loop);
	c->http = http_open(&c->loop, &config, &err);
	assert_non_null(c->http);
}

static void run_until(struct client *c, int replies)
{
	while (c->replies < replies && uv_run(&c->loop, UV_RUN_ONCE) != 0)
		;
	assert_int_equal(c->replies, replies);
}

/* Closed, the loop must come to its end. */
static void close_client(struct client *c)
{
	http_close(c->closes ? NULL : c->http);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	buf_release(&c->body);
}

static void a_reply_has_status_headers_and_body(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	get(&c, "/ok", 5000, 1000);
	run_until(&c, 1);
	assert_int_equal(c.result, CURLE_OK);
	assert_int_equal(c.status, 200);
	assert_string_equal(c.error, "");
	assert_string_equal(buf_str(&c.body), "hello");
	assert_string_equal(c.index, "42");
	assert_string_equal(c.lower, "v");
	assert_true(c.has_none);
	assert_in_range(c.elapsed_ms, 0, 4000);

	get(&c, "/empty", 5000, 1000);
	run_until(&c, 2);
	assert_int_equal(c.status, 204);
	assert_string_equal(buf_str(&c.body), "");
	/* Nothing of the reply before is left over. */
	assert_string_equal(c.index, "");

	get(&c, "/500", 5000, 1000);
	run_until(&c, 3);
	assert_int_equal(c.result, CURLE_OK);
	assert_int_equal(c.status, 500);
	assert_string_equal(buf_str(&c.body), "sad");
	close_client(&c);
}

static void the_path_is_sent_as_it_is_written(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	get(&c, "/echo/a//b/../c%2F./d?x=1&y=%20", 5000, 8000);
	run_until(&c, 1);
	assert_memory_equal(
		buf_str(&c.body), "GET /echo/a//b/../c%2F./d?x=1&y=%20 HTTP/1.1\r\n", 46);
	assert_non_null(strstr(buf_str(&c.body), "User-Agent: meshpipe/"));
	close_client(&c);
}

static void headers_go_along(void **state UNUSED)
{
	struct err err = ERR_INIT;
	struct client c;
	struct curl_slist *headers = curl_slist_append(NULL, "X-Consul-Token: t");
	cleanup_free char *url = xasprintf("http://127.0.0.1:%d/echo", server.port);
	const struct http_request request = {
		.url = url,
		.headers = headers,
		.timeout_ms = 5000,
		.max_body = 8000,
		.on_done = on_done,
		.arg = &c,
	};

	open_client(&c, 4);
	assert_non_null(http_send(c.http, &request, &err));
	run_until(&c, 1);
	assert_non_null(strstr(buf_str(&c.body), "X-Consul-Token: t\r\n"));
	/* Not with the next one. */
	get(&c, "/echo", 5000, 8000);
	run_until(&c, 2);
	assert_null(strstr(buf_str(&c.body), "X-Consul-Token"));
	curl_slist_free_all(headers);
	close_client(&c);
}

static void redirects_are_not_followed(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	get(&c, "/redirect", 5000, 1000);
	run_until(&c, 1);
	assert_int_equal(c.status, 302);
	assert_string_equal(buf_str(&c.body), "");
	close_client(&c);
}

static void what_is_no_whole_answer_is_an_error(void **state UNUSED)
{
	static const char *const paths[] = { "/cut", "/chunk-cut", "/close", "/nonsense" };
	struct client c;
	int replies = 0;

	open_client(&c, 4);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		get(&c, paths[i], 5000, 1000);
		run_until(&c, ++replies);
		assert_int_not_equal(c.result, CURLE_OK);
		assert_int_not_equal(strlen(c.error), 0);
		/* And the next one is fine. */
		get(&c, "/ok", 5000, 1000);
		run_until(&c, ++replies);
		assert_int_equal(c.result, CURLE_OK);
		assert_string_equal(c.error, "");
	}
	close_client(&c);
}

static void what_cannot_be_reached_is_an_error(void **state UNUSED)
{
	static const struct {
		const char *url;
		CURLcode result;
	} rows[] = {
		{ "http://127.0.0.1:1/", CURLE_COULDNT_CONNECT },
		{ "http://[::1", CURLE_URL_MALFORMAT },
		{ "file:///etc/passwd", CURLE_UNSUPPORTED_PROTOCOL },
		{ "ftp://127.0.0.1/x", CURLE_UNSUPPORTED_PROTOCOL },
		{ "", CURLE_URL_MALFORMAT },
	};
	struct client c;

	open_client(&c, 4);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		get_url(&c, rows[i].url, 5000, 1000);
		run_until(&c, (int)i + 1);
		assert_int_equal(c.result, rows[i].result);
		assert_int_not_equal(strlen(c.error), 0);
	}
	close_client(&c);
}

static void a_body_has_a_limit(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	get(&c, "/big/100000", 5000, 100000);
	run_until(&c, 1);
	assert_int_equal(c.result, CURLE_OK);
	assert_int_equal(c.body.len, 100000);
	get(&c, "/big/100001", 5000, 100000);
	run_until(&c, 2);
	assert_int_equal(c.result, CURLE_WRITE_ERROR);
	assert_string_equal(c.error, "the answer is longer than 100000 bytes");
	close_client(&c);
}

static void a_call_ends_in_time(void **state UNUSED)
{
	struct client c;
	int64_t before = steady_ms();

	open_client(&c, 4);
	get(&c, "/never", 100, 1000);
	run_until(&c, 1);
	assert_int_equal(c.result, CURLE_OPERATION_TIMEDOUT);
	assert_in_range(steady_ms() - before, 90, 3000);
	assert_in_range(c.elapsed_ms, 90, 3000);
	close_client(&c);
}

static void a_cancelled_call_says_nothing(void **state UNUSED)
{
	struct client c;
	struct http_call *call;

	open_client(&c, 4);
	call = get(&c, "/ok", 5000, 1000);
	http_cancel(call);
	http_cancel(NULL);
	get(&c, "/ok", 5000, 1000);
	c.cancels = get(&c, "/never", 5000, 1000);
	run_until(&c, 1);
	for (int i = 0; i < 20; i++)
		uv_run(&c.loop, UV_RUN_NOWAIT);
	assert_int_equal(c.replies, 1);
	close_client(&c);
}

static void a_reply_may_lead_to_the_next_call_on_the_same_connection(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	reset_counts();
	c.more = 50;
	c.more_path = "/ok";
	get(&c, "/ok", 5000, 1000);
	run_until(&c, 51);
	assert_int_equal(c.result, CURLE_OK);
	assert_int_equal(server.accepted, 1);
	close_client(&c);
}

static void connections_are_no_more_than_allowed(void **state UNUSED)
{
	struct client c;

	open_client(&c, 3);
	while (server.open_now > 0)
		usleep(1000);
	reset_counts();
	for (int i = 0; i < 20; i++)
		get(&c, "/slow", 5000, 1000);
	run_until(&c, 20);
	assert_string_equal(buf_str(&c.body), "slow");
	assert_int_equal(server.open_most, 3);
	assert_int_equal(server.accepted, 3);
	close_client(&c);
}

static void closing_drops_what_is_under_way(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	for (int i = 0; i < 20; i++)
		get(&c, "/never", 0, 1000);
	for (int i = 0; i < 20; i++)
		uv_run(&c.loop, UV_RUN_NOWAIT);
	close_client(&c);
	assert_int_equal(c.replies, 0);
	/* Before anything started, and nothing at all. */
	open_client(&c, 4);
	get(&c, "/ok", 0, 1000);
	close_client(&c);
	assert_int_equal(c.replies, 0);
	open_client(&c, 4);
	close_client(&c);
	http_close(NULL);
}

static void a_reply_may_close_everything(void **state UNUSED)
{
	struct client c;

	open_client(&c, 4);
	c.closes = true;
	get(&c, "/ok", 0, 1000);
	get(&c, "/never", 0, 1000);
	get(&c, "/slow", 0, 1000);
	run_until(&c, 1);
	close_client(&c);
	assert_int_equal(c.replies, 1);
}

static void on_new_handle(CURL *easy, void *arg)
{
	int *handles = arg;

	++*handles;
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "changed");
}

static void handles_can_be_set_up_and_are_used_again(void **state UNUSED)
{
	struct err err = ERR_INIT;
	int handles = 0;
	const struct http_config config = {
		.max_connections = 4,
		.connect_timeout_ms = 2000,
		.on_new_handle = on_new_handle,
		.arg = &handles,
	};
	struct client c;

	open_client(&c, 4);
	http_close(c.http);
	c.http = http_open(&c.loop, &config, &err);
	for (int i = 1; i <= 5; i++) {
		get(&c, "/echo", 5000, 8000);
		run_until(&c, i);
		assert_non_null(strstr(buf_str(&c.body), "User-Agent: changed"));
	}
	assert_int_equal(handles, 1);
	close_client(&c);
}

static void everything_but_the_unreserved_is_escaped(void **state UNUSED)
{
	static const struct {
		const char *text, *escaped;
	} rows[] = {
		{ "", "" },
		{ "aZ09-._~", "aZ09-._~" },
		{ "a b/c?d#e&f=g%h+i", "a%20b%2Fc%3Fd%23e%26f%3Dg%25h%2Bi" },
		{ "\n\x01\x7f\"<>\\^`{|}", "%0A%01%7F%22%3C%3E%5C%5E%60%7B%7C%7D" },
		{ "\xc3\x9f", "%C3%9F" },
		{ "..", ".." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = http_escape(rows[i].text);

		assert_string_equal(got, rows[i].escaped);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_has_status_headers_and_body),
		cmocka_unit_test(the_path_is_sent_as_it_is_written),
		cmocka_unit_test(headers_go_along),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(what_is_no_whole_answer_is_an_error),
		cmocka_unit_test(what_cannot_be_reached_is_an_error),
		cmocka_unit_test(a_body_has_a_limit),
		cmocka_unit_test(a_call_ends_in_time),
		cmocka_unit_test(a_cancelled_call_says_nothing),
		cmocka_unit_test(a_reply_may_lead_to_the_next_call_on_the_same_connection),
		cmocka_unit_test(connections_are_no_more_than_allowed),
		cmocka_unit_test(closing_drops_what_is_under_way),
		cmocka_unit_test(a_reply_may_close_everything),
		cmocka_unit_test(handles_can_be_set_up_and_are_used_again),
		cmocka_unit_test(everything_but_the_unreserved_is_escaped),
	};

	signal(SIGPIPE, SIG_IGN);
	/* Proxies of the machine are not for this server. */
	setenv("no_proxy", "*", 1);
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
