/*
 * crowd: an agent that allows our address no more connections.
 *
 * It counts those of all programs at an address (limits.http_max_conns_per_client,
 * 200 by default), and refuses further ones: from 1.9 on with 429 and a text of its
 * own, before that, and within TLS on all versions, with a reset.
 */
#ifndef MESHPIPE_CONSUL_CROWD_H
#define MESHPIPE_CONSUL_CROWD_H

#include "lib/http.h"

struct crowd {
	long connections; /* allowed now */
	long configured;
	int64_t doubt_ms;      /* when a refusal looked like that of an agent that dies; 0: none */
	int64_t changed_ms;    /* when fewer or more were allowed */
	int64_t grow_after_ms; /* since then */
	bool said;
};

void crowd_init(struct crowd *c, long connections);

/*
 * A reply, while so many connections carry a query. True when it is the refusal of a
 * connection; fewer are allowed then. `addr` is for the message.
 */
bool crowd_judge(
	struct crowd *c, const struct http_reply *reply, unsigned standing, const char *addr);

/* True when more are allowed again, after a while without a refusal. */
bool crowd_grow(struct crowd *c);

#endif
