/*
 * map: a hash table from byte strings to pointers.
 *
 * It copies nothing: the key bytes must live as long as the entry, usually
 * inside what the value points to.
 */
#ifndef MESHPIPE_MAP_H
#define MESHPIPE_MAP_H

#include "lib/base.h"

struct map_slot {
	const void *key; /* NULL: free; points into the value */
	uint32_t len;
	uint32_t hash; /* the lower half */
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
};

#define MAP_INIT                                                                                   \
	{                                                                                          \
		.slots = NULL                                                                      \
	}

void map_release(struct map *m);

/* NULL when there is none. */
void *map_get(const struct map *m, const void *key, size_t len);

/* The key must not be there yet. */
void map_add(struct map *m, const void *key, size_t len, void *value);

void map_remove(struct map *m, const void *key, size_t len);

/* Walks in no particular order: *pos starts at 0; NULL at the end. No changes meanwhile. */
void *map_next(const struct map *m, size_t *pos);

#endif
