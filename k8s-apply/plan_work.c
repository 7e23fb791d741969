#include "k8s-apply/plan_table.h"

void plan_unqueue(struct plan *p, struct plan_object *o)
{
	link_remove(&o->work_link);
	p->waiting -= o->work != WORK_NONE && o->work != WORK_RESTING;
	p->paused -= o->work == WORK_PAUSED;
	o->work = WORK_NONE;
}

void plan_enqueue(struct plan *p, struct plan_object *o)
{
	if (o->work == WORK_QUEUED)
		return;
	plan_unqueue(p, o);
	o->work = WORK_QUEUED;
	p->waiting++;
	link_append(&p->queue, &o->work_link);
}

/* Back into the queue with all whose pause is over. */
static void wake_resting(struct plan *p, int64_t now_ms)
{
	struct link *l, *next;

	if (now_ms < p->next_retry_ms)
		return;
	p->next_retry_ms = INT64_MAX;
	for (l = p->resting.next; l != &p->resting; l = next) {
		struct plan_object *o = LINK_OF(l, struct plan_object, work_link);

		next = l->next;
		if (o->retry_at_ms <= now_ms)
			plan_enqueue(p, o);
		else if (o->retry_at_ms < p->next_retry_ms)
			p->next_retry_ms = o->retry_at_ms;
	}
}

static void rest_until(struct plan *p, struct plan_object *o, int64_t at_ms)
{
	o->retry_at_ms = at_ms;
	if (at_ms < p->next_retry_ms)
		p->next_retry_ms = at_ms;
	o->work = WORK_RESTING;
	link_append(&p->resting, &o->work_link);
}

static void rest(struct plan *p, struct plan_object *o, int64_t now_ms, bool slowly)
{
	int64_t pause = slowly ? p->config.retry_max_ms : p->config.retry_min_ms;

	for (unsigned i = 0; i < o->failures && pause < p->config.retry_max_ms; i++)
		pause *= 2;
	if (pause > p->config.retry_max_ms)
		pause = p->config.retry_max_ms;
	o->failures++;
	rest_until(p, o, now_ms + pause);
}

/* The target gets it now. `w` is NULL for a deletion. */
static void start_op(struct plan *p, struct plan_object *o, struct want *w, struct plan_op *ret)
{
	const struct plan_key *from =
		o->exists && w != NULL && o->owner != w->key ? o->owner : NULL;
	struct plan_key *key = w != NULL ? w->key : o->owner;

	free(p->body);
	p->body = w != NULL ? shelf_get(p->shelf, w->body) : NULL;
	plan_unqueue(p, o);
	o->work = WORK_IN_FLIGHT;
	p->waiting++;
	o->op_key = key;
	o->op_delete = w == NULL;
	o->op_hash = w != NULL ? w->hash : 0;
	o->op_hands_off = w != NULL && w->hands_off;
	key->in_flight++;
	key->writes_in_flight += w != NULL;
	*ret = (struct plan_op){
		.object = o,
		.delete = w == NULL,
		.exists = o->exists,
		.id = &o->id,
		.api_version = o->api_version,
		.source = key->source->name,
		.key = key->name,
		.from_source = from != NULL ? from->source->name : NULL,
		.from_key = from != NULL ? from->name : NULL,
		.body = p->body,
		.hash = o->op_hash,
	};
}

bool plan_next(struct plan *p, int64_t now_ms, struct plan_op *ret)
{
	p->now_ms = now_ms;
	if (p->frozen)
		return false;
	wake_resting(p, now_ms);
	plan_wake_delayed(p);
	while (!link_alone(&p->queue)) {
		struct plan_object *o = LINK_OF(p->queue.next, struct plan_object, work_link);
		struct want *w;
		enum decision d = plan_decide(o, &w);
		struct plan_source *s;

		if (d != DECIDE_WRITE && (d != DECIDE_DELETE || !o->waited)) {
			plan_settle(p, o, false);
			continue;
		}
		s = w != NULL ? w->key->source : o->owner->source;
		if (s->paused) {
			plan_set_aside(p, o, s);
			continue;
		}
		if (d == DECIDE_DELETE && p->config.deletes_wait &&
			o->owner->writes_in_flight > 0) {
			o->work = WORK_PARKED;
			link_append(&o->owner->parked, &o->work_link);
			continue;
		}
		start_op(p, o, w, ret);
		return true;
	}
	return false;
}

static void unpark(struct plan *p, struct plan_key *key)
{
	while (!link_alone(&key->parked))
		plan_enqueue(p, LINK_OF(key->parked.next, struct plan_object, work_link));
}

static void change_owner(struct plan *p, struct plan_object *o, struct plan_key *key)
{
	struct plan_key *before = o->owner;

	if (before == key)
		return;
	plan_own(o, key);
	if (before != NULL && link_alone(&before->owned))
		plan_undoom(p, before);
}

static void deleted(struct plan *p, struct plan_object *o)
{
	p->existing -= o->exists;
	o->exists = false;
	o->hands_off = false;
	change_owner(p, o, NULL);
}

static void succeed(struct plan *p, struct plan_object *o, struct plan_key *key)
{
	bool there = o->exists || o->adopted;
	enum plan_action action = !there    ? PLAN_CREATED
				  : o->same ? PLAN_UNCHANGED
					    : PLAN_CONFIGURED;

	o->failures = 0;
	plan_clear_problem(p, o);
	if (o->op_delete) {
		action = PLAN_DELETED;
		deleted(p, o);
	} else {
		p->existing += !o->exists;
		o->exists = true;
		o->hash = o->op_hash;
		o->hands_off = o->op_hands_off;
		change_owner(p, o, key);
	}
	plan_report(p, o, key, action, NULL);
	o->adopted = o->same = false;
}

/* Is what has just failed still what is wanted? */
static bool still_meant(const struct plan_object *o, const struct plan_key *key)
{
	struct want *w;

	switch (plan_decide(o, &w)) {
	case DECIDE_WRITE:
		return !o->op_delete && w->key == key && w->hash == o->op_hash;
	case DECIDE_DELETE:
		return o->op_delete;
	default:
		return false;
	}
}

/* It is not in the target's hands any more. Returns the key that it was for. */
static struct plan_key *take_back(struct plan *p, int64_t now_ms, struct plan_object *o)
{
	struct plan_key *key = o->op_key;

	p->now_ms = now_ms;
	plan_unqueue(p, o);
	key->in_flight--;
	key->writes_in_flight -= !o->op_delete;
	if (key->writes_in_flight == 0)
		unpark(p, key);
	return key;
}

void plan_done(struct plan *p, int64_t now_ms, struct plan_object *o, enum plan_outcome outcome,
	const char *error)
{
	struct plan_key *key = take_back(p, now_ms, o);
	bool ok = outcome == PLAN_OK || outcome == PLAN_ADOPTED || outcome == PLAN_SAME;

	o->adopted = outcome == PLAN_ADOPTED;
	o->same = outcome == PLAN_SAME;
	if (ok)
		succeed(p, o, key);
	else if (outcome != PLAN_DECIDE)
		plan_report_problem(p, o, key,
			outcome == PLAN_FOREIGN ? PROBLEM_FOREIGN : PROBLEM_FAILED, error);
	if (ok || outcome == PLAN_DECIDE || !still_meant(o, key))
		plan_settle(p, o, false);
	else if (outcome != PLAN_REFUSED)
		rest(p, o, now_ms, outcome == PLAN_FOREIGN || outcome == PLAN_DENIED);
	plan_object_drop(p, o);
}

void plan_later(
	struct plan *p, int64_t now_ms, struct plan_object *o, int64_t at_ms, const char *error)
{
	struct plan_key *key = take_back(p, now_ms, o);

	plan_report_problem(p, o, key, PROBLEM_FOREIGN, error);
	if (still_meant(o, key))
		rest_until(p, o, at_ms);
	else
		plan_settle(p, o, false);
	plan_object_drop(p, o);
}

int64_t plan_wake_ms(const struct plan *p)
{
	int64_t next = plan_delayed_until_ms(p);

	if (!link_alone(&p->resting) && p->next_retry_ms < next)
		next = p->next_retry_ms;
	return p->frozen || next == INT64_MAX ? -1 : next;
}

void plan_retry_all(struct plan *p)
{
	while (!link_alone(&p->resting))
		plan_enqueue(p, LINK_OF(p->resting.next, struct plan_object, work_link));
	p->next_retry_ms = INT64_MAX;
}

static bool has_lost_all(const struct plan_key *key)
{
	return key->state == KEY_VANISHED ||
	       (key->state == KEY_APPLIED && plan_states_nothing(key));
}

bool plan_found(struct plan *p, const char *source, const char *key, const struct manifest *m)
{
	struct plan_object *o = plan_object_get(p, &m->id);
	struct plan_key *owner = source != NULL ? plan_key_get(p, source, key) : NULL;

	if (o->exists && o->owner != NULL && owner != NULL && o->owner != owner)
		return false;
	p->existing += !o->exists;
	o->exists = true;
	o->hash = m->hash;
	o->hands_off = m->hands_off;
	/* What is wanted is written in the version that it is wanted in. */
	if (o->wants == NULL || o->api_version == NULL) {
		intern_drop(&p->texts, o->api_version);
		o->api_version = intern_text(&p->texts, m->api_version);
	}
	change_owner(p, o, owner);
	/* It was not known when the key lost everything, and counts all the same. */
	if (owner != NULL && owner->doom == DOOM_NONE && has_lost_all(owner) &&
		plan_would_delete(owner))
		plan_doom(p, p->now_ms, owner->source, &owner, 1);
	plan_settle(p, o, false);
	return true;
}

void plan_lost(struct plan *p, const struct object_id *id)
{
	struct plan_object *o = map_get(&p->objects, id->bytes, id->len);

	if (o == NULL)
		return;
	if (o->exists)
		deleted(p, o);
	plan_settle(p, o, false);
	plan_object_drop(p, o);
}
