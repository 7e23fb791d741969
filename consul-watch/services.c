/* Reading each service: when it is asked for, how, and what an answer means. */

#include <search.h>
#include <string.h>

#include "consul-watch/instance.h"
#include "consul-watch/state.h"
#include "lib/http.h"
#include "lib/log.h"

#define MAX_READS	 32   /* in flight at once */
#define STREAMS_PER_CONN 200  /* of the 250 that an agent allows */
#define SWEEP_MIN_MS	 2000 /* from one sweep's start to the next */
#define SWEEP_PER_SECOND 500  /* services, so that a sweep costs a few percent of an agent */
#define EARLY_SLACK_MS	 500  /* a wait that ended this much early did not run out */
#define MAX_NAME_BYTES	 4096

static void start_reads(struct watch *w);
static void start_block(struct service *s);

/* Consul looks names up without regard to case: `Web` and `web` are one service. */
static int compare_names(const void *a, const void *b)
{
	return strcasecmp(((const struct service *)a)->name, ((const struct service *)b)->name);
}

static bool is_connected(const struct watch *w)
{
	return w->state == WATCH_CONNECTED && !w->ended && !w->closed;
}

/* Connections that are never lent to blocking queries on services. */
static size_t reserve(const struct watch *w)
{
	size_t eighth = w->config.max_connections / 8;

	return eighth < 3 ? 3 : eighth;
}

/* How many blocking queries on services may stand at once. */
static size_t capacity(const struct watch *w)
{
	size_t connections = w->config.max_connections - reserve(w);

	return w->multiplexed ? connections * STREAMS_PER_CONN : connections;
}

/* Two connections are kept for the list and its confirmation. */
static size_t max_reads(const struct watch *w)
{
	size_t used = w->multiplexed ? 2 : w->blocks_running + 2;
	size_t left = used < w->config.max_connections ? w->config.max_connections - used : 1;

	return left < MAX_READS ? left : MAX_READS;
}

static struct service *services_find(struct watch *w, const char *name)
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
	s->in_reads = s->in_due = false;
}

static void service_free(struct service *s)
{
	struct watch *w = s->watch;

	leave_queues(s);
	say_not_owed(s);
	if (s->in_dirty)
		TAILQ_REMOVE(&w->dirty, s, dirty);
	if (w->resync_next == s)
		w->resync_next = TAILQ_NEXT(s, all);
	tdelete(s, &w->by_name, compare_names);
	TAILQ_REMOVE(&w->all, s, all);
	free(s->line);
	free(s->name);
	free(s->path);
	free(s);
}

/* While a snapshot is open its count of names must hold, also if the service comes back. */
void service_reap(struct service *s)
{
	if (s->dead && !s->reading && !s->blocking && !s->watch->snapshot_open)
		service_free(s);
}

/* Puts the service on the clock; the earliest first. */
static void come_back(struct service *s, int64_t wait_ms, bool read)
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

void services_on_due(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	int64_t now = steady_ms();
	struct service *s;

	while ((s = TAILQ_FIRST(&w->due)) != NULL && s->due_ms <= now) {
		TAILQ_REMOVE(&w->due, s, due);
		s->in_due = false;
		if (s->due_read || w->sweeping)
			service_read(s);
		else
			start_block(s);
	}
	if (s != NULL)
		uv_timer_start(timer, services_on_due, (uint64_t)(s->due_ms - now), 0);
}

void services_init(struct watch *w)
{
	TAILQ_INIT(&w->all);
	TAILQ_INIT(&w->reads);
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
	while ((s = TAILQ_FIRST(&w->due)) != NULL)
		leave_queues(s);
}

/* The answer of a service that cannot be used. It is asked again later, unless that is useless. */
static void fail(struct service *s, const struct consul_answer *answer, const char *error)
{
	struct watch *w = s->watch;

	w->counters.errors++;
	s->index = 0;
	if (answer->outcome == CONSUL_IMPOSSIBLE) {
		log_warn("consul cannot serve this name, the service is left out", "service",
			s->name, "error", error);
		s->unwatchable = true;
		say_not_owed(s);
		watch_flush(w);
		return;
	}
	/* A whole agent that is away is said once, by the list of services. */
	if (!s->troubled && is_connected(w) && answer->outcome != CONSUL_UNREACHABLE)
		log_warn("cannot read a service, it keeps its last state", "service", s->name,
			"error", error);
	s->troubled = true;
	if (is_connected(w))
		come_back(s, backoff_next_ms(&s->backoff), true);
	watch_failed(w, answer);
	watch_confirm(w);
}

/*
 * No instance. Believed only when a confirmed list lacks the service and this
 * answer is younger than that: a consistent read, made because of it.
 */
static bool believe_empty(struct service *s, bool was_read)
{
	struct watch *w = s->watch;

	if (!s->listed && was_read)
		return true;
	s->empties++;
	if (s->listed && s->empties == 3)
		log_warn("a listed service has no instance that may be read, it keeps its last "
			 "state; "
			 "does the token have node:read?",
			"service", s->name);
	if (s->listed)
		come_back(s, backoff_next_ms(&s->backoff), true);
	watch_confirm(w);
	return false;
}

/* Returns false when the answer settled nothing. */
static bool take(struct service *s, const struct consul_answer *answer, bool was_read)
{
	struct watch *w = s->watch;
	struct err err = ERR_INIT;
	cleanup_jv jv instances = instances_from_health(answer->body, w->source, &err);

	if (!jv_is_valid(instances)) {
		fail(s, answer, err.msg);
		return false;
	}
	if (jvx_length(answer->body) == 0 && !believe_empty(s, was_read))
		return false;
	if (s->troubled)
		log_info("the service can be read again", "service", s->name);
	s->troubled = false;
	s->empties = 0;
	backoff_reset(&s->backoff);
	if (jvx_length(answer->body) > 0 && !s->listed)
		watch_confirm(w); /* back while it was being confirmed as gone */
	s->left_out = jvx_length(instances) == 0 && jvx_length(answer->body) > 0 && !s->said;
	if (s->left_out || (jvx_length(instances) == 0 && !s->said)) {
		say_not_owed(s);
		watch_flush(w);
	} else {
		say_service(s, answer, instances);
	}
	return true;
}

/* A service that was never said and is no longer listed leaves no trace. */
static bool forget_unsaid(struct service *s)
{
	if (s->listed || s->said || s->dead)
		return false;
	s->dead = true;
	s->watch->services--;
	say_not_owed(s);
	watch_flush(s->watch);
	service_reap(s);
	return true;
}

static void on_read(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;
	struct watch *w = s->watch;
	bool again = s->read_behind;

	s->reading = s->read_behind = false;
	s->read_ended_ms = steady_ms();
	w->reads_running--;
	if (answer->multiplexed)
		w->multiplexed = true;
	if (s->dead) {
		service_reap(s);
	} else if (answer->outcome != CONSUL_OK) {
		fail(s, answer, answer->error);
	} else if (take(s, answer, true)) {
		s->index = s->read_index = answer->index;
		if (again)
			service_read(s);
		else if (!forget_unsaid(s))
			start_block(s);
	} else if (again) {
		service_read(s);
	}
	start_reads(w);
}

static int ask(struct service *s, uint64_t index, enum consul_consistency consistency,
	void (*on_answer)(void *, const struct consul_answer *))
{
	struct watch *w = s->watch;
	struct err err = ERR_INIT;
	struct consul_query query = {
		.path = s->path,
		.index = index,
		.wait_ms = w->wait_ms,
		.consistency = consistency,
		.on_answer = on_answer,
		.arg = s,
	};

	if (consul_ask(w->consul, &query, &err) == 0) {
		w->counters.queries++;
		return 0;
	}
	log_error("cannot ask consul", "service", s->name, "error", err.msg);
	come_back(s, backoff_next_ms(&s->backoff), true);
	return -1;
}

static void start_reads(struct watch *w)
{
	struct service *s;

	while (is_connected(w) && w->reads_running < max_reads(w) &&
		(s = TAILQ_FIRST(&w->reads)) != NULL) {
		TAILQ_REMOVE(&w->reads, s, reads);
		s->in_reads = false;
		/* What may be the last word on a service must not come from a follower that lags. */
		if (ask(s, 0, s->listed ? w->config.consistency : CONSUL_CONSISTENT, on_read) ==
			0) {
			s->reading = true;
			w->reads_running++;
		}
	}
}

void service_read(struct service *s)
{
	struct watch *w = s->watch;

	if (s->unwatchable || s->dead)
		return;
	if (s->in_due && s->due_read) {
		TAILQ_REMOVE(&w->due, s, due);
		s->in_due = false;
	}
	if (s->reading) {
		s->read_behind = true;
	} else if (!s->in_reads) {
		TAILQ_INSERT_TAIL(&w->reads, s, reads);
		s->in_reads = true;
	}
	start_reads(w);
}

/*
 * The wait of a blocking query ended without news: its body may be as old as
 * the start of the query, and a read may have seen more since.
 */
static bool is_outdated(const struct service *s, const struct consul_answer *answer)
{
	return s->read_ended_ms >= s->block_started_ms && answer->index <= s->read_index;
}

/*
 * The index for the next query, 0 to read without one: the index went back, or
 * the same came early, as it does for a restored snapshot.
 */
static uint64_t next_index(const struct service *s, const struct consul_answer *answer)
{
	bool early = answer->elapsed_ms < s->watch->wait_ms - EARLY_SLACK_MS;

	if (answer->index < s->asked_index || (answer->index == s->asked_index && early))
		return 0;
	return answer->index;
}

static void on_block(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;
	struct watch *w = s->watch;
	int64_t wait_ms;

	s->blocking = false;
	w->blocks_running--;
	start_reads(w);
	if (s->dead) {
		service_reap(s);
		return;
	}
	if (answer->outcome != CONSUL_OK) {
		fail(s, answer, answer->error);
		return;
	}
	if (!is_outdated(s, answer) && !take(s, answer, false))
		return;
	s->index = next_index(s, answer);
	wait_ms = pace_take_ms(&s->pace, steady_ms());
	if (wait_ms > 0)
		come_back(s, wait_ms, s->index == 0);
	else if (s->index == 0)
		service_read(s);
	else
		start_block(s);
}

static void start_block(struct service *s)
{
	struct watch *w = s->watch;

	if (!is_connected(w) || w->sweeping || w->config.once || s->blocking || s->reading ||
		!s->listed || s->dead || s->index == 0 || w->blocks_running >= capacity(w))
		return;
	if (ask(s, s->index, w->config.consistency, on_block) < 0)
		return;
	s->asked_index = s->index;
	s->block_started_ms = steady_ms();
	s->blocking = true;
	w->blocks_running++;
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

/* Over the budget, or under it again. */
void services_choose(struct watch *w)
{
	bool over = w->services > capacity(w);

	if (over == w->sweeping || w->config.once)
		return;
	w->sweeping = over;
	if (!over) {
		services_refresh(w, false);
		return;
	}
	log_warn("more services than connections: they are read in sweeps, which is slower; serve "
		 "consul's API over https (many queries share a connection), or raise --max-conns "
		 "together with limits.http_max_conns_per_client of the agent",
		"services", log_num((long long)w->services), "max_conns",
		log_num((long long)w->config.max_connections));
}

void services_hint(struct watch *w)
{
	w->sweep_hinted = true;
}

static void sweep(struct watch *w, int64_t now)
{
	int64_t interval = (int64_t)w->services * 1000 / SWEEP_PER_SECOND;

	if (interval < SWEEP_MIN_MS)
		interval = SWEEP_MIN_MS;
	if (w->sweep_hinted)
		interval /= 4;
	if (!w->sweeping || w->reads_running > 0 || !TAILQ_EMPTY(&w->reads) ||
		now < w->sweep_started_ms + interval)
		return;
	w->sweep_started_ms = now;
	w->sweep_hinted = false;
	services_refresh(w, false);
}

/* A part of the services a second, so that all are said again within half of --resync. */
static void resync(struct watch *w, int64_t now)
{
	size_t part = w->services * 2000 / ((size_t)w->config.resync_ms + 1) + 1;

	if (!w->resyncing && !w->snapshot_open &&
		now >= w->resync_started_ms + w->config.resync_ms) {
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

void services_tick(struct watch *w)
{
	int64_t now = steady_ms();
	struct service *s, *next;

	if (!is_connected(w) || !w->have_list)
		return;
	services_choose(w);
	sweep(w, now);
	resync(w, now);
	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		if (s->empty_since_ms != 0 && !s->listed && !s->gone && !s->dead && s->said &&
			now >= s->empty_since_ms + w->config.gone_after_ms)
			say_gone(s);
	}
}
