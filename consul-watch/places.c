/*
 * Where instances are: (node, service id) belongs to one service at a time.
 *
 * Registered anew under another name, an instance leaves its old service without
 * a sign: up to 1.9 the index of that does not move, and its query does not wake.
 * So who turns up under a new name has the old service read (it is no loss that
 * access control could explain). And a node that changed names its services.
 */

#include <ctype.h>
#include <search.h>
#include <string.h>
#include <xxhash.h>

#include "consul-watch/state.h"
#include "lib/jvx.h"

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

uint64_t places_hash_node(const char *node)
{
	cleanup_free char *lower = xstrdup(node);

	for (char *c = lower; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return XXH3_64bits(lower, strlen(lower));
}

static void place_free(struct place *p)
{
	tdelete(p, &p->service->watch->places, compare_places);
	LIST_REMOVE(p, of_service);
	free(p);
}

static struct place *place_find(struct watch *w, uint64_t uid)
{
	struct place key = { .uid = uid };
	void *node = tfind(&key, &w->places, compare_places);

	return node != NULL ? *(struct place **)node : NULL;
}

static struct place *place_new(struct service *s, uint64_t uid)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->uid = uid;
	p->service = s;
	LIST_INSERT_HEAD(&s->places, p, of_service);
	tsearch(p, &s->watch->places, compare_places);
	return p;
}

/* What is older than what the other one said last proves nothing. */
static void move(struct place *p, struct service *to, uint64_t index)
{
	struct service *from = p->service;

	if (index < p->index && from->count > 0)
		return;
	LIST_REMOVE(p, of_service);
	LIST_INSERT_HEAD(&to->places, p, of_service);
	p->service = to;
	if (from->count > 0)
		from->count--;
	from->body_hash = 0;
	service_read(from);
}

static uint64_t uid_of(jv instance)
{
	cleanup_jv jv text = jvx_get(instance, "uid");

	return strtoull(jvx_str(text, "0"), NULL, 16);
}

void places_take(struct service *s, jv instances, uint64_t index)
{
	struct place *p, *next;

	for (int i = 0; i < jvx_length(instances); i++) {
		cleanup_jv jv instance = jvx_at(instances, i);
		cleanup_jv jv node = jvx_get(instance, "node");
		uint64_t uid = uid_of(instance);

		p = place_find(s->watch, uid);
		if (p == NULL)
			p = place_new(s, uid);
		else if (p->service != s)
			move(p, s, index);
		if (p->service != s)
			continue;
		p->node = places_hash_node(jvx_str(node, ""));
		p->index = index;
		p->seen = true;
	}
	for (p = LIST_FIRST(&s->places); p != NULL; p = next) {
		next = LIST_NEXT(p, of_service);
		if (!p->seen)
			place_free(p);
		else
			p->seen = false;
	}
}

size_t places_miss(struct service *s, jv instances)
{
	struct place *p;

	LIST_FOREACH(p, &s->places, of_service)
	p->missing = true;
	for (int i = 0; i < jvx_length(instances); i++) {
		cleanup_jv jv instance = jvx_at(instances, i);

		p = place_find(s->watch, uid_of(instance));
		if (p != NULL)
			p->missing = false;
	}
	return places_missing(s);
}

void places_find_node(struct service *s, uint64_t node)
{
	struct place *p;

	LIST_FOREACH(p, &s->places, of_service)
	if (p->node == node)
		p->missing = false;
}

size_t places_missing(const struct service *s)
{
	const struct place *p;
	size_t count = 0;

	LIST_FOREACH(p, &s->places, of_service)
	count += p->missing;
	return count;
}

void places_drop(struct service *s)
{
	struct place *p;

	while ((p = LIST_FIRST(&s->places)) != NULL)
		place_free(p);
}

bool places_read_node(struct watch *w, uint64_t node)
{
	struct service *s, *next;
	bool found = false;

	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		struct place *p;

		next = TAILQ_NEXT(s, all);
		LIST_FOREACH(p, &s->places, of_service)
		{
			if (p->node == node) {
				service_read(s);
				found = true;
				break;
			}
		}
	}
	return found;
}
