/*
 * pace: a token bucket. A few may act at once, as many as `burst`, then one an interval; who has
 * rested gets at most the burst back.
 *
 * It takes the time from the caller, so that it needs no clock of its own. Intervals are in
 * microseconds: a rate of 300 a second has none in milliseconds.
 */
#ifndef MESHPIPE_PACE_H
#define MESHPIPE_PACE_H

#include "lib/base.h"

struct pace {
	int64_t interval_us; /* 0: no limit */
	int64_t burst;
	int64_t full_us; /* when the bucket is full again; 0: full */
};

/* One of `rate` a second with a burst of one second; a rate of 0 is no limit. */
struct pace pace_of_rate(uint64_t rate);

/* Takes a token. Returns how long to wait before acting on it, in milliseconds. */
int64_t pace_take_ms(struct pace *p, int64_t now_ms);

/* How long until a token can be taken without a wait; takes none. */
int64_t pace_wait_ms(const struct pace *p, int64_t now_ms);

#endif
