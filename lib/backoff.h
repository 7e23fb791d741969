/*
 * backoff: growing, jittered pauses. One is shared by everything that talks to
 * the same peer: a peer that is down gets one pause, not one a subject.
 */
#ifndef MESHPIPE_BACKOFF_H
#define MESHPIPE_BACKOFF_H

#include "lib/base.h"

struct backoff {
	int64_t min_ms;
	int64_t max_ms;
	unsigned failures;
};

/* The next pause: doubles from min_ms to max_ms with each failure, then takes off up to half of it. */
int64_t backoff_next_ms(struct backoff *b);

/* Any time from 0 to this: who was told to come back at one moment should not all do so. */
int64_t backoff_jitter_ms(int64_t at_most_ms);

/* After a success. */
void backoff_reset(struct backoff *b);

#endif
