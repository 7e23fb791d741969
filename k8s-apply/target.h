/*
 * target: what k8s-apply writes to, a directory (dir.h) or a cluster (cluster.h).
 *
 * The applier gives it the plan's operations; it answers each of them, at once or later,
 * in any order. What it finds, it tells.
 */
#ifndef MESHPIPE_TARGET_H
#define MESHPIPE_TARGET_H

#include "k8s-apply/plan.h"

/* Why an operation fails, where the target has said in the log why all of its kind fail. */
#define TARGET_SAID "nothing can be written to its kind and namespace (the log says why)"

/* What is done with the operations. Nothing at all is written but with the first. */
enum target_use {
	TARGET_WRITE,
	TARGET_READ,	/* it gets none */
	TARGET_DRY_RUN, /* the API server is asked whether it would take them */
	TARGET_COMPARE, /* what is there is compared with what would be: on_difference */
};

struct target_handler {
	/* For plan_remember, plan_found, plan_lost, plan_done. A source of NULL: whose it is, is not known. */
	void (*on_source)(void *arg, const char *source, const char *scope);
	bool (*on_found)(void *arg, const char *source, const char *key, const struct manifest *m);
	void (*on_lost)(void *arg, const struct object_id *id);
	void (*on_done)(void *arg, struct plan_object *object, enum plan_outcome outcome,
		const char *error);
	/* Before on_done: the object as it is and as it would be; invalid: not there. Borrowed. */
	void (*on_difference)(void *arg, const struct object_id *id, jv before, jv after);
	/* For plan_later. */
	void (*on_later)(void *arg, struct plan_object *object, int64_t at_ms, const char *error);
	/* All that it has has been told: the input can begin. Once. */
	void (*on_ready)(void *arg);
	/* The gate has opened or closed, there is room, or a person has said something. */
	void (*on_change)(void *arg);
	/* Something odd that is not a failed operation. */
	void (*on_warning)(void *arg, const char *text);
	/* After remove_set: some of it is still there, as the log says. */
	void (*on_left)(void *arg);
	void (*on_fatal)(void *arg, const struct err *err);
	/* After target_stop, once. */
	void (*on_stopped)(void *arg);
	void *arg;
};

enum target_gate {
	TARGET_OPEN,
	TARGET_BUSY,	/* takes no more operations for the moment */
	TARGET_WAITING, /* for the right or the possibility to write: nothing is handed out */
	TARGET_FROZEN,	/* by a person */
};

/* How it is just now, for those who watch us. */
struct target_look {
	size_t in_flight;  /* operations */
	bool leads;	   /* this process is the one that may write */
	char *unusable;	   /* why it cannot be read or written for now; owned by the caller; NULL */
	bool knows_hosts;  /* ServiceEntries of others are looked at: */
	size_t same_hosts; /* pairs that have the same host */
};

struct target;

struct target_ops {
	/* Tells what it has, then on_ready: now or later. */
	int (*start)(struct target *t, struct err *err);
	/* The key is about to be applied: looks whether somebody touched what is of it. */
	void (*said)(struct target *t, const struct plan_desired *d);
	enum target_gate (*gate)(struct target *t);
	/* There is something to write, or soon will be; without it the right to write is not sought. */
	void (*wanted)(struct target *t);
	/* There is not, and will not be for a while: the right is given back; `wanted` seeks it anew. */
	void (*unwanted)(struct target *t);
	/* A person asks to try at once what has failed. */
	void (*retry)(struct target *t);
	void (*stage)(struct target *t, const struct plan_op *op);
	/* After the last of those that are staged together. */
	void (*flush)(struct target *t);
	/* A scope of NULL forgets the source. */
	int (*remember)(struct target *t, const char *source, const char *scope, struct err *err);
	/* A person releases held deletions: 1 and a number of keys, 0, or -1 when it is no number. */
	int (*approval)(struct target *t, uint64_t *ret, struct err *err);
	void (*drop_approval)(struct target *t);
	/* How a person releases held deletions of `keys`. */
	char *(*how_to_release)(struct target *t, uint64_t keys);
	/* "cluster 'https://...'", for a person. Owned by the caller. */
	char *(*where)(const struct target *t);
	/* There is something of the set beside its objects. */
	bool (*has_set)(const struct target *t);
	/* Nothing is left of the set: what it has beside its objects goes when the target is stopped. */
	void (*remove_set)(struct target *t);
	/* Why it cannot be written to, if it cannot; else NULL. Owned by the caller. */
	char *(*trouble)(struct target *t);
	void (*look)(struct target *t, struct target_look *ret);
	/* Nothing more will come: what can only be waited for is answered now. */
	void (*hurry)(struct target *t);
	/* What is under way is answered, all else ends. */
	void (*stop)(struct target *t);
	void (*close)(struct target *t);
};

struct target {
	const struct target_ops *ops;
	struct target_handler handler;
};

#endif
