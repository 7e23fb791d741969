#include "consul-watch/crowd.h"

#include <string.h>

#include "consul-watch/consul.h"
#include "lib/log.h"

/* A connection is refused at once. */
#define REFUSED_MS 2000
/* An agent that stops has stopped after that. */
#define STOPPED_MS 1000
/* After so long a quarter more are tried; longer each time that fails. */
#define GROW_MS	    60000
#define MAX_GROW_MS (60 * 60 * 1000)

void crowd_init(struct crowd *c, long connections)
{
	*c = (struct crowd){ .connections = connections, .configured = connections };
}

/* One that is alone, or old, was not refused for the others. */
static bool is_refusal(const struct http_reply *reply, unsigned standing)
{
	if (reply->result == CURLE_OK)
		return reply->status == 429 &&
		       strstr(reply->body, "concurrent connections") != NULL;
	return reply->fresh && reply->elapsed_ms < REFUSED_MS &&
	       standing >= CONSUL_MIN_CONNECTIONS &&
	       (reply->result == CURLE_SSL_CONNECT_ERROR || reply->result == CURLE_GOT_NOTHING ||
		       reply->result == CURLE_SEND_ERROR || reply->result == CURLE_RECV_ERROR);
}

static void allow(struct crowd *c, long connections)
{
	c->connections = connections;
	c->changed_ms = steady_ms();
}

/* Once, until all connections were there again. */
static void say(struct crowd *c, const char *addr)
{
	c->doubt_ms = 0;
	if (c->said)
		return;
	c->said = true;
	log_warn("the agent allows our address no more connections, we go on with fewer; raise its "
		 "limits.http_max_conns_per_client, serve its API over https, or lower --max-conns",
		"addr", addr, "max_conns", log_num(c->configured));
}

/* A quarter less than what stands: the other programs at this address need some too. */
static void shrink(struct crowd *c, long standing)
{
	long fewer = standing - standing / 4 - 1;

	if (steady_ms() >= c->changed_ms + GROW_MS)
		c->grow_after_ms = c->grow_after_ms > 0 && c->grow_after_ms < MAX_GROW_MS
					   ? 2 * c->grow_after_ms
					   : GROW_MS;
	if (fewer < CONSUL_MIN_CONNECTIONS)
		fewer = CONSUL_MIN_CONNECTIONS;
	allow(c, fewer < c->connections ? fewer : c->connections);
}

/*
 * Was it the limit? Then what stood meanwhile is answered, in its time: one that stops
 * answers all at once, and one that died nothing.
 */
static void settle_doubt(struct crowd *c, const struct http_reply *reply, const char *addr)
{
	int64_t now = steady_ms();
	bool stood = now - reply->elapsed_ms < c->doubt_ms && !reply->fresh;

	if (c->doubt_ms == 0)
		return;
	if (reply->result == CURLE_COULDNT_CONNECT || (stood && reply->result != CURLE_OK)) {
		c->doubt_ms = 0;
		allow(c, c->configured);
	} else if (stood && now >= c->doubt_ms + STOPPED_MS) {
		say(c, addr);
	}
}

bool crowd_judge(
	struct crowd *c, const struct http_reply *reply, unsigned standing, const char *addr)
{
	settle_doubt(c, reply, addr);
	if (!is_refusal(reply, standing))
		return false;
	shrink(c, (long)standing);
	if (reply->result == CURLE_OK)
		say(c, addr);
	else if (!c->said)
		c->doubt_ms = steady_ms();
	return true;
}

bool crowd_grow(struct crowd *c)
{
	long more = c->connections + c->connections / 4;

	if (c->connections >= c->configured || steady_ms() < c->changed_ms + c->grow_after_ms)
		return false;
	if (more >= c->configured) {
		more = c->configured;
		c->said = false;
	}
	allow(c, more);
	return true;
}
