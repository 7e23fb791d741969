#include <string.h>

#include "k8s-apply/plan_table.h"

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
	if (scope == NULL || (s->scope != NULL && strcmp(s->scope, scope) == 0))
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
static void vanish(struct plan *p, int64_t now_ms, const struct plan_source *s,
	struct plan_key **keys, size_t count, bool free_to_go)
{
	cleanup_free struct plan_key **doomed = xcalloc(count, sizeof(struct plan_key *));
	cleanup_free struct touched *touched = xcalloc(count, sizeof(struct touched));
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		keys[i]->state = KEY_VANISHED;
		keys[i]->at_ms = 0;
		plan_clear_key(p, keys[i], &touched[i]);
		plan_touch_owned(&touched[i], keys[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (free_to_go)
			plan_undoom(p, keys[i]);
		else if (keys[i]->doom == DOOM_NONE && plan_would_delete(keys[i]))
			doomed[n++] = keys[i];
	}
	plan_doom(p, now_ms, s, doomed, n);
	for (size_t i = 0; i < count; i++) {
		plan_settle_touched(p, &touched[i]);
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
		return xasprintf("it announces %llu keys, %llu came", (unsigned long long)services,
			(unsigned long long)s->named);
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
	cleanup_free struct plan_key **keys = plan_collect_keys(p, is_of_source, s, &count);

	*ret_keys = *ret_objects = 0;
	for (size_t i = 0; i < count; i++) {
		size_t owned = plan_count_owned(keys[i]);

		*ret_objects += owned;
		*ret_keys += owned > 0;
	}
}

void plan_synced(
	struct plan *p, int64_t now_ms, const char *source, const char *snapshot, uint64_t services)
{
	struct plan_source *s = plan_source_get(p, source);
	cleanup_free char *why = why_not_pruned(s, snapshot, services);
	cleanup_free struct plan_key **keys = NULL;
	size_t count;

	p->now_ms = p->heard_ms = now_ms;
	s->spoke = s->synced = true;
	s->open = false;
	if (why != NULL) {
		plan_notify(p, &(struct plan_notice){
				       .kind = PLAN_NOT_PRUNED, .source = s->name, .why = why });
		return;
	}
	keys = plan_collect_keys(p, is_unnamed, s, &count);
	vanish(p, now_ms, s, keys, count, false);
	plan_notify(p, &(struct plan_notice){ .kind = PLAN_SYNCED, .source = s->name });
}

static void prune_source(struct plan *p, int64_t now_ms, struct plan_source *s)
{
	size_t count;
	cleanup_free struct plan_key **keys = plan_collect_keys(p, is_of_source, s, &count);
	bool known = s->scope != NULL;

	p->now_ms = now_ms;
	vanish(p, now_ms, s, keys, count, true);
	free(TAKE(s->scope));
	if (known)
		p->handler.on_remember(p->handler.arg, s->name, NULL);
	plan_notify(p, &(struct plan_notice){
			       .kind = PLAN_SOURCE_PRUNED, .source = s->name, .keys = count });
}

bool plan_prune_source(struct plan *p, int64_t now_ms, const char *source)
{
	struct plan_source *s = map_get(&p->sources, source, strlen(source));

	if (s == NULL || s->spoke)
		return false;
	prune_source(p, now_ms, s);
	return true;
}

void plan_prune_all(struct plan *p, int64_t now_ms)
{
	struct plan_source *s;
	size_t pos = 0;

	while ((s = map_next(&p->sources, &pos)) != NULL)
		prune_source(p, now_ms, s);
}

uint64_t plan_named(const struct plan *p, const char *source)
{
	const struct plan_source *s = map_get(&p->sources, source, strlen(source));

	return s != NULL ? s->named : 0;
}

void plan_each_object(
	const struct plan *p, void (*on_object)(void *arg, const struct object_id *id), void *arg)
{
	const struct plan_object *o;
	size_t pos = 0;

	while ((o = map_next(&p->objects, &pos)) != NULL)
		if (o->exists)
			on_object(arg, &o->id);
}

const struct object_id *plan_object_id(const struct plan_object *o)
{
	return &o->id;
}

void plan_count(const struct plan *p, struct plan_counts *ret)
{
	*ret = (struct plan_counts){
		.objects = p->existing,
		.waiting = p->waiting,
		.paused = p->paused,
		.failed = p->failed + p->conflicts + p->broken,
		.conflicts = p->conflicts,
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
