#include <string.h>
#include <xxhash.h>

#include "k8s-apply/plan_table.h"

const char *plan_action_name(enum plan_action action)
{
	static const char *const names[] = {
		[PLAN_CREATED] = "created",
		[PLAN_CONFIGURED] = "configured",
		[PLAN_DELETED] = "deleted",
		[PLAN_UNCHANGED] = "unchanged",
		[PLAN_HELD] = "held",
		[PLAN_CONFLICT] = "conflict",
		[PLAN_SKIPPED] = "skipped",
		[PLAN_FAILED] = "failed",
	};

	return names[action];
}

/* Is it certain that the key which has the object does not want it any more? */
static bool releases(const struct plan_key *key, const struct plan_object *o)
{
	switch (key->state) {
	case KEY_APPLIED:
		return key->broken == 0 && plan_want_of(o, key) == NULL && !plan_key_has(key, o);
	case KEY_VANISHED:
		return true;
	case KEY_UNKNOWN:
	case KEY_KEPT:
		break;
	}
	return false;
}

/* The want that counts; NULL when there is none, or when none of them may have it. */
static struct want *winner(const struct plan_object *o)
{
	struct want *least = o->wants, *w;

	if (o->exists && o->owner != NULL) {
		w = plan_want_of(o, o->owner);
		if (w != NULL || !releases(o->owner, o))
			return w;
	}
	for (w = least != NULL ? least->next : NULL; w != NULL; w = w->next)
		if (plan_key_compare(w->key, least->key) < 0)
			least = w;
	return least;
}

enum decision plan_decide(const struct plan_object *o, struct want **ret_want)
{
	struct want *w = *ret_want = winner(o);

	if (w != NULL) {
		if (o->exists && o->owner == w->key && o->hash == w->hash)
			return DECIDE_NOTHING;
		return o->exists && o->hands_off ? DECIDE_SKIP : DECIDE_WRITE;
	}
	if (!o->exists || o->owner == NULL || !releases(o->owner, o))
		return DECIDE_NOTHING;
	if (o->hands_off)
		return DECIDE_SKIP;
	return o->owner->doom == DOOM_HELD ? DECIDE_HOLD : DECIDE_DELETE;
}

static void set_problem(struct plan *p, struct plan_object *o, enum plan_problem problem)
{
	p->failed -= o->problem == PROBLEM_FAILED;
	p->conflicts -= o->problem == PROBLEM_FOREIGN;
	p->held_objects -= o->problem == PROBLEM_HELD;
	o->problem = problem;
	p->failed += problem == PROBLEM_FAILED;
	p->conflicts += problem == PROBLEM_FOREIGN;
	p->held_objects += problem == PROBLEM_HELD;
}

void plan_clear_problem(struct plan *p, struct plan_object *o)
{
	set_problem(p, o, PROBLEM_NONE);
	o->said = 0;
}

void plan_report(struct plan *p, const struct plan_object *o, const struct plan_key *key,
	enum plan_action action, const char *error)
{
	const struct plan_result r = {
		.action = action,
		.adopted = o->adopted,
		.id = &o->id,
		.api_version = o->api_version,
		.source = key != NULL ? key->source->name : "",
		.key = key != NULL ? key->name : "",
		.at_ms = key != NULL ? key->at_ms : 0,
		.error = error,
	};

	p->handler.on_result(p->handler.arg, &r);
}

/* Says a problem once, and again only when it has become another one. */
void plan_report_problem(struct plan *p, struct plan_object *o, const struct plan_key *key,
	enum plan_problem problem, const char *error)
{
	static const enum plan_action actions[] = {
		[PROBLEM_FAILED] = PLAN_FAILED,
		[PROBLEM_FOREIGN] = PLAN_CONFLICT,
		[PROBLEM_HELD] = PLAN_HELD,
		[PROBLEM_SKIPPED] = PLAN_SKIPPED,
	};
	uint64_t said = error != NULL ? XXH3_64bits(error, strlen(error)) | 1 : 1;
	bool known = o->problem == problem && o->said == said;

	set_problem(p, o, problem);
	o->said = said;
	if (!known)
		plan_report(p, o, key, actions[problem], error);
}

/* Keys that want the object and do not get it are told so, once. */
static void report_losers(struct plan *p, struct plan_object *o, const struct want *won)
{
	const struct plan_key *has = won != NULL ? won->key : o->owner;

	for (struct want *w = o->wants; w != NULL; w = w->next) {
		bool loses = w != won;
		cleanup_free char *why = NULL;

		if (w->lost == loses)
			continue;
		w->lost = loses;
		if (!loses) {
			p->conflicts--;
			continue;
		}
		p->conflicts++;
		why = xasprintf("'%s/%s' has it", has->source->name, has->name);
		plan_report(p, o, w->key, PLAN_CONFLICT, why);
	}
}

void plan_settle(struct plan *p, struct plan_object *o, bool said)
{
	enum decision d;
	struct want *w;

	if (o->work == WORK_IN_FLIGHT)
		return;
	d = plan_decide(o, &w);
	o->waited = o->waited && d == DECIDE_DELETE;
	switch (d) {
	case DECIDE_NOTHING:
		plan_unqueue(p, o);
		o->failures = 0;
		if (!o->unreadable)
			plan_clear_problem(p, o);
		if (said && w != NULL)
			plan_report(p, o, w->key, PLAN_UNCHANGED, NULL);
		break;
	case DECIDE_HOLD:
		plan_unqueue(p, o);
		plan_report_problem(p, o, o->owner, PROBLEM_HELD, NULL);
		break;
	case DECIDE_SKIP:
		plan_unqueue(p, o);
		plan_report_problem(p, o, w != NULL ? w->key : o->owner, PROBLEM_SKIPPED,
			"'" MANIFEST_RECONCILE "' is '" MANIFEST_DISABLED "' on it");
		break;
	case DECIDE_WRITE:
	case DECIDE_DELETE:
		if (o->problem == PROBLEM_HELD || o->problem == PROBLEM_SKIPPED)
			plan_clear_problem(p, o);
		if (d == DECIDE_DELETE && !o->waited)
			plan_delay(p, o);
		else
			plan_enqueue(p, o);
		break;
	}
	report_losers(p, o, w);
}

static int compare_objects(const void *a, const void *b)
{
	return object_id_compare(
		&(*(struct plan_object *const *)a)->id, &(*(struct plan_object *const *)b)->id);
}

void plan_settle_touched(struct plan *p, struct touched *t)
{
	if (t->count > 0)
		qsort(t->item, t->count, sizeof(struct plan_object *), compare_objects);
	for (size_t i = 0; i < t->count; i++) {
		struct plan_object *o = t->item[i];

		o->touched--;
		if (i + 1 < t->count && t->item[i + 1] == o)
			continue;
		plan_settle(p, o, false);
		plan_object_drop(p, o);
	}
	free(t->item);
	*t = (struct touched){ .item = NULL };
}
