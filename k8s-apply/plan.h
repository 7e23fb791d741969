/*
 * plan: decides what is to be written, deleted, held back and left alone.
 *
 * Desired sets and snapshots go in (plan_apply and its like), and what the
 * target has (plan_found, plan_lost); out come operations, one object each, in
 * the order in which the target should start them (plan_next). The target
 * answers each of them, at once or later, in any order, with plan_done. There
 * is no I/O and no clock in here: steady milliseconds come in as parameters.
 *
 * An object is identified by group, kind, namespace and name. A key is what
 * one `apply` states the whole of (a service of a source); an object belongs
 * to the key that the target has it under.
 *
 *  - Within a key, what an `apply` no longer names is deleted as soon as the input is quiet for a
 *    moment, so that another key can take it instead: an object that moves is never deleted in
 *    between. For the same reason a key that loses all waits for a longer moment.
 *  - A `synced` prunes the keys of its source that the snapshot did not name, if its `start`
 *    was seen, the number of keys is right, no line since was unreadable, and the scope is
 *    the one that is remembered.
 *  - Keys that vanish or become empty count towards the hold (hold.h): when too many do, their
 *    deletions wait for a person, all else goes on.
 *  - Of several keys that want one object, the one that has it keeps it, else the least one in
 *    byte order gets it. An object whose key no longer wants it goes to one that does.
 *  - Nothing is deleted for a key that was not spoken of since the start of the process, unless
 *    a snapshot prunes it.
 *
 * Pointers handed out are valid until the next call that is not a query.
 */
#ifndef MESHPIPE_PLAN_H
#define MESHPIPE_PLAN_H

#include "k8s-apply/manifest.h"

struct plan;
struct plan_object;

/* Result records and lines; the words are in plan_action_name. */
enum plan_action {
	PLAN_CREATED,
	PLAN_CONFIGURED,
	PLAN_DELETED,
	PLAN_UNCHANGED, /* only in answer to plan_apply */
	PLAN_HELD,
	PLAN_CONFLICT, /* another key, or somebody else, has it */
	PLAN_SKIPPED,  /* a person disabled it */
	PLAN_FAILED,
};

const char *plan_action_name(enum plan_action action);

struct plan_result {
	enum plan_action action;
	const struct object_id *id;
	const char *api_version; /* as last seen */
	const char *source;	 /* "" for a plain manifest */
	const char *key;
	int64_t at_ms;	   /* `at` of the record that caused it; 0 when unknown */
	bool adopted;	   /* PLAN_CONFIGURED: it was nobody's before */
	const char *error; /* NULL when there is none */
};

enum plan_notice_kind {
	PLAN_SYNCED,	   /* a snapshot is complete, and what it did not name is to go */
	PLAN_NOT_PRUNED,   /* a snapshot did not prune: `why` */
	PLAN_HOLD,	   /* deletions are held: keys and objects in all, `why` */
	PLAN_HOLD_LOWER,   /* an approval was for fewer keys than are held */
	PLAN_HOLD_ENDED,   /* nothing is held any more */
	PLAN_BROKEN_KEY,   /* an object of `key` has no identity: nothing of it is deleted */
	PLAN_SOURCE_PRUNED /* on request */
};

struct plan_notice {
	enum plan_notice_kind kind;
	const char *source; /* NULL when it is about the set */
	const char *key;    /* NULL, but for PLAN_BROKEN_KEY */
	const char *why;    /* NULL when there is nothing to add */
	size_t keys;
	size_t objects;
};

struct plan_handler {
	void (*on_result)(void *arg, const struct plan_result *result);
	void (*on_notice)(void *arg, const struct plan_notice *notice);
	/* Keep this scope for the next run; NULL: forget the source. */
	void (*on_remember)(void *arg, const char *source, const char *scope);
	void *arg;
};

struct plan_config {
	bool accept_scope;	/* take a `start` with another scope as meant */
	uint64_t approved_keys; /* held deletions of up to so many keys are released at once */
	bool deletes_wait;	/* within a key, start deletions when its writes are answered */
	int64_t retry_min_ms;	/* first pause after a failure; doubles; 0: 1 s */
	int64_t retry_max_ms;	/* 0: 5 min */
	int64_t quiet_ms;	/* deletions within a key wait until no record came for so long */
	int64_t quiet_max_ms;	/* but no longer than this */
	int64_t prune_delay_ms; /* deletions of a key that loses all wait so long */
};

struct plan *plan_new(const struct plan_config *config, const struct plan_handler *handler);
void plan_free(struct plan *p);

/*
 * What the target has. plan_found may be called at any time, also for an
 * object that is known: it then replaces what was known. The manifest's body
 * is not needed. False when another key has the object already: it stays there.
 * With a source of NULL nobody knows whose it is: it goes to whoever wants it, and
 * is never deleted. plan_lost also means that what failed with it is worth another try.
 */
void plan_remember(struct plan *p, const char *source, const char *scope);
bool plan_found(struct plan *p, const char *source, const char *key, const struct manifest *m);
void plan_lost(struct plan *p, const struct object_id *id);

/* An object of a key that is to be left as it is. */
struct plan_keep {
	struct manifest m; /* identity and apiVersion are enough */
	char *error;	   /* owned; NULL when unknown */
	bool failed;	   /* it could not be read here: reported as failed */
};

struct plan_desired {
	const char *source;
	const char *key;
	int64_t at_ms;
	struct manifest *manifests;
	size_t count;
	struct plan_keep *keeps;
	size_t keep_count;
	const char *broken; /* why an object of it has no identity; else NULL */
};

/*
 * The records. plan_apply takes the manifests' contents and leaves empty ones behind. A source
 * that starts with a scope of NULL has none, and none is remembered.
 */
void plan_start(struct plan *p, const char *source, const char *snapshot, const char *scope);
void plan_apply(struct plan *p, int64_t now_ms, struct plan_desired *desired);
void plan_keep_key(struct plan *p, const char *source, const char *key);
void plan_synced(struct plan *p, int64_t now_ms, const char *source, const char *snapshot,
	uint64_t services);

/* So many distinct keys of the source came since its `start`. */
uint64_t plan_named(const struct plan *p, const char *source);

/* Nothing more will come: deletions wait for no other key any more. */
void plan_hurry(struct plan *p);

/* What the source says may be old: nothing is written or deleted for it, until it is not paused. */
void plan_pause(struct plan *p, const char *source, bool paused);

/* A line that could not be read: every snapshot that is open is incomplete. */
void plan_unreadable(struct plan *p);

/*
 * Deletes all of a source that is remembered or has objects, and forgets it; it is
 * a person's explicit word, so nothing is held. False when the source is unknown or spoke
 * in this run.
 */
bool plan_prune_source(struct plan *p, int64_t now_ms, const char *source);

/* The same for all sources, whether they spoke or not. */
void plan_prune_all(struct plan *p, int64_t now_ms);

/* A person's words. An approval is a ceiling: with more keys held than that, nothing is released. */
void plan_freeze(struct plan *p, bool frozen);
bool plan_approve(struct plan *p, uint64_t keys);

/* Work. */
struct plan_op {
	struct plan_object *object; /* for plan_done */
	bool delete;
	bool exists; /* the target has it: update, not create */
	const struct object_id *id;
	const char *api_version;
	const char *source, *key; /* whose it is to be, or was */
	const char *from_source,
		*from_key; /* under which it is now, if that is another; else NULL */
	const char *body;  /* canonical JSON, until the next plan_next; NULL for a deletion */
	uint64_t hash;
};

enum plan_outcome {
	PLAN_OK,
	PLAN_ADOPTED, /* the same, and it was there before, and nobody's */
	PLAN_SAME,    /* the same, and nothing was changed by it */
	PLAN_RETRY,   /* may succeed later: tried again with growing pauses */
	PLAN_DENIED,  /* the same slowly: somebody has to do something about it */
	PLAN_REFUSED, /* will not succeed before the object changes or is said again */
	PLAN_FOREIGN, /* somebody else has it: reported as a conflict, tried again slowly */
	PLAN_DECIDE,  /* the target has found something else (plan_found, plan_lost): decide anew */
};

/* False when there is nothing to do now. */
bool plan_next(struct plan *p, int64_t now_ms, struct plan_op *ret);
void plan_done(struct plan *p, int64_t now_ms, struct plan_object *object,
	enum plan_outcome outcome, const char *error);

/* Like PLAN_FOREIGN, but when it is tried again the target knows. */
void plan_later(struct plan *p, int64_t now_ms, struct plan_object *object, int64_t at_ms,
	const char *error);

/* When plan_next should be asked again because a pause is over; -1 for never. */
int64_t plan_wake_ms(const struct plan *p);

/* Makes everything that failed due at once. */
void plan_retry_all(struct plan *p);

struct plan_counts {
	size_t objects;	  /* that the target has */
	size_t waiting;	  /* to be done, or in the target's hands */
	size_t paused;	  /* those of them whose source is paused */
	size_t failed;	  /* in the end not as desired: failed, conflict, keys that are broken */
	size_t conflicts; /* those of them that are conflicts */
	size_t held_keys; /* whose deletion is held */
	size_t held_objects;
};

void plan_count(const struct plan *p, struct plan_counts *ret);

/* What the target has of one source: its keys with objects, and those objects. */
void plan_count_source(
	const struct plan *p, const char *source, size_t *ret_keys, size_t *ret_objects);

/* Calls on_object for each object that the target has, in no order. */
void plan_each_object(
	const struct plan *p, void (*on_object)(void *arg, const struct object_id *id), void *arg);

const struct object_id *plan_object_id(const struct plan_object *o);

/* Calls on_source for each source that is remembered or has objects but did not speak. */
void plan_silent_sources(const struct plan *p,
	void (*on_source)(void *arg, const char *source, size_t objects), void *arg);

/* True when every source that sent a `start` has sent its `synced`, and there was one. */
bool plan_all_synced(const struct plan *p);

#endif
