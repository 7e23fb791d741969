#include "mesh-map/pool.h"

#include <string.h>

#include "lib/log.h"
#include "mesh-map/sick.h"
#include "mesh-map/slot.h"

/* Lines under way. */
#define MAX_ITEMS 256
#define MAX_BYTES (4u << 20)

/* When so many services have killed a worker, others get that part of the limit the first time. */
#define MANY_SICK 4
#define HURRY	  5

#define TICK_MS 100

struct pool {
	uv_loop_t *loop;
	struct pool_config config;
	struct slot_handler handler;
	struct mapping *mapping;
	struct item *first, **end; /* in the order of the input */
	size_t n_items, bytes;
	struct slot *slots; /* config.jobs of them, and one for what is tried again */
	struct sick_list sick;
	struct item *retry; /* in the last slot; not in the list */
	uv_timer_t *tick;
	bool flushing;
	bool failed;
};

static void dispatch(struct pool *p);
static void on_tick(uv_timer_t *timer);

static struct slot *spare(const struct pool *p)
{
	return &p->slots[p->config.jobs];
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static bool is_barrier(const struct item *item)
{
	return item->kind == ITEM_START || item->kind == ITEM_GONE || item->kind == ITEM_SYNCED;
}

/* --- the list --- */

static void append(struct pool *p, struct item *item)
{
	*p->end = item;
	p->end = &item->next;
	p->n_items++;
	p->bytes += item->len;
}

static void unlink_item(struct pool *p, struct item **at)
{
	struct item *item = *at;

	*at = item->next;
	if (p->end == &item->next)
		p->end = at;
	p->n_items--;
	p->bytes -= item->len;
	item_free(item);
}

/* Hands out what is done: in order, but past a line that is late up to the next barrier. */
static void flush(struct pool *p)
{
	struct item **at = &p->first;
	bool passing = false;

	if (p->flushing)
		return;
	p->flushing = true;
	while (*at != NULL) {
		struct item *item = *at;

		if (item->state == ITEM_DONE) {
			if ((passing && is_barrier(item)) ||
				!p->config.on_done(p->config.arg, item))
				break;
			unlink_item(p, at);
			continue;
		}
		passing = passing || item_is_late(item);
		if (!passing)
			break;
		at = &item->next;
	}
	p->flushing = false;
}

void pool_flush(struct pool *p)
{
	flush(p);
	dispatch(p);
}

bool pool_full(const struct pool *p)
{
	return p->n_items >= MAX_ITEMS || (p->n_items > 0 && p->bytes >= MAX_BYTES);
}

bool pool_empty(const struct pool *p)
{
	return p->n_items == 0;
}

/* --- what kills workers --- */

static void answer_died(struct item *item, const char *why)
{
	item->state = ITEM_DONE;
	item->died = true;
	item->problem = xstrdup(why);
}

static void stop_retry(struct pool *p)
{
	if (p->retry == NULL)
		return;
	slot_end(spare(p));
	item_free(p->retry);
	p->retry = NULL;
}

static void start_slot(struct pool *p, struct slot *s)
{
	struct err err = ERR_INIT;

	if (slot_is_up(s) || p->failed || slot_start(s, p->mapping, &err) == 0)
		return;
	p->failed = true;
	p->config.on_failed(p->config.arg, &err);
}

static struct item *item_of(const struct sick *s)
{
	struct item *item = item_new(ITEM_SERVICE, s->line, s->text, s->len);
	const char *service = s->subject + strlen(s->source) + 1;

	item_name(item, s->source, strlen(s->source), service, strlen(service));
	return item;
}

static void try_again(struct pool *p)
{
	struct sick *due = p->retry == NULL ? sick_due(&p->sick, steady_ms()) : NULL;

	if (due == NULL)
		return;
	start_slot(p, spare(p));
	if (p->failed)
		return;
	p->retry = item_of(due);
	log_debug("tried again", "service", p->retry->subject, "line", log_num(p->retry->line));
	slot_give(spare(p), p->retry);
}

/* Who waits for nobody is in nobody's way: its answer is that it is left as it is. */
static void take_sick(struct pool *p, struct sick *s, struct item *item)
{
	answer_died(item, s->why);
	sick_renew(&p->sick, s, item);
}

/* --- workers --- */

static void take_answer(struct item *item, const struct answer *a)
{
	if (a->kind == ANSWER_UNREADABLE)
		item->kind = ITEM_BAD;
	else
		item->answer = xstrndup(a->record, a->record_len);
	item->answer_len = a->record_len;
	item->problem = a->problem != NULL ? xstrndup(a->problem, a->problem_len) : NULL;
	item->objects = a->objects;
	item->kept = a->kept;
	item->took_us = a->took_us;
	item->state = ITEM_DONE;
}

static void moved(struct pool *p)
{
	pool_flush(p);
	p->config.on_progress(p->config.arg);
}

static void on_answer(void *arg, struct slot *s, struct item *item, const struct answer *a)
{
	struct pool *p = arg;

	take_answer(item, a);
	if (s == spare(p)) {
		p->retry = NULL;
		sick_forget(&p->sick, item->subject);
		append(p, item);
	}
	moved(p);
}

/* A line comes in, or did behind one that died: what it is newer than is not tried again. */
static void outdate(struct pool *p, const struct item *newer)
{
	switch (newer->kind) {
	case ITEM_SERVICE:
	case ITEM_GONE:
		if (p->retry != NULL && strcmp(p->retry->subject, newer->subject) == 0)
			stop_retry(p);
		if (newer->kind == ITEM_GONE)
			sick_forget(&p->sick, newer->subject);
		else
			sick_forget_text(&p->sick, newer->subject);
		return;
	case ITEM_START:
		if (newer->source == NULL)
			return;
		if (p->retry != NULL && strcmp(p->retry->source, newer->source) == 0)
			stop_retry(p);
		sick_forget_texts(&p->sick, newer->source);
		return;
	case ITEM_SYNCED:
		/* Of what the snapshot did not name nothing more will come. */
		if (newer->source != NULL)
			sick_forget_unnamed(&p->sick, newer->source);
		return;
	case ITEM_PASS:
	case ITEM_BAD:
		return;
	}
}

static void outdate_died(struct pool *p, const struct item *died)
{
	for (const struct item *i = died->next; i != NULL; i = i->next)
		if (i->kind == ITEM_START ||
			(i->subject != NULL && strcmp(i->subject, died->subject) == 0))
			outdate(p, i);
}

static void on_gone(void *arg, struct slot *s, struct item *item, const char *why)
{
	struct pool *p = arg;

	if (item != NULL) {
		sick_died(&p->sick, item, why);
		outdate_died(p, item);
	}
	if (s == spare(p)) {
		item_free(p->retry);
		p->retry = NULL;
	} else if (item != NULL) {
		answer_died(item, why);
	}
	moved(p);
}

static struct slot *slot_of(struct pool *p, const struct item *item)
{
	for (unsigned i = 0; i < p->config.jobs; i++)
		if (slot_has(&p->slots[i], item->hash, item->subject))
			return &p->slots[i];
	return NULL;
}

static bool all_late(const struct pool *p)
{
	for (unsigned i = 0; i < p->config.jobs; i++)
		if (!slot_is_late(&p->slots[i]))
			return false;
	return true;
}

/* The one with the fewest lines; one that has none may still have to be started. */
static struct slot *freest_slot(struct pool *p, size_t len)
{
	struct slot *best = NULL;
	bool any = all_late(p);

	for (unsigned i = 0; i < p->config.jobs; i++) {
		struct slot *s = &p->slots[i];

		if ((any || !slot_is_late(s)) && (!slot_is_up(s) || slot_has_room(s, len)) &&
			(best == NULL || s->n_items < best->n_items))
			best = s;
	}
	if (best != NULL)
		start_slot(p, best);
	return p->failed ? NULL : best;
}

/* Lines of one service go to one worker, as long as it has any: they keep their order. */
static void dispatch(struct pool *p)
{
	for (struct item *item = p->first; item != NULL && !p->failed; item = item->next) {
		struct sick *sick;
		struct slot *s;

		if (item->state != ITEM_QUEUED)
			continue;
		sick = sick_find(&p->sick, item->subject);
		if (sick != NULL) {
			take_sick(p, sick, item);
			continue;
		}
		s = slot_of(p, item);
		if (s != NULL && !slot_has_room(s, item->len))
			continue;
		if (s == NULL)
			s = freest_slot(p, item->len);
		if (s == NULL)
			break;
		slot_give(s, item);
	}
	if (!uv_is_active((uv_handle_t *)p->tick) && (p->n_items > 0 || p->sick.first != NULL))
		uv_timer_start(p->tick, on_tick, TICK_MS, TICK_MS);
}

/* What waits behind a line that is late goes to others, if there is one that is not. */
static void pass_late(struct pool *p)
{
	if (all_late(p))
		return;
	for (unsigned i = 0; i < p->config.jobs; i++)
		if (slot_is_late(&p->slots[i]))
			slot_take_back(&p->slots[i]);
}

static void on_tick(uv_timer_t *timer)
{
	struct pool *p = timer->data;

	for (unsigned i = 0; i <= p->config.jobs; i++)
		slot_check(
			&p->slots[i], i < p->config.jobs && p->sick.count >= MANY_SICK ? HURRY : 1);
	pass_late(p);
	try_again(p);
	moved(p);
	if (p->n_items == 0 && p->sick.first == NULL)
		uv_timer_stop(timer);
}

/* --- from outside --- */

struct pool *pool_open(uv_loop_t *loop, const struct pool_config *config, struct mapping *m)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->config = *config;
	p->mapping = m;
	p->end = &p->first;
	p->handler = (struct slot_handler){ .on_answer = on_answer, .on_gone = on_gone, .arg = p };
	p->slots = xcalloc(config->jobs + 1, sizeof(struct slot));
	for (unsigned i = 0; i <= config->jobs; i++)
		slot_init(&p->slots[i], loop, &p->handler, &p->config.limits);
	p->tick = xcalloc(1, sizeof(*p->tick));
	p->tick->data = p;
	uv_timer_init(loop, p->tick);
	return p;
}

void pool_close(struct pool *p)
{
	if (p == NULL)
		return;
	stop_retry(p);
	for (unsigned i = 0; i <= p->config.jobs; i++)
		slot_end(&p->slots[i]);
	while (p->first != NULL)
		unlink_item(p, &p->first);
	uv_close((uv_handle_t *)p->tick, free_handle);
	sick_release(&p->sick);
	mapping_close(p->mapping);
	free(p->slots);
	free(p);
}

void pool_add(struct pool *p, struct item *item)
{
	append(p, item);
	outdate(p, item);
	pool_flush(p);
}

void pool_reload(struct pool *p, struct mapping *m)
{
	mapping_close(p->mapping);
	p->mapping = m;
	/* What the old programs died of says nothing of these: all that waits goes the common way. */
	stop_retry(p);
	for (const struct sick *s = p->sick.first; s != NULL; s = s->next)
		if (s->text != NULL)
			append(p, item_of(s));
	sick_release(&p->sick);
	for (unsigned i = 0; i <= p->config.jobs; i++)
		slot_retire(&p->slots[i]);
	dispatch(p);
}
