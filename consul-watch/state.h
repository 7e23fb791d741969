/*
 * state: what the parts of the watcher share. For the files of consul-watch/
 * that follow a catalogue only: watch.c (the connection), list.c (the list of
 * services), source.c (what it is called), services.c (the table, whose turn it
 * is), read.c (asking for one service), take.c (what an answer means), fewer.c
 * (fewer instances than before), places.c (where instances are), triggers.c and sweep.c (more services than connections)
 * and say.c (records).
 */
#ifndef MESHPIPE_CONSUL_STATE_H
#define MESHPIPE_CONSUL_STATE_H

#include <sys/queue.h>

#include "consul-watch/watch.h"
#include "lib/backoff.h"
#include "lib/pace.h"

#define TICK_MS	  1000
#define LIST_PATH "/v1/catalog/services"

enum watch_state { WATCH_CONNECTING, WATCH_CONNECTED, WATCH_DISCONNECTED, WATCH_UNAUTHORIZED };

/* An instance: (node, service id) belongs to one service at a time. */
struct place {
	LIST_ENTRY(place) of_service;
	struct service *service;
	uint64_t uid;	/* as in the records */
	uint64_t node;	/* places_hash_node() */
	uint64_t index; /* of the answer that had it last */
	bool seen;	/* in the answer that is being taken */
	bool missing;	/* not in the last answer that was doubted, and neither was its node seen */
};

LIST_HEAD(place_list, place);

struct service {
	TAILQ_ENTRY(service) all;
	TAILQ_ENTRY(service) reads; /* waits for its turn to be read */
	TAILQ_ENTRY(service) waits; /* waits for a place among the blocking queries */
	TAILQ_ENTRY(service) due;   /* waits for its time */
	TAILQ_ENTRY(service) dirty; /* waits to be said */
	struct watch *watch;
	char *name;
	char *path; /* of its query */

	/* What Consul says. */
	bool listed;   /* in the list of services */
	bool hidden;   /* by ACLs, for all we know: it keeps its last state */
	bool filtered; /* by ACLs, when it was read last */
	bool left_out; /* nothing in it is selected */
	bool misnamed; /* a check of it has another service's name, whose index moves for it */
	bool unwatchable;
	bool troubled;	       /* its reads fail, and that was said */
	int64_t failed_ms;     /* when the first of them did */
	int count;	       /* entries of the content that was taken last */
	unsigned empties;      /* confirmed lists with it, answers without an instance */
	int64_t empty_ms;      /* when that was counted last */
	uint64_t index;	       /* of the last answer */
	uint64_t read_index;   /* of the last answer that was not a blocking one */
	uint64_t taken_index;  /* of the content that was taken last */
	uint64_t body_hash;    /* of that content, 0 when it must be parsed again */
	uint64_t empty_index;  /* of a read without instances that is being looked into */
	uint64_t list_index;   /* of the list before that */
	uint64_t gone_index;   /* with this one it has no instance, and is not just hidden */
	uint64_t tie_index;    /* that did not tell; 0 when it is known to be hidden, or not */
	uint64_t behind_index; /* lower than that of what does not exist */
	int64_t tie_ms;
	uint64_t fewer_asked; /* body_hash of fewer instances that are being looked into, or 0 */
	uint64_t fewer_hash;  /* that of those that are proven to be all */
	uint64_t tags_hash;   /* of its tags in the list; 0: unknown */
	unsigned in_list;     /* list_count of the watch when a list had it last */
	struct place_list places;

	/* What goes on. */
	bool in_reads, in_waits, in_due, in_dirty;
	bool reading, blocking, probing, comparing;
	bool read_behind;		 /* a read was asked for while one was running */
	bool doubtful;			 /* the next read must be a consistent one */
	enum consul_consistency read_as; /* the running read */
	bool due_read;			 /* when due: read; else block */
	int64_t due_ms;
	int64_t block_started_ms, read_ended_ms;
	uint64_t asked_index;
	struct pace pace;
	struct backoff backoff;

	/* What was said, and what is to be said. */
	bool said;	/* at least once */
	bool say_again; /* also when the content is the same */
	bool owed;	/* the open snapshot lacks it */
	bool counted;	/* the open snapshot has it */
	bool gone;	/* the waiting record is a `gone` */
	bool dead;	/* `gone` was said: freed when nothing refers to it */
	uint64_t hash;	/* of the content said or waiting */
	char *line;	/* the waiting record, NULL for `gone` */
	char *last;	/* instances_last() of the last content with one, as JSON; or NULL */
	int64_t empty_since_ms; /* 0: has instances */
};

TAILQ_HEAD(service_list, service);

/* Over the budget: what wakes when something in the catalogue changed. See triggers.c. */
#define TRIGGERS 4

struct trigger {
	struct watch *watch;
	const struct trigger_kind *kind;
	uv_timer_t timer;
	bool running;
	bool armed;	/* has been answered since the catalogue was lost last */
	uint64_t index; /* for the next query */
	struct pace pace;
	struct backoff backoff;
	struct trigger_item *items; /* what its last answer named, sorted */
	size_t count;
};

struct watch {
	uv_loop_t *loop;
	struct consul *consul;
	struct out *out;
	struct watch_config config;
	watch_end_fn on_end;
	void *on_end_arg;
	bool ended, closed;

	char *source, *scope;
	char *source_json;	      /* source as a JSON string */
	bool datacenter_known, tried; /* to the server */
	bool begun; /* the source is known, and the server takes what was asked for */
	enum watch_state state;
	char error[640];
	struct backoff backoff;
	int64_t opened_ms;
	int64_t lost_ms; /* when the catalogue could not be read, the last time */
	int64_t tick_ms; /* when the last tick was */
	uv_timer_t list_timer, due_timer, tick_timer, deadline_timer, sweep_timer;
	unsigned open_timers; /* closing the watch waits for them */

	/* The list of services. */
	bool list_running, confirm_running, confirm_again;
	int64_t question_ms; /* since when a confirmation runs, or is to */
	bool have_list, had_consul;
	bool acls_off;	     /* access control is not in use: nothing is ever hidden */
	bool tells_filtered; /* an answer said that access control took something from it */
	bool asking_nodes;   /* for a service with fewer instances: see fewer.c */
	bool ended_once;     /* some service did: see is_proven_gone() */
	size_t lost;	     /* services that the last confirming read lacked newly */
	bool asking_acls;    /* whether access control is in use is being asked */
	int64_t acls_asked_ms;
	uint64_t list_index, list_hash;
	unsigned list_count;  /* of the lists that were taken */
	int64_t confirmed_ms; /* when a confirming read was taken last */
	struct pace list_pace, confirm_pace;
	struct backoff crowded; /* while there is no connection for the list */
	int64_t server_wait_ms; /* what this server waits at most; 0: as long as it is asked to */
	int64_t last_early_ms;

	/* The services. */
	void *by_name; /* tsearch(3) tree, by name without regard to ASCII case */
	void *places;  /* tsearch(3) tree, by uid */
	struct service_list all, reads, waits, due, dirty;
	size_t services;     /* without the dead ones */
	size_t hidden;	     /* of them */
	bool hidden_changed; /* to be said */
	bool hidden_said;
	int64_t hidden_ms; /* since when there are hidden ones */
	size_t reads_running, blocks_running;
	size_t max_reads; /* at once: fewer while consul limits our requests */
	size_t good_reads;
	int64_t slow_until_ms;
	struct backoff slow;
	bool slow_said;
	bool multiplexed;
	struct service *resync_next;
	int64_t resync_started_ms;
	bool resyncing;

	/* Over the budget. */
	bool sweeping;
	bool over_said;
	bool sweep_hinted, sweep_running;
	struct pace sweep_pace;
	struct service *sweep_next; /* to be probed */
	struct service *audit_next; /* to be read although nothing tells of a change */
	size_t probes_running;
	struct trigger triggers[TRIGGERS];
	size_t triggers_running;

	/* The records. */
	unsigned snapshot;
	char snapshot_id[32];
	bool snapshot_open, say_start, say_status;
	size_t owed, counted;
	int64_t beat_ms;
	struct {
		unsigned long long queries, errors, records, changes;
	} counters;
};

/* watch.c */
bool watch_is_connected(const struct watch *w);
/* Fills in the catalogue and the wait. */
int watch_ask(struct watch *w, struct consul_query *query);
/* The connections that there may be now. */
size_t watch_connections(const struct watch *w);
/* How long a blocking query may stand now. */
int64_t watch_wait_ms(const struct watch *w);
/* Until a failed query is asked again: no sooner than the agent asks for. */
int64_t watch_pause_ms(
	const struct watch *w, struct backoff *backoff, const struct consul_answer *answer);
/* The catalogue cannot be read: everything waits, and one query tries again with growing pauses. */
void watch_lose(struct watch *w, const struct consul_answer *answer);
void watch_set_state(struct watch *w, enum watch_state state, const char *error);
/* Asks for the list, or what comes before it, after a pause. */
void watch_later(struct watch *w, int64_t wait_ms);
/* A failed query ends a `once` that does not wait. */
void watch_failed(struct watch *w, const struct consul_answer *answer);
void watch_end(struct watch *w, const struct err *err);

/* list.c */
void list_ask(struct watch *w);
/* Reads the list once more, consistently, to see what is really gone. */
void list_confirm(struct watch *w);
/* Whether it is being found out if consul is there at all; not for ever. */
bool list_is_in_question(const struct watch *w);
/* Once a second: a confirmation that had to wait. */
void list_tick(struct watch *w);

/* source.c */
/*
 * Sets source and scope, by asking for the datacenter if need be, and has the
 * server confirm datacenter and filter; the list is asked for then. Ends the
 * watch with EXIT_CONFIG when the server knows no such datacenter or filter.
 */
void watch_find_source(struct watch *w);

/* services.c */
void services_init(struct watch *w);
void services_release(struct watch *w);
/* The one of that name, made and queued for reading when it is new. NULL when it cannot be watched. */
struct service *services_add(struct watch *w, const char *name);
/* NULL when there is none. */
struct service *services_find(struct watch *w, const char *name);
/* How many blocking queries on services may stand at once; now: while the process is young, fewer. */
size_t services_capacity(const struct watch *w);
size_t services_capacity_now(const struct watch *w);
/* Chooses between a query on each service and sweeps. */
void services_choose(struct watch *w);
/* Has every service read without waiting. */
void services_refresh(struct watch *w, bool say_again);
/* Drops what waits for its turn or time: consul is away. */
void services_pause(struct watch *w);
/* Those without an instance for long enough, right after a list that lacks them was confirmed. */
void services_say_gone(struct watch *w);
/* Once a second: the spread resync, services that may be gone. */
void services_tick(struct watch *w);
/* The timer of the services that wait for their time. */
void services_on_due(uv_timer_t *timer);
/* Has the service read, or its blocking query started again, after a pause. */
void service_come_back(struct service *s, int64_t wait_ms, bool read);
/* Frees a dead service that nothing refers to any more. */
void service_reap(struct service *s);

/* read.c */
void reads_init(struct watch *w);
/* Queues a read without waiting; once more when one is under way. */
void service_read(struct service *s);
/* Starts the blocking query, as soon as there is a connection for it. */
void service_block(struct service *s);
/* Starts what is queued, as far as there are connections. */
void reads_start(struct watch *w);
/* Once a second. */
void reads_tick(struct watch *w);
/* Consul limits our requests: all wait for a while, and fewer go out at once. */
void reads_slow_down(struct watch *w, const struct consul_answer *answer);
/* Connections that are neither in use nor kept for the list. */
size_t reads_room(const struct watch *w);

/* take.c */
/* Once a second: says what is hidden. */
void take_tick(struct watch *w);
/* Returns false when the answer settled nothing. `was_read`: it answers no blocking query. */
bool take_answer(struct service *s, const struct consul_answer *answer, bool was_read);
/* An answer that cannot be used: asked again later, unless that is useless. */
void take_failure(struct service *s, const struct consul_answer *answer, const char *error);
/* As long as repeated failures ask for, and no sooner than the pace allows. */
int64_t take_pause_ms(struct service *s, const struct consul_answer *answer);
/* Access control may have taken something from it: it keeps its last state, and is read again. */
void take_hidden(struct service *s, const struct consul_answer *answer);

/* fewer.c */
/* Is it shown that the instances of this answer are all that there are? */
bool fewer_is_proven(const struct service *s, const struct consul_answer *answer);
/* Looks whether that can be shown, and has the service read again if so; else it is hidden. */
void fewer_ask(struct service *s, const struct consul_answer *answer, jv instances);

/* places.c */
/* Remembers where the service's instances are. One that was another's is taken from it. */
void places_take(struct service *s, jv instances, uint64_t index);
void places_drop(struct service *s);
/* Marks those that are not among the instances, and returns how many they are. */
size_t places_miss(struct service *s, jv instances);
/* Takes the mark from those on that node. */
void places_find_node(struct service *s, uint64_t node);
/* How many are marked. */
size_t places_missing(const struct service *s);
/* The same for the same name in any case. */
uint64_t places_hash_node(const char *node);
/* Has every service with an instance on the node read. False when there is none. */
bool places_read_node(struct watch *w, uint64_t node);

/* triggers.c */
void triggers_init(struct watch *w);
void triggers_release(struct watch *w);
/* Starts those that do not stand; sweeps are what they lead to. */
void triggers_start(struct watch *w);
void triggers_forget(struct watch *w);
/* Nothing changes without one of them waking. */
bool triggers_stand(const struct watch *w);

/* sweep.c */
/* Something changed, and it is not known where. Does nothing unless services are swept. */
void sweep_hint(struct watch *w);
/* Goes on with the sweep that is running, as far as there are connections. */
void sweep_go_on(struct watch *w);
void sweep_stop(struct watch *w);
/* Once a second. */
void sweep_tick(struct watch *w);
void sweep_on_timer(uv_timer_t *timer);
/* The service is going to be freed. */
void sweep_forget(struct service *s);

/* say.c */
void say_snapshot(struct watch *w);
void say_status(struct watch *w);
void say_service(struct service *s, const struct consul_answer *answer, jv instances);
/* Left to the next watch_flush(), which frees it and maybe others: not while walking a list. */
void say_gone(struct service *s);
/* The open snapshot will not get it. */
void say_not_owed(struct service *s);

#endif
