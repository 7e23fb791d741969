/*
 * reflector: what the API server has of one resource, as it changes.
 *
 * It lists, then watches from there; when the server does not know any more what changed
 * since (410, in its three shapes), after it was away for a while, and once an hour all the
 * same (a server whose data was put back in time keeps a watch open and silent), it lists
 * again. What was there and is not in a complete list is gone; what is missing from a broken
 * one is not.
 *
 * A list comes page by page, or as the first events of the watch ("watch-list", KEP-3157), which
 * is one request where pages are 30 for 60,000 objects. Pages are what we ask for all the same,
 * where the answers may be compressed: servers up to 1.36 compress lists and not watches, and
 * for 60,000 objects that is 3 MB against 60. A server that has no watch-list gets pages.
 *
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
#ifndef MESHPIPE_REFLECTOR_H
#define MESHPIPE_REFLECTOR_H

#include "k8s-apply/kube.h"

struct reflector;

struct reflector_handler {
	/* A list begins: on_object comes for each of its objects, also of those that are known. */
	void (*on_list)(void *arg);
	void (*on_listed)(void *arg);
	/* From a list, or added or changed since. Borrowed. */
	void (*on_object)(void *arg, jv object, bool listed);
	void (*on_deleted)(void *arg, jv object);
	/* Whether it is known in this version: on_object does not come for it, but for a list. NULL:
	 * on_object always comes. */
	bool (*knows)(void *arg, const char *name, size_t len, const char *version);
	/* It cannot list or watch; said again only when the reason changes, and tried again. */
	void (*on_trouble)(void *arg, const struct kube_status *status);
	void (*on_recovered)(void *arg);
	void *arg;
};

struct reflector_config {
	const char *path;     /* of the collection: kube_path */
	const char *selector; /* escaped query: "labelSelector=..." or "fieldSelector=..." */
	bool metadata_only;   /* objects are PartialObjectMetadata */
	bool stream_lists;    /* as the first events of the watch, where the server can */
	int64_t relist_ms;    /* 0: 1 h */
};

struct reflector *reflector_open(uv_loop_t *loop, struct kube *k,
	const struct reflector_config *config, const struct reflector_handler *handler) NODISCARD;

/* NULL is allowed; also from inside its callbacks. */
void reflector_close(struct reflector *r);

#endif
