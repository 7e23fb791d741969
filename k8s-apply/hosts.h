/*
 * hosts: which ServiceEntries have a host that another one has, too. Istio merges two of one
 * host in an order that nobody should rely on, and says nothing of it.
 *
 * It knows those of the set by their bodies and those of others as somebody watches them, and
 * keeps of each only names: its hosts and the namespaces that it is for (exportTo). Two are a
 * pair when they have a host in common and the other one is visible in the namespace of ours; of
 * two of ours, when either is visible in the namespace of the other. An object of ours that is
 * not on the server is in no pair. No more than HOSTS_MAX_PAIRS are found.
 *
 * https://istio.io/latest/docs/reference/config/networking/service-entry/
 */
#ifndef MESHPIPE_HOSTS_H
#define MESHPIPE_HOSTS_H

#include "lib/jvx.h"

#define HOSTS_MAX_PAIRS 256

struct hosts;

enum hosts_side { HOSTS_OURS, HOSTS_THEIRS };

struct hosts_pair {
	const char *host;
	const char *ours, *other; /* NAMESPACE/NAME */
	const char *by;		  /* who has made the other; NULL: not known */
	bool both_ours;
};

struct hosts_handler {
	/* Once for each pair; its pointers are borrowed. */
	void (*on_pair)(void *arg, const struct hosts_pair *pair);
	void (*on_end)(void *arg, const struct hosts_pair *pair);
	void *arg;
};

struct hosts *hosts_new(const struct hosts_handler *handler) NODISCARD;

/* Without callbacks. NULL is allowed. */
void hosts_free(struct hosts *h);

/*
 * A ServiceEntry is like this, by the `spec` of `object`. `hash` tells one state of it from
 * another: with the same one as before nothing is done. `by` may be NULL.
 */
void hosts_set(struct hosts *h, enum hosts_side side, const char *namespace, const char *name,
	uint64_t hash, jv object, const char *by);

/* It is known in the state `hash`. */
bool hosts_has(const struct hosts *h, enum hosts_side side, const char *namespace, const char *name,
	uint64_t hash);

/* One of ours is on the server, if it is known at all. */
void hosts_here(struct hosts *h, const char *namespace, const char *name);

void hosts_remove(struct hosts *h, enum hosts_side side, const char *namespace, const char *name);

/*
 * A list of theirs begins, and ends: those of the namespace (all, for "") that were not set since
 * are not there any more. `serial` is what hosts_list gave.
 */
uint64_t hosts_list(struct hosts *h);
void hosts_listed(struct hosts *h, const char *namespace, uint64_t serial);

size_t hosts_pairs(const struct hosts *h);

#endif
