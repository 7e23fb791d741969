/*
 * pace: a token bucket for one loop of blocking queries. Two answers may come
 * at once, then one a second, as Consul's documentation asks of its clients;
 * what changes faster is seen in its latest state.
 */
#ifndef MESHPIPE_CONSUL_PACE_H
#define MESHPIPE_CONSUL_PACE_H

#include "lib/base.h"

#define PACE_BURST     2
#define PACE_REFILL_MS 1000

struct pace {
	int64_t full_ms; /* when the bucket is full again; 0: full */
};

/* Takes a token. Returns how long to wait before acting on it, in milliseconds. */
int64_t pace_take_ms(struct pace *p, int64_t now_ms);

#endif
