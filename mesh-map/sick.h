/*
 * sick: services whose record killed a worker, what it was, and when it is tried again.
 *
 * Their records go to no worker that others wait for. The pauses grow from two
 * seconds to ten minutes, and last until the service is mapped again.
 */
#ifndef MESH_MAP_SICK_H
#define MESH_MAP_SICK_H

#include "lib/backoff.h"
#include "mesh-map/item.h"

struct sick {
	char *subject, *source;
	char *why;  /* it died the last time */
	char *text; /* the last record, to be tried again; NULL: waits for the next one */
	size_t len;
	long long line;
	int64_t due_ms; /* steady clock */
	struct backoff pause;
	struct sick *next;
};

struct sick_list {
	struct sick *first;
	size_t bytes; /* of all texts */
	size_t count;
};

struct sick *sick_find(const struct sick_list *l, const char *subject);

/* One more death: notes the record (copied) and the reason, and lets the pause grow. */
void sick_died(struct sick_list *l, const struct item *item, const char *why);

/* A newer record of one that is known; the pause stays. */
void sick_renew(struct sick_list *l, struct sick *s, const struct item *item);

void sick_forget(struct sick_list *l, const char *subject);

/* A newer record of it is on its way here; the pause stays. */
void sick_forget_text(struct sick_list *l, const char *subject);

/* A snapshot begins: what it does not name is gone, and is not tried again. */
void sick_forget_texts(struct sick_list *l, const char *source);

/* The next one to try; NULL when there is none yet. */
struct sick *sick_due(const struct sick_list *l, int64_t now_ms);

/* The snapshot ends: those of the source that still have nothing to try are gone. */
void sick_forget_unnamed(struct sick_list *l, const char *source);

void sick_release(struct sick_list *l);

#endif
