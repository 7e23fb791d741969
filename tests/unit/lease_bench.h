/* Candidates for the lease of lease_server.h, and the clock that they go by. */
#ifndef MESHPIPE_TESTS_LEASE_BENCH_H
#define MESHPIPE_TESTS_LEASE_BENCH_H

#include "tests/unit/lease_server.h"

/* --- the clock */

static int64_t clock_ms;

static int64_t now_ms(void)
{
	return clock_ms;
}

static const struct lease_times times = {
	.lease_s = 15,
	.renew_ms = 10000,
	.retry_ms = 5,
	.max_pause_ms = 10,
	.request_ms = 10 * PATIENCE_MS,
	.release_ms = 10 * PATIENCE_MS,
	.now_ms = now_ms,
};

/* Of which a second is enough to be tried out. */
static const struct lease_times real_times = {
	.lease_s = 15,
	.renew_ms = 1000,
	.retry_ms = 5,
	.max_pause_ms = 10,
	.request_ms = 100,
	.release_ms = 100,
	.now_ms = steady_ms,
};

/* --- candidates */

struct candidate {
	struct kube *kube;
	struct lease *lease;
	struct buf log;	    /* what was told: "waiting(b) leading" */
	bool inside;	    /* of a call of lease_...: nothing may be told */
	const char *closes; /* is closed from inside when the log is that */
};

/* Not on a stack: a test that fails leaves them to stop_server. */
static struct candidate a, b;

static void told(struct candidate *c, const char *what, const char *more)
{
	assert_false(c->inside);
	assert_int_equal(
		buf_addf(&c->log, "%s%s%s%s%s", c->log.len > 0 ? " " : "", what,
			more != NULL ? "(" : "", more != NULL ? more : "", more != NULL ? ")" : ""),
		0);
	if (c->closes != NULL && str_starts(buf_str(&c->log), c->closes))
		lease_close(TAKE(c->lease));
}

static void on_leading(void *arg)
{
	struct candidate *c = arg;

	assert_true(lease_is_held(c->lease));
	told(c, "leading", NULL);
}

static void on_waiting(void *arg, const char *holder)
{
	told(arg, "waiting", holder);
}

static void on_lost(void *arg, const char *why)
{
	struct candidate *c = arg;

	assert_false(lease_is_held(c->lease));
	told(c, "lost", why);
}

static void on_trouble(void *arg, const struct kube_status *status)
{
	told(arg, "trouble", status->why);
}

/* Nothing that the one who has it, or waits for it, has to do. */
static void on_recovered(void *arg UNUSED)
{
}

static void on_released(void *arg)
{
	told(arg, "released", NULL);
}

static void open_as(struct candidate *c, const char *identity, const struct lease_times *t)
{
	struct err err = ERR_INIT;
	struct kubeconfig access = { .server = xasprintf("http://127.0.0.1:%d", server.port) };
	const struct lease_handler handler = {
		.on_leading = on_leading,
		.on_waiting = on_waiting,
		.on_lost = on_lost,
		.on_trouble = on_trouble,
		.on_recovered = on_recovered,
		.on_released = on_released,
		.arg = c,
	};

	/* A proxy of the machine's is not for a server on the machine. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	memset(c, 0, sizeof(*c));
	buf_init(&c->log, 1u << 16);
	c->kube = kube_open(&server.loop, &access, &err);
	assert_non_null(c->kube);
	c->lease = lease_open_as(&server.loop, c->kube, "mesh", "set", &handler, identity, t);
}

static void stand(struct candidate *c)
{
	c->inside = true;
	lease_stand(c->lease);
	c->inside = false;
}

static void release(struct candidate *c)
{
	c->inside = true;
	lease_release(c->lease);
	c->inside = false;
}

static UNUSED void rest(struct candidate *c)
{
	c->inside = true;
	lease_rest(c->lease);
	c->inside = false;
}

static void stand_as(struct candidate *c, const char *identity)
{
	open_as(c, identity, &times);
	stand(c);
}

static void close_candidate(struct candidate *c)
{
	lease_close(TAKE(c->lease));
	kube_close(TAKE(c->kube));
	buf_release(&c->log);
}

/* Runs until `c` was told that and no more. */
static void run_until(struct candidate *c, const char *log)
{
	int64_t end = steady_ms() + PATIENCE_MS;

	while (strcmp(buf_str(&c->log), log) != 0 && steady_ms() < end)
		uv_run(&server.loop, UV_RUN_ONCE);
	assert_string_equal(buf_str(&c->log), log);
}

/* Runs until a counter of the server is so high. */
static void run_until_count(const int *counter, int count)
{
	int64_t end = steady_ms() + PATIENCE_MS;

	while (*counter < count && steady_ms() < end)
		uv_run(&server.loop, UV_RUN_ONCE);
	assert_true(*counter >= count);
}

static void run_for(int64_t ms)
{
	int64_t end = steady_ms() + ms;

	while (steady_ms() < end)
		uv_run(&server.loop, UV_RUN_ONCE);
}

static int requests(void)
{
	return server.gets + server.posts + server.puts;
}

static void refuse_all(const char *only, int code, const char *body)
{
	server.only = only;
	server.code = code;
	server.body = body;
}

/* --- the record on the server */

static void set_record(const char *json)
{
	struct err err = ERR_INIT;
	jv record = jvx_parse(json, strlen(json), &err);

	assert_true(jvx_is(record, JV_KIND_OBJECT));
	store(record);
}

static void set_holder(const char *holder)
{
	cleanup_free char *json = xasprintf(
		"{\"metadata\":{\"name\":\"set\",\"namespace\":\"mesh\"},\"spec\":{"
		"\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":20,\"leaseTransitions\":3,"
		"\"acquireTime\":\"2001-01-01T00:00:00.000000Z\","
		"\"renewTime\":\"2001-01-01T00:00:00.000000Z\"}}",
		holder);

	set_record(json);
}

/* Another change of it than ours. */
static UNUSED void touch(void)
{
	store(jv_copy(server.record));
}

static void delete_record(void)
{
	jv_free(server.record);
	server.record = jv_invalid();
}

static char *spec_text(const char *key)
{
	cleanup_jv jv spec = jvx_get(server.record, "spec");
	char *text = jvx_dup_field(spec, key);

	return text != NULL ? text : xstrdup("");
}

static double spec_number(const char *key)
{
	cleanup_jv jv spec = jvx_get(server.record, "spec");

	return jvx_num_field(spec, key, -1);
}

static void assert_holder(const char *holder)
{
	cleanup_free char *is = spec_text("holderIdentity");

	assert_string_equal(is, holder);
}

static UNUSED void assert_is_now(const char *key)
{
	cleanup_free char *text = spec_text(key);
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S.", &tm);

	assert_non_null(rest);
	assert_int_equal(strspn(rest, "0123456789"), 6);
	assert_string_equal(rest + 6, "Z");
	assert_in_range(timegm(&tm) + 60, wall_ms() / 1000, wall_ms() / 1000 + 120);
}

static int start_server(void **state UNUSED)
{
	struct sockaddr_in addr;
	int len = sizeof(addr);

	memset(&server, 0, sizeof(server));
	server.record = jv_invalid();
	clock_ms = 1000000;
	uv_loop_init(&server.loop);
	uv_tcp_init(&server.loop, &server.listener);
	uv_ip4_addr("127.0.0.1", 0, &addr);
	uv_tcp_bind(&server.listener, (struct sockaddr *)&addr, 0);
	uv_tcp_getsockname(&server.listener, (struct sockaddr *)&addr, &len);
	server.port = ntohs(addr.sin_port);
	uv_timer_init(&server.loop, &server.tick);
	uv_timer_start(&server.tick, on_tick, 5, 5);
	return uv_listen((uv_stream_t *)&server.listener, 16, on_connection);
}

static int stop_server(void **state UNUSED)
{
	close_candidate(&a);
	close_candidate(&b);
	uv_close((uv_handle_t *)&server.listener, NULL);
	uv_close((uv_handle_t *)&server.tick, NULL);
	for (struct connection *c = connections; c != NULL; c = c->next)
		if (!uv_is_closing((uv_handle_t *)&c->tcp))
			uv_close((uv_handle_t *)&c->tcp, on_connection_closed);
	uv_run(&server.loop, UV_RUN_DEFAULT);
	jv_free(server.record);
	return uv_loop_close(&server.loop);
}

#define LEASE_TEST(f) cmocka_unit_test_setup_teardown(f, start_server, stop_server)

#endif
