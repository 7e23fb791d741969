/*
 * cluster_state: what the files of the cluster target share. For these only:
 *
 *   cluster.c         opening, what the applier asks for, stopping
 *   cluster_health.c  the API server that is away, or wants to be asked less
 *   cluster_set.c     the set: its parent, its lease, who may write
 *   cluster_place.c   a kind in a namespace: found, listed, watched
 *   cluster_hold.c    what waits until something can be written there
 *   cluster_row.c     an object as the API server has it; what the watch says of it
 *   cluster_hosts.c   ServiceEntries of others that have a host of ours
 *   cluster_op.c      an operation: its request, and what the answer means
 *   cluster_delete.c  a deletion
 *   cluster_fight.c   an object that somebody changes back each time
 */
#ifndef MESHPIPE_CLUSTER_STATE_H
#define MESHPIPE_CLUSTER_STATE_H

#include "k8s-apply/cluster.h"
#include "k8s-apply/discovery.h"
#include "k8s-apply/intern.h"
#include "k8s-apply/lease.h"
#include "k8s-apply/map.h"
#include "k8s-apply/parent.h"
#include "k8s-apply/reflector.h"
#include "k8s-apply/window.h"
#include "lib/backoff.h"
#include "lib/pace.h"

#define CLUSTER_DYING "it is being deleted, and something holds that up"

struct op;

struct cluster {
	struct target target; /* first */
	uv_loop_t *loop;
	char *namespace;
	enum target_use use;
	bool read_only, use_lease;
	bool removes; /* the set, in the end */
	bool parent_removed;
	struct removal *removal; /* under way */
	bool adopt, force_conflicts;
	struct kube *kube;
	struct ownership own;
	struct parent *parent;
	struct lease *lease;
	struct map places;
	struct intern texts;	     /* what rows hold alike */
	struct cluster_hosts *hosts; /* NULL: no ServiceEntry yet */
	struct op *ops;		     /* under way */
	unsigned in_flight;
	struct window window; /* of in_flight */
	struct pace pace;     /* of writes */
	uv_timer_t pace_timer;
	struct backoff backoff;
	int64_t paused_until_ms; /* nothing is sent before */
	uv_timer_t timer;
	bool refused;  /* requests fail, and that was said */
	unsigned sick; /* of places, and the two below */
	bool away;     /* one of the two, and that was said */
	char away_why[KUBE_STATUS_WHY_BYTES];
	uv_timer_t back_timer; /* it may be back, if nothing fails before this is over */
	bool parent_sick, lease_sick;
	struct kube_status parent_trouble, lease_trouble; /* KUBE_OK: none */
	unsigned loading; /* places that must be listed before it begins */
	bool loaded, ready;
	bool wants_lead; /* there is something to write */
	bool rests;	 /* there is not any more: the lease is to be given back */
	bool hurried, stopping, stopped;
	uv_timer_t stop_timer;
	int open_handles;
};

/* All that is sent waits so long when the server is away. */
#define CLUSTER_PAUSE_MIN_MS 200
#define CLUSTER_PAUSE_MAX_MS 5000

/* cluster_set.c */
void cluster_open_set(struct cluster *c);
bool cluster_leads(const struct cluster *c);

/* Nobody waits any more: what will not be had is the end. */
void cluster_hurry_set(struct cluster *c);

/* Tells that all has ended. */
void cluster_stopped(struct cluster *c);

/* One of `loading` is done. */
void cluster_place_loaded(struct cluster *c);

/* Nobody else writes the set, by what is known now: to be asked before each write. */
bool cluster_may_write(const struct cluster *c);

/* cluster_remove.c: the set's ConfigMap goes, then cluster_release; its Lease, then cluster_stopped. */
void cluster_remove_parent(struct cluster *c);
void cluster_remove_lease(struct cluster *c);
void cluster_drop_removal(struct cluster *c);

/* cluster_health.c */
void cluster_changed(struct cluster *c);
void cluster_fatal(struct cluster *c, const struct kube_status *status, const char *what);

/* It is not about what was asked for: all that is asked for will fail like this. */
bool cluster_is_of_the_server(const struct kube_status *status);

/* May a request of the window be sent now? If not, cluster_changed comes when it may. */
bool cluster_has_room(struct cluster *c);

/* One is: a write takes a token of --qps. Returns its number, for cluster_later. */
uint64_t cluster_sends(struct cluster *c, bool write);

/* An answer says that the server is well, or at least there, or that everybody has to wait. */
void cluster_well(struct cluster *c);
void cluster_answers(struct cluster *c);
void cluster_later(struct cluster *c, const struct kube_status *status, uint64_t number);

/* One of those that read goes wrong, by `*which`, or with a status of NULL is well again. */
void cluster_set_sick(struct cluster *c, bool *which, const struct kube_status *status);

/* cluster.c: after each thing that target_stop waits for, and after each operation. */
void cluster_check_stopped(struct cluster *c);
void cluster_check_rest(struct cluster *c);

/* Nothing is written any more. */
void cluster_release(struct cluster *c);

/* cluster_place.c */
enum place_state { PLACE_SOUGHT, PLACE_LISTING, PLACE_READY };

struct parked {
	struct plan_object *object;
	struct parked *next;
};

struct place {
	struct cluster *cluster;
	char *bytes;	 /* group, kind, namespace with their NULs: the key in the map */
	struct map rows; /* by name */
	const char *group, *kind, *namespace; /* point into bytes */
	char *api_version, *plural;	      /* NULL until found */
	bool uncounted;			      /* its objects have no generation */
	enum place_state state;
	bool initial; /* the start waits for it */
	int64_t opened_ms;
	struct discovery *discovery;
	struct reflector *reflector;
	bool sick; /* the server does not let it be sought, listed or watched */
	uv_timer_t timer;
	struct backoff backoff;
	char *held; /* why nothing is written here; NULL: it is */
	enum kube_verdict held_by;
	int64_t held_ms; /* since */
	bool held_said;
	bool probe;    /* the next operation is let through to see */
	bool last_try; /* is under way: nobody waits for another */
	struct parked *parked;
	uint32_t serial; /* of the list under way */
};

/* `version` ("v1") is used when it is new; NULL: what the server prefers. */
struct place *place_get(struct cluster *c, const char *group, const char *kind,
	const char *namespace, const char *version, bool initial);
void place_free(struct place *p);

/* NULL when there is none yet. */
struct place *place_find(const struct cluster *c, const struct object_id *id);

/* How it is called is looked for. */
void place_seek(struct place *p);

/* cluster_hold.c */
/* May an operation be sent? Else it is parked, or refused where nobody waits any more. */
bool place_lets_in(struct place *p, struct plan_object *object);

/* Nothing is written here until it works: parked are those that come. */
void place_hold(struct place *p, const struct kube_status *status);
void place_works(struct place *p);
void place_say_held(struct place *p);

/* To what is parked; the parent may cover it now. */
void place_answer_parked(struct place *p, enum plan_outcome outcome, const char *error);
void place_release_parked(struct place *p);
void place_hurry(struct place *p);

/* It is tried again after a growing pause, or at once. */
void place_wait_longer(struct place *p, int64_t at_least_ms);
void place_retry(struct place *p);

/* cluster_row.c */
/* What the watch says of an object while an operation on it is under way. */
struct pending {
	struct live live; /* its uid is NULL: it is gone */
	char *gone_uid;	  /* of what is gone; NULL: whichever */
};

/* There are tens of thousands of them: what is the same in many is held by the texts. */
struct row {
	struct place *place;
	struct op *op;		 /* under way */
	struct pending *pending; /* NULL: nothing */
	char *uid, *version;
	char *applied_version; /* that our last write made, where there are no generations */
	int64_t generation, applied_generation;
	uint64_t body_hash, spec_hash;
	const char *source, *key; /* NULL: unknown */
	uint64_t *words;
	/* What of the desired state can be seen in `words`; known once it was said or written. */
	uint64_t *wanted;
	uint64_t wanted_hash; /* of the body that `wanted` is of; 0: unknown */
	int64_t repaired_ms;  /* when what others did to it was last repaired */
	char *rival;	      /* in words, who undoes that; NULL: not asked for */
	uint32_t serial;      /* of the last list that had it, or during which it was written */
	uint32_t repairs;     /* in a row */
	uint16_t conflicts;   /* since it was last written */
	uint16_t delays;      /* answers by which all had to wait, since it was last written */
	bool exists;
	bool dying; /* is being deleted */
	bool labelled, has_owner, hands_off;
	bool in_sync; /* as it was applied */
	char name[];  /* the key in the map */
};

struct row *row_get(struct place *p, const char *name);

/* NULL when nothing is known of it. */
struct row *row_find(const struct cluster *c, const struct object_id *id);

/* A reflector's `knows`, of a struct place: its row is of this version. */
bool row_is_known(void *place, const char *name, size_t len, const char *version);

/* Owned by the caller. */
struct object_id row_id(const struct row *r);
void row_free(struct row *r);

/* What the API server has: from a list, a watch or an answer. Takes the contents of `l` over. */
void row_take(struct row *r, struct live *l, bool listed);

/* It is not there (any more); `uid` NULL: whichever. May free it. */
void row_gone(struct row *r, const char *uid);

/* Its operation is over: what came meanwhile counts now. May free it. */
void row_settle(struct row *r);

/* It was applied, and this is what came of it. False when the server had it so already. */
bool row_written(struct row *r, struct live *l, struct op *op);

/* cluster_fight.c: somebody has undone what we wrote, and it is to be written once more. */
void row_count_repair(struct row *r);

/* Until when it is left, because somebody changes it back again and again; 0: it is not. */
int64_t row_fought_until_ms(const struct row *r);

/* The desired state is about to be said: is that what can be seen? */
void row_said(struct row *r, const char *source, const char *key, const struct manifest *m);

/* cluster_hosts.c: a place is listed, so it may be one that others have objects of. */
void cluster_hosts_look(struct place *p);
void cluster_hosts_close(struct cluster *c);

/* An object is to be like this; it is on the server; it is not any more. For any kind. */
void cluster_hosts_said(
	struct cluster *c, const struct object_id *id, const char *body, uint64_t hash);
void cluster_hosts_written(const struct row *r, const char *body, uint64_t hash);
void cluster_hosts_here(const struct row *r);
void cluster_hosts_gone(const struct row *r);

/* False when those of others cannot be seen (yet). */
bool cluster_hosts_count(const struct cluster *c, size_t *ret_pairs);

/* cluster_op.c */
struct op {
	struct op *prev, *next;
	struct cluster *cluster;
	struct row *row;
	struct plan_object *object;
	bool delete;
	char *api_version, *source, *key;
	char *desired; /* body as the plan gave it */
	uint64_t hash;
	uint64_t spec_hash;
	int64_t generation;
	struct word_hashes words;
	unsigned corrections;
	char *rehearsed; /* answer of a dry run, to be compared with what is there; NULL */
	struct seen {
		char *uid, *version;
		int64_t generation;
	} seen; /* what is to be taken over; its uid is NULL: nothing */
	bool adopted;
	struct kube_call *call;
	uint64_t number; /* of the request in the window */
};

void op_start(struct row *r, const struct plan_op *what);

/* What cluster_fight.c needs of it. */
struct op *op_open(struct row *r, const struct plan_op *what);
void op_send(struct op *op, const char *method, const char *query, const char *body,
	const char *content_type, void (*on_answer)(void *, const struct kube_answer *));
void op_later(struct op *op, int64_t at_ms, const char *error);
void op_fail(struct op *op, const struct kube_status *status);
void op_well(const struct op *op);
void op_finish(struct op *op, enum plan_outcome outcome, const char *error);
void op_not_written(struct op *op, const struct kube_answer *answer);

/* cluster_delete.c */
void op_delete(struct op *op);
/* Why it is not ours to delete, although the plan has it under a key of ours; NULL: it is. */
const char *op_why_kept(const struct row *row);

/* cluster_rehearse.c: a dry run, and how what is there compares with it. */
bool op_is_rehearsal(const struct op *op);
void op_on_rehearsed(void *arg, const struct kube_answer *answer);
void op_compare(struct op *op);

/* cluster_fight.c: leaves it for a while, and says who changes it back; who that is it asks once. */
void op_leave(struct row *r, const struct plan_op *what);

/* Leadership was lost, or time is up: the plan decides anew later. */
void op_abandon_all(struct cluster *c);

/* Without a word to anybody. */
void op_drop_all(struct cluster *c);

#endif
