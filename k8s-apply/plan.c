#include "k8s-apply/plan.h"

#include <string.h>
#include <xxhash.h>

#include "k8s-apply/plan_table.h"

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
		plan_touch(t, key->wants[i]->object);
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
		plan_touch(t, key->keeps[i]);
	}
	free(TAKE(key->keeps));
	key->keep_count = 0;
}

static void take_version(struct plan *p, struct plan_object *o, struct manifest *m)
{
	const char *before = o->api_version;

	o->api_version = intern_text(&p->texts, m->api_version);
	intern_drop(&p->texts, before);
}

/* The key's new wants, in place of the ones it had. A want that stays keeps what was said of it. */
static void set_wants(
	struct plan *p, struct plan_key *key, struct plan_desired *d, struct touched *t)
{
	struct want **wants = xcalloc(d->count, sizeof(struct want *));
	size_t old = 0;

	for (size_t i = 0; i < d->count; i++) {
		struct manifest *m = &d->manifests[i];
		struct plan_object *o = plan_object_get(p, &m->id);

		wants[i] = plan_want_of(o, key);
		if (wants[i] == NULL)
			wants[i] = plan_want_add(key, o);
		if (wants[i]->body == NULL || wants[i]->hash != m->hash) {
			free(wants[i]->body);
			wants[i]->body = shelf_put(p->shelf, m->body);
		}
		wants[i]->hash = m->hash;
		wants[i]->hands_off = m->hands_off;
		take_version(p, o, m);
		manifest_release(m);
		/* Both are sorted: what the old list has before this one is wanted no more. */
		while (old < key->want_count &&
			object_id_compare(&key->wants[old]->object->id, &o->id) < 0) {
			plan_touch(t, key->wants[old]->object);
			plan_want_remove(p, key->wants[old++]);
		}
		old += old < key->want_count && key->wants[old] == wants[i];
	}
	for (; old < key->want_count; old++) {
		plan_touch(t, key->wants[old]->object);
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
			take_version(p, o, &d->keeps[i].m);
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
		plan_notify(p, &(struct plan_notice){ .kind = PLAN_BROKEN_KEY,
				       .source = key->source->name,
				       .key = key->name,
				       .why = why });
	key->broken = said;
}

void plan_clear_key(struct plan *p, struct plan_key *key, struct touched *t)
{
	set_broken(p, key, NULL);
	drop_wants(p, key, t);
	drop_keeps(key, t);
}

void plan_apply(struct plan *p, int64_t now_ms, struct plan_desired *d)
{
	struct plan_key *key = name_key(p, d->source, d->key);
	struct touched t = { .item = NULL };

	p->now_ms = p->heard_ms = now_ms;
	key->state = KEY_APPLIED;
	key->at_ms = d->at_ms;
	set_broken(p, key, d->broken);
	drop_keeps(key, &t);
	set_wants(p, key, d, &t);
	set_keeps(p, key, d);
	if (!plan_states_nothing(key))
		plan_undoom(p, key);
	else if (key->doom == DOOM_NONE && plan_would_delete(key))
		plan_doom(p, now_ms, key->source, &key, 1);
	for (size_t i = 0; i < d->keep_count; i++)
		if (d->keeps[i].failed)
			plan_report_problem(
				p, key->keeps[i], key, PROBLEM_FAILED, d->keeps[i].error);
	for (size_t i = 0; i < key->want_count; i++)
		plan_settle(p, key->wants[i]->object, true);
	for (struct link *l = key->owned.next; l != &key->owned; l = l->next) {
		struct plan_object *o = LINK_OF(l, struct plan_object, owned);

		if (plan_want_of(o, key) == NULL)
			plan_touch(&t, o);
	}
	plan_settle_touched(p, &t);
}

void plan_keep_key(struct plan *p, const char *source, const char *name)
{
	struct plan_key *key = name_key(p, source, name);
	struct touched t = { .item = NULL };

	key->state = KEY_KEPT;
	plan_undoom(p, key);
	plan_touch_owned(&t, key);
	plan_settle_touched(p, &t);
}
