/*
 * pool: lines in, answers out, in the order of the lines, by several workers.
 *
 * One list holds the lines that are under way, so that a slow reader or a slow
 * program stops the input and not the memory. What comes out keeps the order
 * of what went in, whatever worker it took: the same input gives the same
 * bytes. The exception: others pass a line that has been in hand for a second,
 * unless a barrier (start, gone, synced) stands between.
 *
 * A line that kills its worker is answered with the reason (`died`) and tried
 * again later in a worker of its own; see sick.h.
 */
#ifndef MESH_MAP_POOL_H
#define MESH_MAP_POOL_H

#include <uv.h>

#include "mesh-map/item.h"
#include "mesh-map/worker.h"

struct pool_config {
	unsigned jobs;
	struct worker_limits limits;
	/* The next item is done (borrowed). False when it cannot be taken now: call pool_flush(). */
	bool (*on_done)(void *arg, struct item *item);
	/* Something moved: there may be room, or the pool may be empty. */
	void (*on_progress)(void *arg);
	/* No worker can be started. */
	void (*on_failed)(void *arg, const struct err *err);
	void *arg;
};

struct pool;

/* `m` is handed over. */
struct pool *pool_open(
	uv_loop_t *loop, const struct pool_config *config, struct mapping *m) NODISCARD;

/* Ends all workers. What was not done is lost. */
void pool_close(struct pool *p);

/* Takes an item over. Whoever finds pool_full() waits for on_progress. */
void pool_add(struct pool *p, struct item *item);
bool pool_full(const struct pool *p);
bool pool_empty(const struct pool *p);

/* Hands out what is done, as far as it is taken. */
void pool_flush(struct pool *p);

/* Other programs for all lines that no worker has yet. `m` is handed over. */
void pool_reload(struct pool *p, struct mapping *m);

#endif
