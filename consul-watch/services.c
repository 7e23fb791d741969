/* The services: the table, whose turn it is when, and the spread resync. */

#include <search.h>
#include <string.h>

#include "consul-watch/state.h"
#include "lib/http.h"
#include "lib/log.h"

#define STREAMS_PER_CONN 200 /* of the 250 that an agent allows */
#define PACE_MS		 250 /* between the answers of one service, after a burst */
#define PACE_BURST	 4
#define MAX_NAME_BYTES	 4096
#define MISNAMED_MS	 5000  /* between reads of what no query wakes for */
#define QUESTION_STEP_MS 100   /* between looks whether it is known that consul is there */
#define STUCK_MS	 60000 /* longer than that a snapshot that is not whole is not waited for */

/*
 * Standing queries of a process on HTTP/1.1, at its start and more a second. With
 * the short waits of a young process (watch_wait_ms) this keeps a crash loop far
 * from the 200 connections that an agent allows to an address.
 */
#define YOUNG_QUERIES	 8
#define YOUNG_PER_SECOND 10

/* Consul looks names up without regard to case: `Web` and `web` are one service. */
static int compare_names(const void *a, const void *b)
{
	return strcasecmp(((const struct service *)a)->name, ((const struct service *)b)->name);
}

/* Connections that are never lent to blocking queries on services. */
static size_t reserve(const struct watch *w)
{
	size_t eighth = watch_connections(w) / 8;

	return eighth < 3 ? 3 : eighth;
}

size_t services_capacity(const struct watch *w)
{
	size_t connections = watch_connections(w) - reserve(w);

	return w->multiplexed ? connections * STREAMS_PER_CONN : connections;
}

size_t services_capacity_now(const struct watch *w)
{
	size_t capacity = services_capacity(w);
	size_t young =
		YOUNG_QUERIES + (size_t)(steady_ms() - w->opened_ms) * YOUNG_PER_SECOND / 1000;

	return w->multiplexed || capacity < young ? capacity : young;
}

struct service *services_find(struct watch *w, const char *name)
{
	struct service key = { .name = (char *)name };
	void *node = tfind(&key, &w->by_name, compare_names);

	return node != NULL ? *(struct service **)node : NULL;
}

static struct service *service_new(struct watch *w, const char *name)
{
	struct service *s = xcalloc(1, sizeof(*s));
	cleanup_free char *escaped = http_escape(name);

	s->watch = w;
	s->name = xstrdup(name);
	s->path = xasprintf("/v1/health/service/%s", escaped);
	LIST_INIT(&s->places);
	s->pace = (struct pace){ .interval_us = PACE_MS * 1000, .burst = PACE_BURST };
	s->backoff = (struct backoff){ .min_ms = 250, .max_ms = 30000 };
	TAILQ_INSERT_TAIL(&w->all, s, all);
	tsearch(s, &w->by_name, compare_names);
	return s;
}

struct service *services_add(struct watch *w, const char *name)
{
	struct service *s = services_find(w, name);

	if (s == NULL && strlen(name) > MAX_NAME_BYTES)
		return NULL;
	if (s == NULL) {
		s = service_new(w, name);
	} else if (!s->dead) {
		return s;
	} else if (strcmp(s->name, name) != 0) {
		/* Back in another spelling, while the old one still waits to be freed. */
		free(s->name);
		s->name = xstrdup(name);
	}
	w->services++;
	s->dead = s->gone = false;
	s->listed = true;
	s->troubled = false;
	s->body_hash = 0;
	s->empties = 0;
	if (w->snapshot_open && !s->owed) {
		s->owed = true;
		w->owed++;
	}
	service_read(s);
	return s;
}

static void leave_queues(struct service *s)
{
	struct watch *w = s->watch;

	if (s->in_reads)
		TAILQ_REMOVE(&w->reads, s, reads);
	if (s->in_due)
		TAILQ_REMOVE(&w->due, s, due);
	if (s->in_waits)
		TAILQ_REMOVE(&w->waits, s, waits);
	s->in_reads = s->in_waits = s->in_due = false;
}

static void service_free(struct service *s)
{
	struct watch *w = s->watch;

	leave_queues(s);
	say_not_owed(s);
	places_drop(s);
	sweep_forget(s);
	if (s->hidden)
		w->hidden--;
	if (s->in_dirty)
		TAILQ_REMOVE(&w->dirty, s, dirty);
	if (w->resync_next == s)
		w->resync_next = TAILQ_NEXT(s, all);
	tdelete(s, &w->by_name, compare_names);
	TAILQ_REMOVE(&w->all, s, all);
	free(s->line);
	free(s->last);
	free(s->name);
	free(s->path);
	free(s);
}

/* While a snapshot is open its count of names must hold, also if the service comes back. */
void service_reap(struct service *s)
{
	if (s->dead && !s->reading && !s->blocking && !s->probing && !s->comparing &&
		!s->watch->snapshot_open)
		service_free(s);
}

/* The clock is a list, the earliest first. */
void service_come_back(struct service *s, int64_t wait_ms, bool read)
{
	struct watch *w = s->watch;
	struct service *before;

	if (s->in_due)
		TAILQ_REMOVE(&w->due, s, due);
	s->in_due = true;
	s->due_read = read;
	s->due_ms = steady_ms() + wait_ms;
	before = TAILQ_LAST(&w->due, service_list);
	while (before != NULL && before->due_ms > s->due_ms)
		before = TAILQ_PREV(before, service_list, due);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&w->due, before, s, due);
	else
		TAILQ_INSERT_HEAD(&w->due, s, due);
	if (TAILQ_FIRST(&w->due) == s)
		uv_timer_start(&w->due_timer, services_on_due, (uint64_t)wait_ms, 0);
}

/* An agent that ends fails every service at one moment: is it there, since this one failed first? */
static bool is_in_question(const struct service *s)
{
	return s->backoff.failures > 0 && s->failed_ms >= s->watch->confirmed_ms &&
	       list_is_in_question(s->watch);
}

void services_on_due(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	int64_t now = steady_ms();
	struct service *s;

	while ((s = TAILQ_FIRST(&w->due)) != NULL && s->due_ms <= now) {
		if (is_in_question(s)) {
			service_come_back(s, QUESTION_STEP_MS, s->due_read);
			continue;
		}
		TAILQ_REMOVE(&w->due, s, due);
		s->in_due = false;
		if (s->due_read || w->sweeping)
			service_read(s);
		else
			service_block(s);
	}
	if (s != NULL)
		uv_timer_start(timer, services_on_due, (uint64_t)(s->due_ms - now), 0);
}

void services_init(struct watch *w)
{
	TAILQ_INIT(&w->all);
	TAILQ_INIT(&w->reads);
	TAILQ_INIT(&w->waits);
	TAILQ_INIT(&w->due);
	TAILQ_INIT(&w->dirty);
}

void services_release(struct watch *w)
{
	struct service *s;

	while ((s = TAILQ_FIRST(&w->all)) != NULL)
		service_free(s);
}

void services_pause(struct watch *w)
{
	struct service *s;

	while ((s = TAILQ_FIRST(&w->reads)) != NULL)
		leave_queues(s);
	while ((s = TAILQ_FIRST(&w->waits)) != NULL)
		leave_queues(s);
	while ((s = TAILQ_FIRST(&w->due)) != NULL)
		leave_queues(s);
}

void services_refresh(struct watch *w, bool say_again)
{
	struct service *s, *next;

	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		s->say_again = s->say_again || say_again;
		service_read(s);
	}
}

/* Under the budget again only with some room, so that it does not go to and fro. */
static bool is_over(const struct watch *w)
{
	size_t capacity = services_capacity(w);

	return w->services > (w->sweeping ? capacity - capacity / 8 : capacity);
}

void services_choose(struct watch *w)
{
	bool over = is_over(w);

	/* An agent that ends looks like one that allows fewer connections. */
	if (over == w->sweeping || w->config.once || (over && list_is_in_question(w)))
		return;
	w->sweeping = over;
	if (!over) {
		sweep_stop(w);
		services_refresh(w, false);
		return;
	}
	triggers_start(w);
	sweep_hint(w);
	if (w->over_said || consul_is_crowded(w->consul)) /* that one has said so */
		return;
	w->over_said = true;
	log_warn("more services than connections: changes of ports and meta data are found by "
		 "sweeps, which is slower; serve consul's API over https (many queries share a "
		 "connection), or raise --max-conns together with "
		 "limits.http_max_conns_per_client of the agent",
		"services", log_num((long long)w->services), "max_conns",
		log_num((long long)watch_connections(w)));
}

/* A part of the services a second, so that all are said again within half of --resync. */
static void resync(struct watch *w, int64_t now)
{
	size_t part = w->services * 2000 / ((size_t)w->config.resync_ms + 1) + 1;

	if (!w->resyncing && now >= w->resync_started_ms + w->config.resync_ms +
					     (w->snapshot_open ? STUCK_MS : 0)) {
		w->resync_started_ms = now;
		w->resyncing = true;
		w->resync_next = TAILQ_FIRST(&w->all);
		say_snapshot(w);
		watch_flush(w);
	}
	for (; w->resyncing && part > 0 && w->resync_next != NULL; part--) {
		struct service *s = w->resync_next;

		w->resync_next = TAILQ_NEXT(s, all);
		s->say_again = true;
		service_read(s);
	}
	if (w->resync_next == NULL)
		w->resyncing = false;
}

/* One whose instances are just not selected is listed. */
static bool may_be_gone(const struct service *s, int64_t now)
{
	return s->empty_since_ms != 0 && (!s->listed || s->left_out) && !s->gone && !s->dead &&
	       s->said && now >= s->empty_since_ms + s->watch->config.gone_after_ms;
}

void services_say_gone(struct watch *w)
{
	int64_t now = steady_ms();
	struct service *s, *next;

	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		if (may_be_gone(s, now))
			say_gone(s);
	}
}

static void read_misnamed(struct watch *w, int64_t now)
{
	struct service *s;

	TAILQ_FOREACH(s, &w->all, all)
	if (s->misnamed && s->listed && now >= s->read_ended_ms + MISNAMED_MS)
		service_read(s);
}

void services_tick(struct watch *w)
{
	int64_t now = steady_ms();
	struct service *s;

	if (!watch_is_connected(w) || !w->have_list)
		return;
	services_choose(w);
	reads_tick(w);
	resync(w, now);
	read_misnamed(w, now);
	TAILQ_FOREACH(s, &w->all, all)
	{
		if (!may_be_gone(s, now))
			continue;
		list_confirm(w);
		break;
	}
}
