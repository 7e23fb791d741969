/*
 * slot: a place for a worker, on the loop: the lines that it has, and since when.
 */
#ifndef MESH_MAP_SLOT_H
#define MESH_MAP_SLOT_H

#include <uv.h>

#include "mesh-map/item.h"
#include "mesh-map/worker.h"

/* Lines that a worker has at once, so that it need not wait for the next one. */
#define SLOT_MAX_ITEMS 8
#define SLOT_MAX_BYTES (256u << 10)

/* A record may take the time limit, and once more for each of these. */
#define SLOT_COMMON_BYTES (1u << 20)

struct slot;

struct slot_handler {
	/* The answer to the first of its lines, which it has no more. */
	void (*on_answer)(
		void *arg, struct slot *s, struct item *item, const struct answer *answer);
	/*
	 * The worker is gone; its lines are queued again. `item` (NULL: none) killed it, for `why`.
	 */
	void (*on_gone)(void *arg, struct slot *s, struct item *item, const char *why);
	void *arg;
};

struct slot {
	uv_loop_t *loop;
	const struct slot_handler *handler;
	const struct worker_limits *limits;
	struct worker worker;
	uv_poll_t *poll;		   /* NULL: there is no worker */
	struct item *item[SLOT_MAX_ITEMS]; /* borrowed; the first is in hand; NULL: taken back */
	unsigned n_items;
	unsigned n_sent;
	size_t offset; /* of the one being sent */
	size_t bytes;
	int64_t began_cpu_ms; /* when the first was taken in hand */
	bool old;	      /* gets no more lines, and ends when it has none left */
};

void slot_init(struct slot *s, uv_loop_t *loop, const struct slot_handler *handler,
	const struct worker_limits *limits);

/* Needs no worker yet; gets one from `m`. */
int slot_start(struct slot *s, struct mapping *m, struct err *err) NODISCARD;
bool slot_is_up(const struct slot *s);

/* Room for another line of `len` bytes: never when old or not up. */
bool slot_has_room(const struct slot *s, size_t len);
bool slot_has(const struct slot *s, uint64_t hash, const char *subject);
void slot_give(struct slot *s, struct item *item);

/* The line in hand takes long, and all behind it wait. */
bool slot_is_late(const struct slot *s);

/* Queues again what waits behind the line in hand, but for lines of the same service. */
void slot_take_back(struct slot *s);

/* Ends the worker as soon as it has no lines. */
void slot_retire(struct slot *s);

/* Ends the worker now; its lines are queued again. No callback. */
void slot_end(struct slot *s);

/* Kills a worker whose line takes longer than that part of the limit: on_gone. */
void slot_check(struct slot *s, int part);

#endif
