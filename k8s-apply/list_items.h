/*
 * list_items: the items of a list, one by one, as slices of its text.
 *
 * A page of a list is some megabytes of JSON; as one tree it would take ten times that, and what
 * the process takes at its start it never gives back. So it is cut along its brackets, and each
 * item becomes a tree of its own.
 */
#ifndef MESHPIPE_LIST_ITEMS_H
#define MESHPIPE_LIST_ITEMS_H

#include "lib/buf.h"
#include "lib/jvx.h"

struct list_items {
	const char *at, *end;
	const char *text, *items, *rest; /* the list; its items begin; what is after them */
};

/* False: it is no JSON object with an array `items`, or null. The text must stay. */
bool list_items_open(struct list_items *l, const char *text, size_t len) NODISCARD;

/* 1 and a value that is owned, 0 when there are no more, or -1 and an error. */
int list_items_next(struct list_items *l, jv *ret, struct err *err) NODISCARD;

/* After the last: all that is not an item, with `items` empty or null. Invalid on error. Owned. */
jv list_items_rest(const struct list_items *l, struct err *err) NODISCARD;

#endif
