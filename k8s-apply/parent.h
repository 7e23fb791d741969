/*
 * parent: the ConfigMap that a set of objects has (KEP-3659's parent): which kinds in which
 * namespaces have to be looked at after a restart, what is remembered of each source, and
 * what a person says to the whole set.
 *
 *   label       applyset.kubernetes.io/id                     the id of the set
 *   annotation  applyset.kubernetes.io/tooling                "meshpipe/v1"
 *   annotation  applyset.kubernetes.io/contains-group-kinds   "ServiceEntry.networking.istio.io,..."
 *   annotation  applyset.kubernetes.io/additional-namespaces  those beside its own
 *   annotation  meshpipe.io/freeze           by a person, "true": nothing of the set is written
 *   annotation  meshpipe.io/approve-deletes  by a person, a number of keys: releases what is held
 *   data        sources                      {"dc1":{"scope":"..."}}
 *
 * Nothing of a kind or namespace is written before the parent that names it is saved.
 */
#ifndef MESHPIPE_PARENT_H
#define MESHPIPE_PARENT_H

#include "k8s-apply/kube.h"
#include "k8s-apply/ownership.h"

struct parent;

struct parent_handler {
	/* Asked before each write. */
	bool (*may_write)(void *arg);
	void (*on_loaded)(void *arg);
	/* Saved, or something in it has changed. */
	void (*on_change)(void *arg);
	/* It cannot be read or saved for now, and is tried again; said when the reason changes. */
	void (*on_trouble)(void *arg, const struct kube_status *status);
	void (*on_recovered)(void *arg);
	/* It can never be ours. */
	void (*on_fatal)(void *arg, const struct err *err);
	void *arg;
};

/* Starts reading it. `own` must outlive it. */
struct parent *parent_open(uv_loop_t *loop, struct kube *k, const struct ownership *own,
	const struct parent_handler *handler) NODISCARD;

/* NULL is allowed; also from inside its callbacks. */
void parent_close(struct parent *p);

/* What it says. */
void parent_each_source(const struct parent *p,
	void (*on_source)(void *arg, const char *source, const char *scope), void *arg);
void parent_each_kind(const struct parent *p,
	void (*on_kind)(void *arg, const char *group, const char *kind), void *arg);
void parent_each_namespace(
	const struct parent *p, void (*on_namespace)(void *arg, const char *namespace), void *arg);
bool parent_is_frozen(const struct parent *p);

/* NULL: there is none. */
const char *parent_uid(const struct parent *p);

/*
 * 1 and the number, 0 when there is none, -1 when it is no number. It is for who may write the set
 * alone: another process would take it away from that one. One that is dropped counts no more, and is
 * removed as soon as that is allowed and succeeds.
 */
int parent_approval(const struct parent *p, uint64_t *ret, struct err *err) NODISCARD;

/* What it is to say. It is saved as soon as it may be: parent_save, when that has changed. */
void parent_save(struct parent *p);

/* Saves it at once, whatever it waits for. True: its answer is told as if it were the first. */
bool parent_try_now(struct parent *p) NODISCARD;
void parent_remember(struct parent *p, const char *source, const char *scope);
void parent_include(struct parent *p, const char *group, const char *kind, const char *namespace);
void parent_drop_approval(struct parent *p);

/* It may not be written any more: drops what is under way. */
void parent_abandon(struct parent *p);

/* Does what is saved name this kind and namespace? */
bool parent_covers(
	const struct parent *p, const char *group, const char *kind, const char *namespace);

/* Nothing waits to be saved. */
bool parent_is_saved(const struct parent *p);

#endif
