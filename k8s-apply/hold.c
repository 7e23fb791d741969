#include "k8s-apply/hold.h"

#include <string.h>

void hold_release(struct hold *h)
{
	free(h->when_ms);
	*h = (struct hold){ .when_ms = NULL };
}

size_t hold_recent(struct hold *h, int64_t now_ms)
{
	size_t old = 0;

	while (old < h->count && h->when_ms[old] <= now_ms - HOLD_WINDOW_MS)
		old++;
	if (old > 0) {
		h->count -= old;
		memmove(h->when_ms, h->when_ms + old, h->count * sizeof(*h->when_ms));
	}
	return h->count;
}

bool hold_exceeded(struct hold *h, int64_t now_ms, size_t more, size_t present)
{
	size_t recent = hold_recent(h, now_ms);
	/* Of what there was when the ten minutes began, so that the measure does not shrink. */
	size_t limit = (present + recent) / 10;

	return recent + more > (limit > HOLD_MIN_KEYS ? limit : HOLD_MIN_KEYS);
}

void hold_note(struct hold *h, int64_t now_ms, size_t keys)
{
	if (h->count + keys > h->capacity) {
		h->capacity = (h->count + keys) * 2;
		h->when_ms = xrealloc(h->when_ms, h->capacity, sizeof(*h->when_ms));
	}
	for (size_t i = 0; i < keys; i++)
		h->when_ms[h->count++] = now_ms;
}
