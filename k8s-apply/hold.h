/*
 * hold: how many keys may lose all their objects before a person is asked.
 *
 * More than max(20, 10 % of the keys) within ten minutes is too many.
 */
#ifndef MESHPIPE_HOLD_H
#define MESHPIPE_HOLD_H

#include "lib/base.h"

#define HOLD_WINDOW_MS (INT64_C(10) * 60 * 1000)
#define HOLD_MIN_KEYS  20

struct hold {
	int64_t *when_ms; /* steady, ascending: one for each key let go */
	size_t count;
	size_t capacity;
};

void hold_release(struct hold *h);

/* Keys let go in the last ten minutes. */
size_t hold_recent(struct hold *h, int64_t now_ms);

/* Would `more` keys now be too many, of `present` keys that are there before it? */
bool hold_exceeded(struct hold *h, int64_t now_ms, size_t more, size_t present);

/* Notes that so many keys were let go. */
void hold_note(struct hold *h, int64_t now_ms, size_t keys);

#endif
