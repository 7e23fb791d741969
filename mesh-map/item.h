/*
 * item: a line of input on its way through, and what became of it.
 */
#ifndef MESH_MAP_ITEM_H
#define MESH_MAP_ITEM_H

#include "lib/base.h"

enum item_kind {
	ITEM_SERVICE, /* the only kind that goes to a worker; the others wait for their turn */
	ITEM_GONE,
	ITEM_START,
	ITEM_SYNCED,
	ITEM_PASS,
	ITEM_BAD, /* no record: `problem` says why */
};

enum item_state {
	ITEM_QUEUED, /* for a worker */
	ITEM_GIVEN,  /* to one */
	ITEM_DONE,
};

/* All strings are the item's. */
struct item {
	enum item_kind kind;
	enum item_state state;
	long long line;		/* its number */
	char *source, *subject; /* subject: "source/service". NULL where there are none */
	uint64_t hash;		/* of subject */
	char *text;		/* the line; NULL where its answer is all that is needed */
	size_t len;
	char *answer; /* what to write; NULL when there is nothing or `died` */
	size_t answer_len;
	char *problem; /* what is to be said of it, or NULL */
	bool died;     /* `problem` is how it killed its worker */
	unsigned objects, kept;
	int64_t took_us;
	int64_t in_hand_ms; /* since when a worker is at it, steady clock; 0: none is */
	struct item *next;
};

/* Copies the text (NULL: there is none). ITEM_SERVICE is queued, others are done. */
struct item *item_new(enum item_kind kind, long long line, const char *text, size_t len) NODISCARD;
void item_free(struct item *item);

/* A worker is at it for long: it is passed by others. */
bool item_is_late(const struct item *item);

/* Names whose record it is. */
void item_name(struct item *item, const char *source, size_t source_len, const char *service,
	size_t service_len);

#endif
