#include "k8s-apply/plan_table.h"

void plan_undoom(struct plan *p, struct plan_key *key)
{
	if (key->doom == DOOM_HELD && --p->held_keys == 0)
		plan_notify(p, &(struct plan_notice){ .kind = PLAN_HOLD_ENDED });
	key->doom = DOOM_NONE;
}

static bool is_held(const struct plan_key *key, const void *arg UNUSED)
{
	return key->doom == DOOM_HELD;
}

static void say_hold(const struct plan *p, const struct plan_source *s, enum plan_notice_kind kind,
	const char *why)
{
	size_t count, objects = 0;
	cleanup_free struct plan_key **held = plan_collect_keys(p, is_held, NULL, &count);

	for (size_t i = 0; i < count; i++)
		objects += plan_count_owned(held[i]);
	plan_notify(p, &(struct plan_notice){ .kind = kind,
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
	cleanup_free struct plan_key **held = plan_collect_keys(p, is_held, NULL, &count);

	p->held_keys = 0;
	for (size_t i = 0; i < count; i++) {
		held[i]->doom = DOOM_FREE;
		plan_touch_owned(&t, held[i]);
		plan_settle_touched(p, &t);
	}
}

bool plan_states_nothing(const struct plan_key *key)
{
	return key->want_count == 0 && key->keep_count == 0 && key->broken == 0;
}

bool plan_would_delete(const struct plan_key *key)
{
	for (const struct link *l = key->owned.next; l != &key->owned; l = l->next)
		if (LINK_OF(l, const struct plan_object, owned)->wants == NULL)
			return true;
	return false;
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

void plan_doom(struct plan *p, int64_t now_ms, const struct plan_source *s, struct plan_key **keys,
	size_t n)
{
	bool first = p->held_keys == 0;
	const char *why;

	if (n == 0)
		return;
	why = too_much(p, now_ms, s, n);
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
