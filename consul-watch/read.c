/* Reading one service: how it is asked for, by reads and by blocking queries. */

#include <string.h>

#include "consul-watch/state.h"
#include "lib/log.h"

#define MAX_READS      32    /* in flight at once */
#define SLOW_BLOCKS    4     /* blocking queries a second, while consul limits our requests */
#define SLOW_FORGET_MS 60000 /* until a limit that shows again is said again */

/* Two connections are kept for the list and its confirmation. */
size_t reads_room(const struct watch *w)
{
	size_t used = 2 + w->reads_running + w->probes_running + w->triggers_running;

	if (!w->multiplexed)
		used += w->blocks_running;
	return used < watch_connections(w) ? watch_connections(w) - used : 0;
}

/* One read goes on whatever else stands: there is a connection for it sooner or later. */
static bool may_read(const struct watch *w)
{
	return watch_is_connected(w) && w->reads_running < w->max_reads &&
	       steady_ms() >= w->slow_until_ms && (w->reads_running == 0 || reads_room(w) > 0);
}

void reads_init(struct watch *w)
{
	w->max_reads = MAX_READS;
	w->slow = (struct backoff){ .min_ms = 250, .max_ms = 30000 };
}

/* Many refusals that come together are one. */
void reads_slow_down(struct watch *w, const struct consul_answer *answer)
{
	int64_t now = steady_ms();

	if (now < w->slow_until_ms)
		return;
	if (!w->slow_said)
		log_warn("consul limits our requests, they get fewer", "source", w->source, "error",
			answer->error);
	w->slow_said = true;
	w->slow_until_ms = now + watch_pause_ms(w, &w->slow, answer);
	w->max_reads = w->max_reads > 1 ? w->max_reads / 2 : 1;
}

/* One more at once for as many good answers as there are at once. */
static void speed_up(struct watch *w)
{
	if (w->max_reads == MAX_READS || ++w->good_reads < w->max_reads)
		return;
	w->good_reads = 0;
	w->max_reads++;
	backoff_reset(&w->slow);
}

/* A service that was never said and is no longer listed leaves no trace. */
static bool forget_unsaid(struct service *s)
{
	struct watch *w = s->watch;

	if (s->listed || s->said || s->dead)
		return false;
	s->dead = true;
	w->services--;
	say_not_owed(s);
	service_reap(s);
	watch_flush(w);
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
	if (answer->outcome == CONSUL_OK)
		w->multiplexed = answer->multiplexed;
	if (s->dead) {
		service_reap(s);
	} else if (answer->outcome != CONSUL_OK) {
		take_failure(s, answer, answer->error);
	} else if (take_answer(s, answer, true)) {
		speed_up(w);
		s->index = s->read_index = answer->index;
		if (again)
			service_read(s);
		else if (!forget_unsaid(s))
			service_block(s);
	} else if (again) {
		service_read(s);
	}
	reads_start(w);
}

static int ask(struct service *s, uint64_t index, enum consul_consistency consistency,
	void (*on_answer)(void *, const struct consul_answer *))
{
	struct watch *w = s->watch;
	struct consul_query query = {
		.path = s->path,
		.filter = selection_filter(w->config.selection),
		.index = index,
		.consistency = consistency,
		.known_hash = s->say_again ? 0 : s->body_hash,
		.on_answer = on_answer,
		.arg = s,
	};

	if (watch_ask(w, &query) == 0)
		return 0;
	service_come_back(s, backoff_next_ms(&s->backoff), true);
	return -1;
}

/*
 * What may be the last word on a service must not come from a follower that
 * lags, nor what comes first, when there is nothing to compare it with.
 */
static enum consul_consistency consistency_of_read(const struct service *s)
{
	if (s->doubtful || !s->listed || s->watch->config.consistency == CONSUL_CONSISTENT)
		return CONSUL_CONSISTENT;
	return s->watch->sweeping && s->taken_index > 0 ? CONSUL_STALE : CONSUL_DEFAULT;
}

static void start_reads(struct watch *w)
{
	struct service *s;

	while (may_read(w) && (s = TAILQ_FIRST(&w->reads)) != NULL) {
		TAILQ_REMOVE(&w->reads, s, reads);
		s->in_reads = false;
		s->read_as = consistency_of_read(s);
		if (ask(s, 0, s->read_as, on_read) == 0) {
			s->doubtful = false;
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
	if (answer->index < s->asked_index || (answer->index == s->asked_index && answer->early))
		return 0;
	return answer->index;
}

static void on_block(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;
	struct watch *w = s->watch;
	int64_t pause_ms;

	s->blocking = false;
	w->blocks_running--;
	reads_start(w);
	if (s->dead) {
		service_reap(s);
		return;
	}
	if (answer->outcome != CONSUL_OK) {
		take_failure(s, answer, answer->error);
		return;
	}
	if (!is_outdated(s, answer) && !take_answer(s, answer, false))
		return;
	s->index = next_index(s, answer);
	pause_ms = pace_take_ms(&s->pace, steady_ms());
	if (pause_ms > 0)
		service_come_back(s, pause_ms, s->index == 0);
	else if (s->index == 0)
		service_read(s);
	else
		service_block(s);
}

static bool may_block(const struct service *s)
{
	const struct watch *w = s->watch;

	return watch_is_connected(w) && !w->sweeping && !w->config.once && !s->blocking &&
	       !s->reading && s->listed && !s->dead && s->index != 0;
}

static void start_block(struct service *s)
{
	struct watch *w = s->watch;

	if (ask(s, s->index, w->config.consistency, on_block) < 0)
		return;
	s->asked_index = s->index;
	s->block_started_ms = steady_ms();
	s->blocking = true;
	w->blocks_running++;
}

/* After the reads: those are what a snapshot, or a change, waits for. */
static void start_blocks(struct watch *w, size_t at_most)
{
	struct service *s;

	while (at_most-- > 0 && (s = TAILQ_FIRST(&w->waits)) != NULL && TAILQ_EMPTY(&w->reads) &&
		w->blocks_running < services_capacity_now(w)) {
		TAILQ_REMOVE(&w->waits, s, waits);
		s->in_waits = false;
		if (may_block(s))
			start_block(s);
	}
}

void service_block(struct service *s)
{
	struct watch *w = s->watch;

	if (may_block(s) && !s->in_waits) {
		TAILQ_INSERT_TAIL(&w->waits, s, waits);
		s->in_waits = true;
	}
	if (w->max_reads == MAX_READS)
		start_blocks(w, SIZE_MAX);
}

void reads_start(struct watch *w)
{
	start_reads(w);
	if (w->max_reads == MAX_READS)
		start_blocks(w, SIZE_MAX);
	sweep_go_on(w);
}

void reads_tick(struct watch *w)
{
	int64_t now = steady_ms();

	if (w->max_reads < MAX_READS && now >= w->slow_until_ms) {
		start_blocks(w, SLOW_BLOCKS);
		speed_up(w);
	}
	if (now >= w->slow_until_ms + SLOW_FORGET_MS)
		w->slow_said = false;
	reads_start(w);
}
