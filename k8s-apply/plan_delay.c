#include "k8s-apply/plan_table.h"

/*
 * An object that one key gives up may be one that another key is about to ask for. Its deletion
 * waits for that: within a key until the records that came together have been read, for a key
 * that loses everything for longer, because its other name may come from elsewhere.
 */

static int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The lists are in order of time, so the first of each is the first whose time has come. */
static int64_t moving_until_ms(const struct plan *p)
{
	const struct plan_object *o;

	if (link_alone(&p->moving))
		return INT64_MAX;
	o = LINK_OF(p->moving.next, const struct plan_object, work_link);
	return at_most(o->retry_at_ms + p->config.quiet_max_ms,
		at_least(o->retry_at_ms, p->heard_ms) + p->config.quiet_ms);
}

static int64_t pruning_until_ms(const struct plan *p)
{
	const struct plan_object *o;

	if (link_alone(&p->pruning))
		return INT64_MAX;
	o = LINK_OF(p->pruning.next, const struct plan_object, work_link);
	return o->retry_at_ms + p->config.prune_delay_ms;
}

int64_t plan_delayed_until_ms(const struct plan *p)
{
	return at_most(moving_until_ms(p), pruning_until_ms(p));
}

static void wake_first(struct plan *p, struct link *list)
{
	struct plan_object *o = LINK_OF(list->next, struct plan_object, work_link);

	o->waited = true;
	plan_enqueue(p, o);
}

void plan_wake_delayed(struct plan *p)
{
	while (moving_until_ms(p) <= p->now_ms)
		wake_first(p, &p->moving);
	while (pruning_until_ms(p) <= p->now_ms)
		wake_first(p, &p->pruning);
}

void plan_delay(struct plan *p, struct plan_object *o)
{
	bool loses_all = o->owner->doom != DOOM_NONE;
	int64_t delay = loses_all ? p->config.prune_delay_ms : p->config.quiet_ms;

	if (o->work == WORK_DELAYED)
		return;
	if (p->hurried || delay == 0) {
		o->waited = true;
		plan_enqueue(p, o);
		return;
	}
	plan_unqueue(p, o);
	o->work = WORK_DELAYED;
	o->retry_at_ms = p->now_ms;
	p->waiting++;
	link_append(loses_all ? &p->pruning : &p->moving, &o->work_link);
}

void plan_hurry(struct plan *p)
{
	p->hurried = true;
	while (!link_alone(&p->moving))
		wake_first(p, &p->moving);
	while (!link_alone(&p->pruning))
		wake_first(p, &p->pruning);
}

void plan_set_aside(struct plan *p, struct plan_object *o, struct plan_source *s)
{
	plan_unqueue(p, o);
	o->work = WORK_PAUSED;
	p->waiting++;
	p->paused++;
	link_append(&s->paused_work, &o->work_link);
}

void plan_pause(struct plan *p, const char *source, bool paused)
{
	struct plan_source *s = plan_source_get(p, source);

	s->paused = paused;
	while (!paused && !link_alone(&s->paused_work))
		plan_enqueue(p, LINK_OF(s->paused_work.next, struct plan_object, work_link));
}
