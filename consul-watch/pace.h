/*
 * pace: a token bucket for one loop of blocking queries, as Consul's
 * documentation asks of its clients. A few answers may come at once, then one
 * an interval; what changes faster is seen in its latest state.
 */
#ifndef MESHPIPE_CONSUL_PACE_H
#define MESHPIPE_CONSUL_PACE_H

#include "lib/base.h"

struct pace {
	int64_t interval_ms;
	int64_t burst;
	int64_t full_ms; /* when the bucket is full again; 0: full */
};

/* Takes a token. Returns how long to wait before acting on it, in milliseconds. */
int64_t pace_take_ms(struct pace *p, int64_t now_ms);

#endif
