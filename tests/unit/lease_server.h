/*
 * The server here is a stand-in for faults that a real one does not produce on demand: answers
 * that never come or come late, refusals, a record that changes between two requests. It keeps
 * one Lease, with the checks of an API server: 404, 409 by resourceVersion, 409 where one is
 * already. The clock is one that stands until a test moves it, unless the test says otherwise.
 */
#ifndef MESHPIPE_TESTS_LEASE_SERVER_H
#define MESHPIPE_TESTS_LEASE_SERVER_H

#include "k8s-apply/lease.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "k8s-apply/lease_identity.h"
#include "lib/buf.h"

#define ALL "/apis/coordination.k8s.io/v1/namespaces/mesh/leases"
#define ONE ALL "/set"

#define PATIENCE_MS 20000

/* --- the server, in the loop of the test */

static struct {
	uv_loop_t loop;
	uv_tcp_t listener;
	uv_timer_t tick; /* the loop goes on, so that a test that waits in vain ends */
	int port;
	jv record; /* invalid: none */
	int version;
	int gets, posts, puts, conflicts;
	int refused, unheard; /* by a fault */

	/* Faults, one at a time. */
	const char *only; /* the method that they are for; NULL: all */
	int code;	  /* 0: none */
	const char *body;
	bool silent; /* does nothing, says nothing */
	bool mute;   /* does it, says nothing */
	bool late;   /* does it, and says so when late_answers() is called */
} server;

struct connection {
	uv_tcp_t tcp;
	struct buf in;
	char *late;
	struct connection *next;
};

static struct connection *connections;

static void on_sent(uv_write_t *write, int status UNUSED)
{
	free(write->data);
	free(write);
}

static void say(struct connection *c, const char *text)
{
	uv_write_t *write = xcalloc(1, sizeof(*write));
	uv_buf_t out;

	write->data = xstrdup(text);
	out = uv_buf_init(write->data, (unsigned)strlen(text));
	uv_write(write, (uv_stream_t *)&c->tcp, &out, 1, on_sent);
}

static void answer(struct connection *c, int code, const char *body)
{
	char *text = xasprintf("HTTP/1.1 %d x\r\nContent-Type: application/json\r\n"
			       "Content-Length: %zu\r\n\r\n%s",
		code, strlen(body), body);

	if (server.late) {
		free(c->late);
		c->late = text;
		return;
	}
	if (!server.mute)
		say(c, text);
	free(text);
}

static void late_answers(void)
{
	server.late = false;
	for (struct connection *c = connections; c != NULL; c = c->next) {
		if (c->late != NULL)
			say(c, c->late);
		free(TAKE(c->late));
	}
}

static void refuse(struct connection *c, int code, const char *reason, const char *kind)
{
	cleanup_free char *body = xasprintf(
		"{\"kind\":\"Status\",\"code\":%d,\"reason\":\"%s\",\"message\":\"%s is refused\","
		"\"details\":{\"name\":\"x\",\"kind\":\"%s\"}}",
		code, reason, kind, kind);

	server.conflicts += code == 409;
	answer(c, code, body);
}

/* Whoever changes it, its version counts up. */
static void store(jv record)
{
	jv metadata = jvx_get(record, "metadata");
	char version[16];

	snprintf(version, sizeof(version), "%d", ++server.version);
	jvx_set_str(&metadata, "resourceVersion", version);
	jvx_set(&record, "metadata", metadata);
	jv_free(server.record);
	server.record = record;
}

static char *version_of(jv record)
{
	cleanup_jv jv metadata = jvx_get(record, "metadata");
	char *version = jvx_dup_field(metadata, "resourceVersion");

	return version != NULL ? version : xstrdup("");
}

static void tell_record(struct connection *c, int code)
{
	cleanup_free char *text = jvx_dump(server.record);

	answer(c, code, text);
}

static void put(struct connection *c, jv record)
{
	cleanup_free char *sent = version_of(record), *here = version_of(server.record);

	server.puts++;
	if (!jvx_is(server.record, JV_KIND_OBJECT)) {
		refuse(c, 404, "NotFound", "leases");
	} else if (strcmp(sent, here) != 0) {
		refuse(c, 409, "Conflict", "leases");
	} else {
		store(jv_copy(record));
		tell_record(c, 200);
	}
}

static void post(struct connection *c, jv record)
{
	server.posts++;
	if (jvx_is(server.record, JV_KIND_OBJECT)) {
		refuse(c, 409, "AlreadyExists", "leases");
	} else {
		store(jv_copy(record));
		tell_record(c, 201);
	}
}

static void get(struct connection *c)
{
	server.gets++;
	if (jvx_is(server.record, JV_KIND_OBJECT))
		tell_record(c, 200);
	else
		refuse(c, 404, "NotFound", "leases");
}

static void serve(struct connection *c, const char *request, const char *body)
{
	struct err err = ERR_INIT;
	cleanup_jv jv record = jvx_parse(body, strlen(body), &err);
	bool fault = server.only == NULL || str_starts(request, server.only);

	if (fault && server.silent) {
		server.unheard++;
		return;
	}
	server.refused += fault && server.code != 0;
	if (fault && server.code != 0)
		answer(c, server.code, server.body);
	else if (str_starts(request, "GET " ONE " "))
		get(c);
	else if (str_starts(request, "PUT " ONE " "))
		put(c, record);
	else if (str_starts(request, "POST " ALL " "))
		post(c, record);
	else
		fail_msg("the request is '%s'", request);
}

static void take_request(struct connection *c)
{
	static const char length[] = "Content-Length: ";
	const char *all = buf_str(&c->in);
	const char *end = strstr(all, "\r\n\r\n");
	const char *header = strstr(all, length);
	size_t len = 0;
	cleanup_free char *body = NULL;

	if (end == NULL)
		return;
	if (header != NULL && header < end)
		len = strtoul(header + strlen(length), NULL, 10);
	if (c->in.len < (size_t)(end + 4 - all) + len)
		return;
	body = xstrndup(end + 4, len);
	serve(c, all, body);
	buf_reset(&c->in);
}

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data, **at = &connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	buf_release(&c->in);
	free(c->late);
	free(c);
}

static void on_room(uv_handle_t *handle UNUSED, size_t size UNUSED, uv_buf_t *ret)
{
	static char room[65536];

	*ret = uv_buf_init(room, sizeof(room));
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
	struct connection *c = stream->data;

	if (n < 0) {
		uv_close((uv_handle_t *)stream, on_connection_closed);
		return;
	}
	assert_int_equal(buf_add(&c->in, bytes->base, (size_t)n), 0);
	take_request(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct connection *c = xcalloc(1, sizeof(*c));

	assert_int_equal(status, 0);
	buf_init(&c->in, 1u << 20);
	uv_tcp_init(&server.loop, &c->tcp);
	c->tcp.data = c;
	c->next = connections;
	connections = c;
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
	uv_read_start((uv_stream_t *)&c->tcp, on_room, on_bytes);
}

static void on_tick(uv_timer_t *timer UNUSED)
{
}

#endif
