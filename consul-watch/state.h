/*
 * state: what the parts of the watcher share. For consul-watch/watch.c (the
 * connection and the list), source.c (what it is called), services.c (whose turn
 * it is), read.c (one service) and say.c (records) only.
 */
#ifndef MESHPIPE_CONSUL_STATE_H
#define MESHPIPE_CONSUL_STATE_H

#include <sys/queue.h>

#include "consul-watch/pace.h"
#include "consul-watch/watch.h"
#include "lib/backoff.h"

/* A wait that ended this much before its time did not run out. */
#define EARLY_SLACK_MS 500

enum watch_state { WATCH_CONNECTING, WATCH_CONNECTED, WATCH_DISCONNECTED, WATCH_UNAUTHORIZED };

struct service {
	TAILQ_ENTRY(service) all;
	TAILQ_ENTRY(service) reads; /* waits for its turn to be read */
	TAILQ_ENTRY(service) due;   /* waits for its time */
	TAILQ_ENTRY(service) dirty; /* waits to be said */
	struct watch *watch;
	char *name;
	char *path; /* of its query */

	/* What Consul says. */
	bool listed;   /* in the list of services */
	int count;     /* entries of the content that was taken last */
	bool filtered; /* by ACLs, when it was read last */
	bool left_out; /* nothing but proxies and the like */
	bool unwatchable;
	bool troubled;	      /* its reads fail, and that was said */
	unsigned empties;     /* confirmed lists with it, answers without an instance */
	int64_t empty_ms;     /* when that was counted last */
	uint64_t index;	      /* of the last answer */
	uint64_t read_index;  /* of the last answer that was not a blocking one */
	uint64_t taken_index; /* of the content that was taken last */

	/* What goes on. */
	bool in_reads, in_due, in_dirty;
	bool reading, blocking;
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

struct watch {
	uv_loop_t *loop;
	struct consul *consul;
	struct out *out;
	struct watch_config config;
	watch_end_fn on_end;
	void *on_end_arg;
	bool ended, closed;

	char *source, *scope;
	char *source_json; /* source as a JSON string */
	enum watch_state state;
	char error[640];
	struct backoff backoff;
	int64_t lost_ms; /* when the catalogue could not be read, the last time */
	uv_timer_t list_timer, due_timer, tick_timer, deadline_timer;
	unsigned open_timers; /* closing the watch waits for them */

	/* The list of services. */
	bool list_running, confirm_running, confirm_again;
	bool have_list, had_consul, was_filtered;
	uint64_t list_index;
	int64_t confirmed_ms; /* when a confirming read was taken last */
	struct pace list_pace, confirm_pace;
	int64_t wait_ms; /* as configured, or less where the server waits less */
	int64_t last_early_ms;

	/* The services. */
	void *by_name; /* tsearch(3) tree, by name without regard to ASCII case */
	struct service_list all, reads, due, dirty;
	size_t services; /* without the dead ones */
	size_t reads_running, blocks_running;
	bool multiplexed;
	bool sweeping; /* over the budget */
	bool sweep_hinted;
	int64_t sweep_started_ms;
	struct service *resync_next;
	int64_t resync_started_ms;
	bool resyncing;

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
int watch_ask(struct watch *w, const char *path, uint64_t index,
	enum consul_consistency consistency,
	void (*on_answer)(void *, const struct consul_answer *));
/* Reads the list once more, consistently, to see what is really gone. */
void watch_confirm(struct watch *w);
/* The catalogue cannot be read: everything waits, and one query tries again with growing pauses. */
void watch_lose(struct watch *w, const struct consul_answer *answer);
/* Asks for the list, or for the source while that is unknown, after a pause. */
void watch_later(struct watch *w, int64_t wait_ms);
/* A failed query ends a `once` that does not wait. */
void watch_failed(struct watch *w, const struct consul_answer *answer);
void watch_end(struct watch *w, const struct err *err);

/* source.c */
/* Sets source and scope, by asking for the datacenter if need be; the list is asked for then. */
void watch_find_source(struct watch *w);

/* services.c */
void services_init(struct watch *w);
void services_release(struct watch *w);
/* The one of that name, made and queued for reading when it is new. NULL when it cannot be watched. */
struct service *services_add(struct watch *w, const char *name);
/* How many blocking queries on services may stand at once. */
size_t services_capacity(const struct watch *w);
/* Chooses between a query on each service and sweeps. */
void services_choose(struct watch *w);
/* Starts a sweep soon if services are swept: something changed. */
void services_hint(struct watch *w);
/* Has every service read without waiting. */
void services_refresh(struct watch *w, bool say_again);
/* Drops what waits for its turn or time: consul is away. */
void services_pause(struct watch *w);
/* Once a second: sweeps, the spread resync, deregistered services. */
void services_tick(struct watch *w);
/* The timer of the services that wait for their time. */
void services_on_due(uv_timer_t *timer);
/* Has the service read, or its blocking query started again, after a pause. */
void service_come_back(struct service *s, int64_t wait_ms, bool read);
/* Frees a dead service that nothing refers to any more. */
void service_reap(struct service *s);

/* read.c */
/* Queues a read without waiting; once more when one is under way. */
void service_read(struct service *s);
/* Starts the blocking query, if there is a connection for it. */
void service_block(struct service *s);

/* say.c */
void say_snapshot(struct watch *w);
void say_status(struct watch *w);
void say_service(struct service *s, const struct consul_answer *answer, jv instances);
/* Left to the next watch_flush(), which frees it and maybe others: not while walking a list. */
void say_gone(struct service *s);
/* The open snapshot will not get it. */
void say_not_owed(struct service *s);

#endif
