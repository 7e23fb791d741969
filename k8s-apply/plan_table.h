/*
 * plan_table: the rows that the plan*.c files share: objects, the keys that want
 * or have them, the sources of the keys. For these files only.
 */
#ifndef MESHPIPE_PLAN_TABLE_H
#define MESHPIPE_PLAN_TABLE_H

#include "k8s-apply/hold.h"
#include "k8s-apply/intern.h"
#include "k8s-apply/map.h"
#include "k8s-apply/plan.h"
#include "k8s-apply/shelf.h"

/* A ring; the head is a link of its own. A link that is in no list points to itself. */
struct link {
	struct link *prev, *next;
};

#define LINK_OF(l, type, member) ((type *)((char *)(l)-offsetof(type, member)))

void link_init(struct link *l);
bool link_alone(const struct link *l);
void link_remove(struct link *l);
void link_append(struct link *head, struct link *l);

/* A key wants an object to be like this. */
struct want {
	struct plan_key *key;
	struct plan_object *object;
	struct want *next; /* of the same object */
	struct shelved *body;
	uint64_t hash;
	bool hands_off;
	bool lost; /* another key has it, and that was said */
};

enum plan_work {
	WORK_NONE,
	WORK_QUEUED,
	WORK_DELAYED, /* a deletion that gives another key the time to take it */
	WORK_PAUSED,  /* its source is */
	WORK_PARKED,  /* a deletion that waits for its key's writes */
	WORK_IN_FLIGHT,
	WORK_RESTING, /* failed, waits for retry_at_ms */
};

enum plan_problem { PROBLEM_NONE, PROBLEM_FAILED, PROBLEM_FOREIGN, PROBLEM_HELD, PROBLEM_SKIPPED };

struct plan_object {
	struct object_id id;
	const char *api_version; /* from plan->texts */
	struct want *wants;
	uint64_t hash;		/* of what the target has */
	struct plan_key *owner; /* that it has it under; NULL: nobody that we know of */
	struct link owned;	/* in owner->owned */

	struct link work_link;
	struct plan_key *op_key; /* of the operation in flight; NULL when it deletes for nobody */
	uint64_t op_hash;
	int64_t retry_at_ms; /* of WORK_RESTING; of WORK_DELAYED: since when */
	uint64_t said;	     /* hash of the problem that was reported */

	uint32_t keep_count; /* keys whose last apply has it in `keep` */
	uint32_t touched;    /* times that it is in a list of struct touched */
	uint32_t failures;
	enum plan_work work : 8;
	enum plan_problem problem : 8;
	bool unreadable : 1; /* one of the keys keeps it because it could not be read here */
	bool exists : 1;     /* in the target */
	bool hands_off : 1;
	bool op_delete : 1, op_hands_off : 1;
	bool adopted : 1; /* by the operation that ends just now */
	bool same : 1;	  /* that one changed nothing */
	bool waited : 1;  /* a deletion that need not be delayed any more */
};

enum plan_key_state {
	KEY_UNKNOWN, /* not spoken of since the start of the process */
	KEY_APPLIED,
	KEY_KEPT,     /* its last word was: leave everything */
	KEY_VANISHED, /* a complete snapshot did not name it */
};

/* A key that loses all: are its deletions free to go? */
enum plan_doom { DOOM_NONE, DOOM_FREE, DOOM_HELD };

struct plan_key {
	char *bytes; /* source, NUL, name: the key in the map */
	size_t len;
	const char *name; /* points into bytes */
	struct plan_source *source;
	enum plan_key_state state;
	enum plan_doom doom;
	uint64_t serial; /* of the snapshot that named it last */
	int64_t at_ms;
	struct want **wants; /* sorted by identity */
	size_t want_count;
	struct plan_object **keeps;
	size_t keep_count;
	uint64_t broken;   /* hash of why; 0: it is not */
	struct link owned; /* objects that the target has under this key */
	struct link parked;
	unsigned in_flight;	   /* operations */
	unsigned writes_in_flight; /* those that are no deletions */
};

struct plan_source {
	char *name;
	char *scope; /* remembered; NULL: none */
	bool spoke;  /* in this run */
	bool paused;
	struct link paused_work;
	bool started, synced;
	/* The snapshot that is open. */
	bool open;
	bool poisoned;
	char *snapshot;
	char *other_scope; /* what its `start` said, when that is not the remembered one */
	uint64_t serial;
	uint64_t named; /* distinct keys so far */
};

struct plan {
	struct plan_config config;
	struct plan_handler handler;
	struct map objects, keys, sources;
	struct intern texts;
	struct shelf *shelf; /* bodies */
	char *body;	     /* of the operation that plan_next has given last */
	struct link queue, resting;
	struct link moving,
		pruning; /* delayed, the longest first: within a key, and of all of it */
	size_t waiting;	 /* all but those that rest */
	size_t paused;
	int64_t next_retry_ms; /* not later than the first of resting; INT64_MAX: none */
	int64_t now_ms;	       /* as last heard */
	int64_t heard_ms;      /* of the last record */
	bool frozen, hurried;
	struct hold hold;
	uint64_t approved;
	uint64_t serial;
	size_t existing, failed, conflicts, broken, held_keys, held_objects;
};

struct plan_source *plan_source_get(struct plan *p, const char *name);
struct plan_key *plan_key_get(struct plan *p, const char *source, const char *name);
struct plan_object *plan_object_get(struct plan *p, const struct object_id *id);

/* Frees the row if nothing refers to it. */
void plan_key_drop(struct plan *p, struct plan_key *key);
void plan_object_drop(struct plan *p, struct plan_object *o);

struct want *plan_want_of(const struct plan_object *o, const struct plan_key *key);
struct want *plan_want_add(struct plan_key *key, struct plan_object *o);

/* Takes it off its object and frees it; key->wants is the caller's. */
void plan_want_remove(struct plan *p, struct want *w);

/* Which key the target has the object under; NULL for none. */
void plan_own(struct plan_object *o, struct plan_key *key);

bool plan_key_has(const struct plan_key *key, const struct plan_object *o);

/* Order of "<source>/<name>" in bytes. */
int plan_key_compare(const struct plan_key *a, const struct plan_key *b);

size_t plan_count_owned(const struct plan_key *key);

/* All keys that match, sorted. Owned by the caller. */
struct plan_key **plan_collect_keys(const struct plan *p,
	bool (*match)(const struct plan_key *key, const void *arg), const void *arg,
	size_t *ret_count);

void plan_notify(const struct plan *p, const struct plan_notice *n);

/* Objects to look at again; the same one may be in it twice, and in several lists. */
struct touched {
	struct plan_object **item;
	size_t count, capacity;
};

void plan_touch(struct touched *t, struct plan_object *o);
void plan_touch_owned(struct touched *t, const struct plan_key *key);

/* plan_decide.c */
enum decision {
	DECIDE_NOTHING,
	DECIDE_WRITE,
	DECIDE_DELETE,
	DECIDE_HOLD,
	DECIDE_SKIP,
};

/* What is to be done about an object, and for which want if it is to be written. */
enum decision plan_decide(const struct plan_object *o, struct want **ret_want);

/* Decides, queues what is to be done and reports the rest; `said` when a record just named it. */
void plan_settle(struct plan *p, struct plan_object *o, bool said);

/* Settles them in order of identity and empties the list; rows without use are freed. */
void plan_settle_touched(struct plan *p, struct touched *t);

void plan_report(struct plan *p, const struct plan_object *o, const struct plan_key *key,
	enum plan_action action, const char *error);

/* Says a problem once, and again only when it has become another one. */
void plan_report_problem(struct plan *p, struct plan_object *o, const struct plan_key *key,
	enum plan_problem problem, const char *error);
void plan_clear_problem(struct plan *p, struct plan_object *o);

/* plan_work.c: into the queue, and out of whatever list it waits in. */
void plan_enqueue(struct plan *p, struct plan_object *o);
void plan_unqueue(struct plan *p, struct plan_object *o);

/* plan_delay.c: instead of into the queue. */
void plan_delay(struct plan *p, struct plan_object *o);
void plan_set_aside(struct plan *p, struct plan_object *o, struct plan_source *s);

/* Into the queue with those that have waited long enough; when the next one has, INT64_MAX: never. */
void plan_wake_delayed(struct plan *p);
int64_t plan_delayed_until_ms(const struct plan *p);

/* plan_hold.c */
bool plan_states_nothing(const struct plan_key *key);
/* The key, which wants nothing, has an object that no other key wants. */
bool plan_would_delete(const struct plan_key *key);

/* These keys, of one source and each with objects, are to lose all of them. */
void plan_doom(struct plan *p, int64_t now_ms, const struct plan_source *s, struct plan_key **keys,
	size_t n);

/* The key is wanted again, or has nothing left. */
void plan_undoom(struct plan *p, struct plan_key *key);

/* plan.c: the key wants and keeps nothing any more. */
void plan_clear_key(struct plan *p, struct plan_key *key, struct touched *t);

#endif
