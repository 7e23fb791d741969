/*
 * discovery: what the API server calls a kind in its paths, and whether it is in
 * namespaces. One question, one answer.
 */
#ifndef MESHPIPE_DISCOVERY_H
#define MESHPIPE_DISCOVERY_H

#include "k8s-apply/kube.h"

struct discovery;

struct discovered {
	const char *api_version; /* "v1", "networking.istio.io/v1" */
	const char *plural;
	bool namespaced;
};

struct discovery_handler {
	/* One of the two, once, never from inside discovery_start; the pointers are borrowed. */
	void (*on_found)(void *arg, const struct discovered *found);
	void (*on_failed)(void *arg, const struct kube_status *status);
	void *arg;
};

/*
 * `version` of the group ("v1") is tried first, NULL for none, then those that the server has, from
 * the one that it prefers on. The group "" is the core group. It is freed once it has answered.
 */
struct discovery *discovery_start(struct kube *k, const char *group, const char *version,
	const char *kind, const struct discovery_handler *handler) NODISCARD;

/* Without an answer. NULL is allowed. */
void discovery_cancel(struct discovery *d);

#endif
