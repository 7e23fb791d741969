/*
 * More services than connections: something changed, and nothing says where.
 *
 * An index-only read (`tag` of an instance that does not exist: no body, and the
 * index that the whole answer has) asks each service whether it is the one. Nothing can
 * be concluded from the index of the catalogue, which other writes share: so a
 * sweep follows every such wake. What leaves an index as it is (a change of access
 * control) is found by full reads, spread over ten minutes.
 */

#include <string.h>

#include "consul-watch/state.h"

#define MAX_PROBES 8
#define NO_TAG	   "__none__"
/* A sweep costs an agent about 60 us a service: this keeps them to a few percent of it. */
#define SWEEP_MS_PER_SERVICE 1
#define SWEEP_MIN_MS	     250
#define SWEEP_BURST	     2
#define AUDIT_S		     600

static void start(struct watch *w)
{
	w->sweep_running = true;
	w->sweep_hinted = false;
	w->sweep_next = TAILQ_FIRST(&w->all);
	sweep_go_on(w);
}

void sweep_on_timer(uv_timer_t *timer)
{
	struct watch *w = timer->data;

	if (w->sweeping && w->sweep_hinted && !w->sweep_running && watch_is_connected(w))
		start(w);
}

/* A sweep does not start sooner than the last ones allow. */
static void schedule(struct watch *w)
{
	int64_t interval = (int64_t)w->services * SWEEP_MS_PER_SERVICE;

	w->sweep_pace.interval_us = 1000 * (interval < SWEEP_MIN_MS ? SWEEP_MIN_MS : interval);
	w->sweep_pace.burst = SWEEP_BURST;
	uv_timer_start(&w->sweep_timer, sweep_on_timer,
		(uint64_t)pace_take_ms(&w->sweep_pace, steady_ms()), 0);
}

void sweep_hint(struct watch *w)
{
	if (!w->sweeping || w->sweep_hinted || !watch_is_connected(w))
		return;
	w->sweep_hinted = true;
	if (!w->sweep_running)
		schedule(w);
}

void sweep_stop(struct watch *w)
{
	w->sweep_running = w->sweep_hinted = false;
	w->sweep_next = NULL;
	uv_timer_stop(&w->sweep_timer);
}

/* Not for want of an answer that would differ: there was none for it. */
static void again(struct service *s, const struct consul_answer *answer)
{
	if (answer->outcome == CONSUL_LIMITED)
		reads_slow_down(s->watch, answer);
	sweep_hint(s->watch);
}

static void on_probe(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;
	struct watch *w = s->watch;

	s->probing = false;
	w->probes_running--;
	if (s->dead)
		service_reap(s);
	else if (answer->outcome == CONSUL_CROWDED || answer->outcome == CONSUL_LIMITED)
		again(s, answer);
	else if (answer->outcome != CONSUL_OK || answer->index != s->read_index)
		service_read(s);
	reads_start(w);
}

static void probe(struct service *s)
{
	struct watch *w = s->watch;
	struct consul_query query = {
		.path = s->path,
		.tag = NO_TAG,
		.consistency = w->config.consistency,
		.on_answer = on_probe,
		.arg = s,
	};

	if (watch_ask(w, &query) < 0)
		return;
	s->probing = true;
	w->probes_running++;
}

/* What is being read, or is going to be, needs no probe. */
static bool needs_probe(const struct service *s)
{
	return s->listed && !s->dead && !s->unwatchable && !s->hidden && !s->reading &&
	       !s->in_reads && !s->probing && s->read_index > 0;
}

static bool may_probe(const struct watch *w)
{
	return watch_is_connected(w) && steady_ms() >= w->slow_until_ms &&
	       w->probes_running < MAX_PROBES && w->probes_running < w->max_reads &&
	       (w->probes_running == 0 || reads_room(w) > 0);
}

void sweep_go_on(struct watch *w)
{
	while (w->sweep_next != NULL && may_probe(w)) {
		struct service *s = w->sweep_next;

		w->sweep_next = TAILQ_NEXT(s, all);
		if (needs_probe(s))
			probe(s);
	}
	if (!w->sweep_running || w->sweep_next != NULL || w->probes_running > 0)
		return;
	w->sweep_running = false;
	if (w->sweep_hinted)
		schedule(w);
}

static void audit(struct watch *w)
{
	for (size_t part = w->services / AUDIT_S + 1; part > 0; part--) {
		struct service *s = w->audit_next;

		if (s == NULL)
			s = TAILQ_FIRST(&w->all);
		if (s == NULL)
			return;
		w->audit_next = TAILQ_NEXT(s, all);
		if (s->listed)
			service_read(s);
	}
}

void sweep_tick(struct watch *w)
{
	if (!w->sweeping || !watch_is_connected(w))
		return;
	triggers_start(w);
	if (!triggers_stand(w))
		sweep_hint(w);
	audit(w);
}

void sweep_forget(struct service *s)
{
	struct watch *w = s->watch;

	if (w->sweep_next == s)
		w->sweep_next = TAILQ_NEXT(s, all);
	if (w->audit_next == s)
		w->audit_next = TAILQ_NEXT(s, all);
}
