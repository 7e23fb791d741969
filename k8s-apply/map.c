#include "k8s-apply/map.h"

#include <string.h>
#include <xxhash.h>

#define MIN_CAPACITY 16

void map_release(struct map *m)
{
	free(m->slots);
	*m = (struct map)MAP_INIT;
}

static uint32_t hash_of(const void *key, size_t len)
{
	return (uint32_t)XXH3_64bits(key, len);
}

/* The slot of a key, or the free one where it would go (linear probing). */
static struct map_slot *find(const struct map *m, uint32_t hash, const void *key, size_t len)
{
	size_t i = hash & (m->capacity - 1);

	while (m->slots[i].key != NULL && (m->slots[i].hash != hash || m->slots[i].len != len ||
						  memcmp(m->slots[i].key, key, len) != 0))
		i = (i + 1) & (m->capacity - 1);
	return &m->slots[i];
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	return m->capacity > 0 ? find(m, hash_of(key, len), key, len)->value : NULL;
}

static void grow(struct map *m)
{
	struct map old = *m;

	m->capacity = old.capacity > 0 ? old.capacity * 2 : MIN_CAPACITY;
	m->slots = xcalloc(m->capacity, sizeof(*m->slots));
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].key != NULL)
			*find(m, old.slots[i].hash, old.slots[i].key, old.slots[i].len) =
				old.slots[i];
	free(old.slots);
}

void map_add(struct map *m, const void *key, size_t len, void *value)
{
	uint32_t hash = hash_of(key, len);

	if (m->count + 1 > m->capacity / 4 * 3)
		grow(m);
	*find(m, hash, key, len) = (struct map_slot){ key, (uint32_t)len, hash, value };
	m->count++;
}

void map_remove(struct map *m, const void *key, size_t len)
{
	size_t mask = m->capacity - 1, hole, i;
	struct map_slot *slot;

	if (m->capacity == 0)
		return;
	slot = find(m, hash_of(key, len), key, len);
	if (slot->key == NULL)
		return;
	m->count--;
	/* Closes the gap, so that a probe never ends at it too early. */
	hole = i = (size_t)(slot - m->slots);
	for (;;) {
		i = (i + 1) & mask;
		if (m->slots[i].key == NULL)
			break;
		if (((i - m->slots[i].hash) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){ .key = NULL };
}

void *map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->capacity) {
		const struct map_slot *slot = &m->slots[(*pos)++];

		if (slot->key != NULL)
			return slot->value;
	}
	return NULL;
}
