/*
 * feed: one input value, a record or a manifest, to a call of the handler.
 *
 * Records are those of meshpipe-records(5); unknown types and fields are
 * ignored. A manifest (an object with apiVersion and kind) is a key of its own,
 * of the source "", and is never pruned; the items of a List are manifests.
 */
#ifndef MESHPIPE_FEED_H
#define MESHPIPE_FEED_H

#include "k8s-apply/plan.h"

struct feed_handler {
	void (*on_start)(void *arg, const char *source, const char *snapshot, const char *scope);
	void (*on_apply)(void *arg, struct plan_desired *desired);
	void (*on_keep)(void *arg, const char *source, const char *key);
	void (*on_synced)(void *arg, const char *source, const char *snapshot, uint64_t services);
	void (*on_status)(void *arg, const char *source, const char *state);
	/* The whole of a status, before on_status and also when it names no source. Borrowed. */
	void (*on_telling)(void *arg, jv status);
	bool manifests; /* are to come: a status, or a record of an unknown type, is an error */
	void *arg;
};

/*
 * `namespace` is for objects that have none; may be NULL. An error means that
 * the value is no record; an object inside it that cannot be read is part of
 * what on_apply gets (keeps with `failed`, or `broken`).
 */
int feed_value(
	jv v, const char *namespace, const struct feed_handler *h, struct err *err) NODISCARD;

#endif
