#include "k8s-apply/plan_table.h"

#include <string.h>

void link_init(struct link *l)
{
	l->prev = l->next = l;
}

bool link_alone(const struct link *l)
{
	return l->next == l;
}

void link_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

void link_append(struct link *head, struct link *l)
{
	link_remove(l);
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

struct plan *plan_new(const struct plan_config *config, const struct plan_handler *handler)
{
	struct plan *p = xcalloc(1, sizeof(*p));

	p->config = *config;
	if (p->config.retry_min_ms == 0)
		p->config.retry_min_ms = 1000;
	if (p->config.retry_max_ms == 0)
		p->config.retry_max_ms = 5 * 60 * 1000;
	p->handler = *handler;
	p->shelf = shelf_new();
	p->approved = config->approved_keys;
	p->next_retry_ms = INT64_MAX;
	link_init(&p->queue);
	link_init(&p->resting);
	link_init(&p->moving);
	link_init(&p->pruning);
	return p;
}

struct plan_source *plan_source_get(struct plan *p, const char *name)
{
	struct plan_source *s = map_get(&p->sources, name, strlen(name));

	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->name = xstrdup(name);
		link_init(&s->paused_work);
		map_add(&p->sources, s->name, strlen(name), s);
	}
	return s;
}

struct plan_key *plan_key_get(struct plan *p, const char *source, const char *name)
{
	size_t source_len = strlen(source) + 1, len = source_len + strlen(name) + 1;
	cleanup_free char *bytes = xcalloc(len, 1);
	struct plan_key *key;

	memcpy(bytes, source, source_len);
	memcpy(bytes + source_len, name, len - source_len);
	key = map_get(&p->keys, bytes, len);
	if (key != NULL)
		return key;
	key = xcalloc(1, sizeof(*key));
	key->bytes = TAKE(bytes);
	key->len = len;
	key->name = key->bytes + source_len;
	key->source = plan_source_get(p, source);
	link_init(&key->owned);
	link_init(&key->parked);
	map_add(&p->keys, key->bytes, key->len, key);
	return key;
}

struct plan_object *plan_object_get(struct plan *p, const struct object_id *id)
{
	struct plan_object *o = map_get(&p->objects, id->bytes, id->len);

	if (o == NULL) {
		o = xcalloc(1, sizeof(*o));
		object_id_copy(&o->id, id);
		link_init(&o->owned);
		link_init(&o->work_link);
		map_add(&p->objects, o->id.bytes, o->id.len, o);
	}
	return o;
}

static void free_key(struct plan_key *key)
{
	free(key->wants);
	free(key->keeps);
	free(key->bytes);
	free(key);
}

static void free_object(struct plan *p, struct plan_object *o)
{
	link_remove(&o->owned);
	link_remove(&o->work_link);
	object_id_release(&o->id);
	intern_drop(&p->texts, o->api_version);
	free(o);
}

void plan_key_drop(struct plan *p, struct plan_key *key)
{
	if (key->want_count > 0 || key->keep_count > 0 || key->in_flight > 0 || key->broken != 0 ||
		key->doom == DOOM_HELD || !link_alone(&key->owned))
		return;
	map_remove(&p->keys, key->bytes, key->len);
	free_key(key);
}

void plan_object_drop(struct plan *p, struct plan_object *o)
{
	if (o->exists || o->wants != NULL || o->keep_count > 0 || o->touched > 0 ||
		o->work != WORK_NONE)
		return;
	plan_clear_problem(p, o);
	map_remove(&p->objects, o->id.bytes, o->id.len);
	free_object(p, o);
}

struct want *plan_want_of(const struct plan_object *o, const struct plan_key *key)
{
	struct want *w = o->wants;

	while (w != NULL && w->key != key)
		w = w->next;
	return w;
}

struct want *plan_want_add(struct plan_key *key, struct plan_object *o)
{
	struct want *w = xcalloc(1, sizeof(*w));

	w->key = key;
	w->object = o;
	w->next = o->wants;
	o->wants = w;
	return w;
}

void plan_want_remove(struct plan *p, struct want *w)
{
	struct want **at = &w->object->wants;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	p->conflicts -= w->lost;
	free(w->body);
	free(w);
}

void plan_own(struct plan_object *o, struct plan_key *key)
{
	link_remove(&o->owned);
	o->owner = key;
	if (key != NULL)
		link_append(&key->owned, &o->owned);
}

bool plan_key_has(const struct plan_key *key, const struct plan_object *o)
{
	for (size_t i = 0; i < key->keep_count; i++)
		if (key->keeps[i] == o)
			return true;
	return false;
}

int plan_key_compare(const struct plan_key *a, const struct plan_key *b)
{
	cleanup_free char *left = xasprintf("%s/%s", a->source->name, a->name);
	cleanup_free char *right = xasprintf("%s/%s", b->source->name, b->name);
	int order = strcmp(left, right);

	return order != 0 ? order : strcmp(a->source->name, b->source->name);
}

void plan_notify(const struct plan *p, const struct plan_notice *n)
{
	p->handler.on_notice(p->handler.arg, n);
}

void plan_touch(struct touched *t, struct plan_object *o)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity > 0 ? t->capacity * 2 : 16;
		t->item = xrealloc(t->item, t->capacity, sizeof(struct plan_object *));
	}
	t->item[t->count++] = o;
	o->touched++;
}

void plan_touch_owned(struct touched *t, const struct plan_key *key)
{
	for (struct link *l = key->owned.next; l != &key->owned; l = l->next)
		plan_touch(t, LINK_OF(l, struct plan_object, owned));
}

size_t plan_count_owned(const struct plan_key *key)
{
	size_t count = 0;

	for (struct link *l = key->owned.next; l != &key->owned; l = l->next)
		count++;
	return count;
}

static int compare_keys(const void *a, const void *b)
{
	return plan_key_compare(*(struct plan_key *const *)a, *(struct plan_key *const *)b);
}

struct plan_key **plan_collect_keys(const struct plan *p,
	bool (*match)(const struct plan_key *key, const void *arg), const void *arg,
	size_t *ret_count)
{
	struct plan_key **keys = xcalloc(p->keys.count, sizeof(struct plan_key *)), *key;
	size_t pos = 0, count = 0;

	while ((key = map_next(&p->keys, &pos)) != NULL)
		if (match(key, arg))
			keys[count++] = key;
	if (count > 0)
		qsort(keys, count, sizeof(struct plan_key *), compare_keys);
	*ret_count = count;
	return keys;
}

void plan_free(struct plan *p)
{
	struct plan_object *o;
	struct plan_key *key;
	struct plan_source *s;
	size_t pos = 0;

	if (p == NULL)
		return;
	while ((o = map_next(&p->objects, &pos)) != NULL) {
		for (struct want *w = o->wants, *next; w != NULL; w = next) {
			next = w->next;
			free(w->body);
			free(w);
		}
		free_object(p, o);
	}
	for (pos = 0; (key = map_next(&p->keys, &pos)) != NULL;)
		free_key(key);
	for (pos = 0; (s = map_next(&p->sources, &pos)) != NULL;) {
		free(s->name);
		free(s->scope);
		free(s->snapshot);
		free(s->other_scope);
		free(s);
	}
	map_release(&p->objects);
	map_release(&p->keys);
	map_release(&p->sources);
	intern_release(&p->texts);
	shelf_free(p->shelf);
	free(p->body);
	hold_release(&p->hold);
	free(p);
}
