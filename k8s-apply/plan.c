#include "k8s-apply/plan.h"

#include <string.h>
#include <xxhash.h>

#include "k8s-apply/plan_table.h"

static void notice(const struct plan *p, const struct plan_notice *n)
{
	p->handler.on_notice(p->handler.arg, n);
}

static int compare_keys(const void *a, const void *b)
{
	return plan_key_compare(*(struct plan_key *const *)a, *(struct plan_key *const *)b);
}

static int compare_objects(const void *a, const void *b)
{
	return object_id_compare(
		&(*(struct plan_object *const *)a)->id, &(*(struct plan_object *const *)b)->id);
}

/* Objects to look at again; the same one may be in it twice. */
struct touched {
	struct plan_object **item;
	size_t count, capacity;
};

static void touch(struct touched *t, struct plan_object *o)
{
	if (t->count == t->capacity) {
		t->capacity = t->capacity > 0 ? t->capacity * 2 : 16;
		t->item = xrealloc(t->item, t->capacity, sizeof(*t->item));
	}
	t->item[t->count++] = o;
}

static void touch_owned(struct touched *t, const struct plan_key *key)
{
	for (struct link *l = key->owned.next; l != &key->owned; l = l->next)
		touch(t, LINK_OF(l, struct plan_object, owned));
}

/* Settles them in order of identity; rows that nothing refers to any more go. */
static void settle_touched(struct plan *p, struct touched *t)
{
	if (t->count > 0)
		qsort(t->item, t->count, sizeof(*t->item), compare_objects);
	for (size_t i = 0; i < t->count; i++) {
		struct plan_object *o = t->item[i];

		if (i + 1 < t->count && t->item[i + 1] == o)
			continue;
		plan_settle(p, o, false);
		plan_object_drop(p, o);
	}
	free(t->item);
	*t = (struct touched){ .item = NULL };
}

void plan_undoom(struct plan *p, struct plan_key *key)
{
	if (key->doom == DOOM_HELD && --p->held_keys == 0)
		notice(p, &(struct plan_notice){ .kind = PLAN_HOLD_ENDED });
	key->doom = DOOM_NONE;
}

static size_t count_owned(const struct plan_key *key)
{
	size_t count = 0;

	for (struct link *l = key->owned.next; l != &key->owned; l = l->next)
		count++;
	return count;
}

/* All keys that match, sorted. */
static struct plan_key **collect_keys(const struct plan *p,
	bool (*match)(const struct plan_key *key, const void *arg), const void *arg,
	size_t *ret_count)
{
	struct plan_key **keys = xcalloc(p->keys.count, sizeof(struct plan_key *)), *key;
	size_t pos = 0, count = 0;

	while ((key = map_next(&p->keys, &pos)) != NULL)
		if (match(key, arg))
			keys[count++] = key;
	if (count > 0)
		qsort(keys, count, sizeof(*keys), compare_keys);
	*ret_count = count;
	return keys;
}

static bool is_held(const struct plan_key *key, const void *arg UNUSED)
{
	return key->doom == DOOM_HELD;
}

static void say_hold(const struct plan *p, const struct plan_source *s,
	enum plan_notice_kind kind, const char *why)
{
	size_t count, objects = 0;
	cleanup_free struct plan_key **held = collect_keys(p, is_held, NULL, &count);

	for (size_t i = 0; i < count; i++)
		objects += count_owned(held[i]);
	notice(p,
		&(struct plan_notice){ .kind = kind,
			.source = s != NULL ? s->name : NULL,
			.why = why,
			.keys = count,
			.objects = objects });
}

/* Lets go of everything that is held. */
static void release_held(struct plan *p)
{
	struct touched t = { .item = NULL };
	size_t count;
	cleanup_free struct plan_key **held = collect_keys(p, is_held, NULL, &count);

	p->held_keys = 0;
	for (size_t i = 0; i < count; i++) {
		held[i]->doom = DOOM_FREE;
		touch_owned(&t, held[i]);
		settle_touched(p, &t);
	}
}

/* Why these keys, of one source, must not lose everything without a person's word; or NULL. */
static const char *too_much(struct plan *p, int64_t now_ms, const struct plan_source *s, size_t n)
{
	size_t pos = 0, present = 0, left = 0;
	const struct plan_key *key;

	if (p->held_keys > 0)
		return "deletions are held already";
	while ((key = map_next(&p->keys, &pos)) != NULL) {
		bool has = !link_alone(&key->owned);

		present += has;
		left += has && key->source == s && key->doom == DOOM_NONE;
	}
	if (left <= n)
		return "nothing would be left of the source";
	if (hold_exceeded(&p->hold, now_ms, n, present))
		return "more than 20 keys, and more than a tenth of them, within ten minutes";
	return NULL;
}

/* Keys of one source, each with objects, are to lose all of them. */
static void doom(struct plan *p, int64_t now_ms, struct plan_source *s, struct plan_key **keys,
	size_t n)
{
	const char *why = n > 0 ? too_much(p, now_ms, s, n) : NULL;
	bool first = p->held_keys == 0;

	if (why != NULL && p->held_keys + n <= p->approved) {
		p->approved -= p->held_keys + n;
		release_held(p);
		why = NULL;
	} else if (why == NULL) {
		hold_note(&p->hold, now_ms, n);
	}
	for (size_t i = 0; i < n; i++)
		keys[i]->doom = why != NULL ? DOOM_HELD : DOOM_FREE;
	if (why == NULL)
		return;
	p->held_keys += n;
	if (first)
		say_hold(p, s, PLAN_HOLD, why);
}

bool plan_approve(struct plan *p, uint64_t keys)
{
	if (p->held_keys == 0)
		return false;
	if (p->held_keys > keys) {
		say_hold(p, NULL, PLAN_HOLD_LOWER, NULL);
		return false;
	}
	release_held(p);
	return true;
}

void plan_freeze(struct plan *p, bool frozen)
{
	p->frozen = frozen;
}

void plan_remember(struct plan *p, const char *source, const char *scope)
{
	struct plan_source *s = plan_source_get(p, source);

	free(s->scope);
	s->scope = xstrdup(scope);
}

static void set_scope(struct plan *p, struct plan_source *s, const char *scope)
{
	free(s->scope);
	s->scope = xstrdup(scope);
	p->handler.on_remember(p->handler.arg, s->name, scope);
}

void plan_start(struct plan *p, const char *source, const char *snapshot, const char *scope)
{
	struct plan_source *s = plan_source_get(p, source);

	s->spoke = s->started = s->open = true;
	s->synced = s->poisoned = false;
	s->named = 0;
	s->serial = ++p->serial;
	free(s->snapshot);
	s->snapshot = xstrdup(snapshot);
	free(TAKE(s->other_scope));
	if (s->scope != NULL && strcmp(s->scope, scope) == 0)
		return;
	if (s->scope == NULL || p->config.accept_scope)
		set_scope(p, s, scope);
	else
		s->other_scope = xstrdup(scope);
}

void plan_unreadable(struct plan *p)
{
	struct plan_source *s;
	size_t pos = 0;

	while ((s = map_next(&p->sources, &pos)) != NULL)
		s->poisoned = true;
}

static struct plan_key *name_key(struct plan *p, const char *source, const char *name)
{
	struct plan_key *key = plan_key_get(p, source, name);
	struct plan_source *s = key->source;

	s->spoke = true;
	if (s->open && key->serial != s->serial) {
		key->serial = s->serial;
		s->named++;
	}
	return key;
}

static void drop_wants(struct plan *p, struct plan_key *key, struct touched *t)
{
	for (size_t i = 0; i < key->want_count; i++) {
		touch(t, key->wants[i]->object);
		plan_want_remove(p, key->wants[i]);
	}
	free(TAKE(key->wants));
	key->want_count = 0;
}

static void drop_keeps(struct plan_key *key, struct touched *t)
{
	for (size_t i = 0; i < key->keep_count; i++) {
		key->keeps[i]->keep_count--;
		key->keeps[i]->unreadable = false;
		touch(t, key->keeps[i]);
	}
	free(TAKE(key->keeps));
	key->keep_count = 0;
}

static void take_version(struct plan_object *o, struct manifest *m)
{
	free(o->api_version);
	o->api_version = TAKE(m->api_version);
}

/* The key's new wants, in place of the ones it had. A want that stays keeps what was said of it. */
static void set_wants(struct plan *p, struct plan_key *key, struct plan_desired *d,
	struct touched *t)
{
	struct want **wants = xcalloc(d->count, sizeof(struct want *));
	size_t old = 0;

	for (size_t i = 0; i < d->count; i++) {
		struct manifest *m = &d->manifests[i];
		struct plan_object *o = plan_object_get(p, &m->id);

		wants[i] = plan_want_of(o, key);
		if (wants[i] == NULL)
			wants[i] = plan_want_add(key, o);
		free(wants[i]->body);
		wants[i]->body = TAKE(m->body);
		wants[i]->hash = m->hash;
		wants[i]->hands_off = m->hands_off;
		take_version(o, m);
		manifest_release(m);
		/* Both are sorted: what the old list has before this one is wanted no more. */
		while (old < key->want_count &&
			object_id_compare(&key->wants[old]->object->id, &o->id) < 0) {
			touch(t, key->wants[old]->object);
			plan_want_remove(p, key->wants[old++]);
		}
		old += old < key->want_count && key->wants[old] == wants[i];
	}
	for (; old < key->want_count; old++) {
		touch(t, key->wants[old]->object);
		plan_want_remove(p, key->wants[old]);
	}
	free(key->wants);
	key->wants = wants;
	key->want_count = d->count;
}

static void set_keeps(struct plan *p, struct plan_key *key, struct plan_desired *d)
{
	key->keeps = xcalloc(d->keep_count, sizeof(struct plan_object *));
	key->keep_count = d->keep_count;
	for (size_t i = 0; i < d->keep_count; i++) {
		struct plan_object *o = key->keeps[i] = plan_object_get(p, &d->keeps[i].m.id);

		o->keep_count++;
		o->unreadable = o->unreadable || d->keeps[i].failed;
		if (o->api_version == NULL)
			take_version(o, &d->keeps[i].m);
	}
}

static void set_broken(struct plan *p, struct plan_key *key, const char *why)
{
	uint64_t said = why != NULL ? XXH3_64bits(why, strlen(why)) | 1 : 0;

	if (key->broken != 0)
		p->broken--;
	if (said != 0)
		p->broken++;
	if (said != 0 && said != key->broken)
		notice(p,
			&(struct plan_notice){ .kind = PLAN_BROKEN_KEY,
				.source = key->source->name,
				.key = key->name,
				.why = why });
	key->broken = said;
}

static bool states_nothing(const struct plan_key *key)
{
	return key->want_count == 0 && key->keep_count == 0 && key->broken == 0;
}

void plan_apply(struct plan *p, int64_t now_ms, struct plan_desired *d)
{
	struct plan_key *key = name_key(p, d->source, d->key);
	struct touched t = { .item = NULL };

	key->state = KEY_APPLIED;
	key->at_ms = d->at_ms;
	set_broken(p, key, d->broken);
	drop_keeps(key, &t);
	set_wants(p, key, d, &t);
	set_keeps(p, key, d);
	if (!states_nothing(key))
		plan_undoom(p, key);
	else if (key->doom == DOOM_NONE && !link_alone(&key->owned))
		doom(p, now_ms, key->source, &key, 1);
	for (size_t i = 0; i < d->keep_count; i++)
		if (d->keeps[i].failed)
			plan_report_failed(p, key->keeps[i], key, d->keeps[i].error);
	for (size_t i = 0; i < key->want_count; i++)
		plan_settle(p, key->wants[i]->object, true);
	for (struct link *l = key->owned.next; l != &key->owned; l = l->next) {
		struct plan_object *o = LINK_OF(l, struct plan_object, owned);

		if (plan_want_of(o, key) == NULL)
			touch(&t, o);
	}
	settle_touched(p, &t);
}

void plan_keep_key(struct plan *p, const char *source, const char *name)
{
	struct plan_key *key = name_key(p, source, name);
	struct touched t = { .item = NULL };

	key->state = KEY_KEPT;
	plan_undoom(p, key);
	touch_owned(&t, key);
	settle_touched(p, &t);
}

static bool is_unnamed(const struct plan_key *key, const void *arg)
{
	const struct plan_source *s = arg;

	return key->source == s && key->serial != s->serial;
}

static bool is_of_source(const struct plan_key *key, const void *arg)
{
	return key->source == arg;
}

/* The keys lose all that they want; those that are not doomed yet become so. */
static void vanish(struct plan *p, int64_t now_ms, struct plan_source *s, struct plan_key **keys,
	size_t count, bool free_to_go)
{
	cleanup_free struct plan_key **doomed = xcalloc(count, sizeof(struct plan_key *));
	struct touched t = { .item = NULL };
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (keys[i]->doom == DOOM_NONE && !link_alone(&keys[i]->owned))
			doomed[n++] = keys[i];
	if (!free_to_go)
		doom(p, now_ms, s, doomed, n);
	for (size_t i = 0; i < count; i++) {
		if (free_to_go)
			plan_undoom(p, keys[i]);
		keys[i]->state = KEY_VANISHED;
		keys[i]->at_ms = 0;
		set_broken(p, keys[i], NULL);
		drop_wants(p, keys[i], &t);
		drop_keeps(keys[i], &t);
		touch_owned(&t, keys[i]);
		settle_touched(p, &t);
		plan_key_drop(p, keys[i]);
	}
}

static char *why_not_pruned(const struct plan_source *s, const char *snapshot, uint64_t services)
{
	if (!s->open || strcmp(s->snapshot, snapshot) != 0)
		return xasprintf("the start of this snapshot was not seen");
	if (s->poisoned)
		return xasprintf("a line since its start could not be read");
	if (s->named != services)
		return xasprintf("it announces %llu keys, %llu came",
			(unsigned long long)services, (unsigned long long)s->named);
	if (s->other_scope != NULL)
		return xasprintf("it is of '%s', what is there is of '%s' (if that is meant, run "
				 "once with --accept-scope)",
			s->other_scope, s->scope);
	return NULL;
}

void plan_count_source(
	const struct plan *p, const char *source, size_t *ret_keys, size_t *ret_objects)
{
	const struct plan_source *s = map_get(&p->sources, source, strlen(source));
	size_t count;
	cleanup_free struct plan_key **keys = collect_keys(p, is_of_source, s, &count);

	*ret_keys = *ret_objects = 0;
	for (size_t i = 0; i < count; i++) {
		size_t owned = count_owned(keys[i]);

		*ret_objects += owned;
		*ret_keys += owned > 0;
	}
}

void plan_synced(struct plan *p, int64_t now_ms, const char *source, const char *snapshot,
	uint64_t services)
{
	struct plan_source *s = plan_source_get(p, source);
	cleanup_free char *why = why_not_pruned(s, snapshot, services);
	cleanup_free struct plan_key **keys = NULL;
	size_t count;

	s->spoke = s->synced = true;
	s->open = false;
	if (why != NULL) {
		notice(p,
			&(struct plan_notice){
				.kind = PLAN_NOT_PRUNED, .source = s->name, .why = why });
		return;
	}
	keys = collect_keys(p, is_unnamed, s, &count);
	vanish(p, now_ms, s, keys, count, false);
	notice(p, &(struct plan_notice){ .kind = PLAN_SYNCED, .source = s->name });
}

bool plan_prune_source(struct plan *p, int64_t now_ms, const char *source)
{
	struct plan_source *s = map_get(&p->sources, source, strlen(source));
	cleanup_free struct plan_key **keys = NULL;
	size_t count;

	if (s == NULL || s->spoke)
		return false;
	keys = collect_keys(p, is_of_source, s, &count);
	vanish(p, now_ms, s, keys, count, true);
	free(TAKE(s->scope));
	p->handler.on_remember(p->handler.arg, source, NULL);
	notice(p,
		&(struct plan_notice){
			.kind = PLAN_SOURCE_PRUNED, .source = s->name, .keys = count });
	return true;
}

void plan_count(const struct plan *p, struct plan_counts *ret)
{
	*ret = (struct plan_counts){
		.objects = p->existing,
		.waiting = p->waiting,
		.failed = p->failed + p->conflicts + p->broken,
		.held_keys = p->held_keys,
		.held_objects = p->held_objects,
	};
}

void plan_silent_sources(const struct plan *p,
	void (*on_source)(void *arg, const char *source, size_t objects), void *arg)
{
	const struct plan_source *s;
	size_t pos = 0, keys, objects;

	while ((s = map_next(&p->sources, &pos)) != NULL) {
		plan_count_source(p, s->name, &keys, &objects);
		if (!s->spoke && *s->name != '\0' && (objects > 0 || s->scope != NULL))
			on_source(arg, s->name, objects);
	}
}

bool plan_all_synced(const struct plan *p)
{
	const struct plan_source *s;
	bool any = false;
	size_t pos = 0;

	while ((s = map_next(&p->sources, &pos)) != NULL) {
		if (s->started && !s->synced)
			return false;
		any = any || s->synced;
	}
	return any;
}
