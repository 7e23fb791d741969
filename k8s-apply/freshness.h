/*
 * freshness: is what a source says the present?
 *
 * A process that waits for the lease with an old picture must not put the cluster back in time
 * when it gets it. A source that has ever sent a `status` is fresh while its state is "connected"
 * and something came from it in the last 30 s (it sends a status every 10 s). One that never
 * did, such as a file, speaks for itself.
 */
#ifndef MESHPIPE_FRESHNESS_H
#define MESHPIPE_FRESHNESS_H

#include "k8s-apply/map.h"

#define FRESHNESS_MS 30000

struct freshness {
	struct map sources;
};

void freshness_release(struct freshness *f);

/* Something came from the source; `now_ms` is steady. */
void freshness_heard(struct freshness *f, const char *source, int64_t now_ms);
void freshness_status(struct freshness *f, const char *source, const char *state, int64_t now_ms);

struct freshness_change {
	const char *source;
	bool fresh;
	bool silent;	   /* it is not, because nothing comes from it */
	const char *state; /* what it said last; NULL: nothing */
};

/* Calls on_change for each source that is fresh, or is not, other than at the last look. */
void freshness_look(struct freshness *f, int64_t now_ms,
	void (*on_change)(void *arg, const struct freshness_change *change), void *arg);

/* One of them is, or there is none. */
bool freshness_is_any(const struct freshness *f, int64_t now_ms);

/* When the next look may find a source that has fallen silent; INT64_MAX: never. */
int64_t freshness_until_ms(const struct freshness *f);

/* Each of them; the name is borrowed. */
void freshness_each(const struct freshness *f, int64_t now_ms,
	void (*on_source)(void *arg, const char *source, bool fresh), void *arg);

#endif
