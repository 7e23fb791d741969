/* Reading one service: how it is asked for, and what an answer means. */

#include <string.h>

#include "consul-watch/instance.h"
#include "consul-watch/state.h"
#include "lib/log.h"

#define MAX_READS 32   /* in flight at once */
#define PLACE_MS  1000 /* between looks for a place among the blocking queries */

static void start_reads(struct watch *w);

/* Two connections are kept for the list and its confirmation. */
static size_t max_reads(const struct watch *w)
{
	size_t used = w->multiplexed ? 2 : w->blocks_running + 2;
	size_t left = used < w->config.max_connections ? w->config.max_connections - used : 1;

	return left < MAX_READS ? left : MAX_READS;
}

/*
 * Consul itself refuses two kinds of names: its router cleans paths, which is a
 * redirect to another service, and what does not print is a bad request. Any
 * other refusal comes from something in between, and will pass.
 */
static bool may_be_refused(const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	for (; *name != '\0'; name++)
		if (*name == '/' || (unsigned char)*name < ' ' || (unsigned char)*name >= 0x7f)
			return true;
	return false;
}

static void leave_out(struct service *s, const char *error)
{
	log_warn("consul cannot serve this name, the service is left out", "service", s->name,
		"error", error);
	s->unwatchable = true;
	say_not_owed(s);
	watch_flush(s->watch);
}

/* As long as repeated failures ask for, and no sooner than the pace allows. */
static int64_t pause_ms(struct service *s)
{
	int64_t backoff = backoff_next_ms(&s->backoff);
	int64_t pace = pace_take_ms(&s->pace, steady_ms());

	return backoff > pace ? backoff : pace;
}

/* The answer of a service that cannot be used. It is asked again later, unless that is useless. */
static void fail(struct service *s, const struct consul_answer *answer, const char *error)
{
	struct watch *w = s->watch;

	w->counters.errors++;
	s->index = 0;
	if (answer->outcome == CONSUL_IMPOSSIBLE && !s->said && may_be_refused(s->name)) {
		leave_out(s, error);
		return;
	}
	/* Said at the second failure: at the first, the whole agent may be going away. */
	if (!s->troubled && s->backoff.failures > 0 && watch_is_connected(w)) {
		log_warn("cannot read a service, it keeps its last state", "service", s->name,
			"error", error);
		s->troubled = true;
	}
	if (watch_is_connected(w))
		service_come_back(s, pause_ms(s), true);
	watch_failed(w, answer);
	watch_confirm(w);
}

/* Neither gone nor there. One run would wait for ever. */
static void say_unreadable(const struct service *s)
{
	struct consul_answer answer = { .outcome = CONSUL_FAILED };

	log_warn("a listed service has no instance that may be read, it keeps its last state; "
		 "does the token have node:read?",
		"service", s->name);
	snprintf(answer.error, sizeof(answer.error),
		"no instance of '%.200s' may be read; does the token have node:read?", s->name);
	watch_failed(s->watch, &answer);
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
	/* Counted when the list was confirmed since the last one, and still has it. */
	if (s->empties == 0 || w->confirmed_ms > s->empty_ms) {
		s->empties++;
		s->empty_ms = steady_ms();
		if (s->listed && s->empties == 3)
			say_unreadable(s);
	}
	if (s->listed)
		service_come_back(s, pause_ms(s), true);
	watch_confirm(w);
	return false;
}

/*
 * A server that has just started answers while it still replays its log, and a
 * follower may lag: with facts of the past, instances missing. Their index is
 * lower than one that was seen, and so is that of a restored snapshot, which is
 * the truth. A consistent read tells them apart: it waits until the log is in.
 */
static bool is_of_the_past(struct service *s, const struct consul_answer *answer, bool was_read)
{
	if (answer->index >= s->taken_index || (was_read && s->read_as == CONSUL_CONSISTENT))
		return false;
	s->doubtful = true;
	service_read(s);
	return true;
}

/*
 * A token that lost rights makes an answer shorter, and a read says so (since
 * 1.11; a stream never does). So a shorter answer is settled by a read, and one
 * that is filtered now and was not before is not believed.
 */
static bool is_hidden(struct service *s, const struct consul_answer *answer, bool was_read)
{
	int count = jvx_length(answer->body);

	if (count == 0 || count >= s->count || (was_read && (!answer->filtered || s->filtered)))
		return false;
	if (!was_read) {
		service_read(s);
		return true;
	}
	if (!s->troubled)
		log_warn("consul hides instances of a service now, it keeps its last state; "
			 "was the token's policy changed?",
			"service", s->name);
	s->troubled = true;
	service_come_back(s, pause_ms(s), true);
	watch_confirm(s->watch);
	return true;
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
	if (is_of_the_past(s, answer, was_read))
		return false;
	if (is_hidden(s, answer, was_read))
		return false;
	if (jvx_length(answer->body) == 0 && !believe_empty(s, was_read))
		return false;
	s->taken_index = answer->index;
	s->count = jvx_length(answer->body);
	if (was_read)
		s->filtered = answer->filtered;
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
			service_block(s);
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

	while (watch_is_connected(w) && w->reads_running < max_reads(w) &&
		(s = TAILQ_FIRST(&w->reads)) != NULL) {
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
		service_come_back(s, wait_ms, s->index == 0);
	else if (s->index == 0)
		service_read(s);
	else
		service_block(s);
}

void service_block(struct service *s)
{
	struct watch *w = s->watch;

	if (!watch_is_connected(w) || w->sweeping || w->config.once || s->blocking || s->reading ||
		!s->listed || s->dead || s->index == 0)
		return;
	/* A query on what is gone may stand in the way, until its wait ends. */
	if (w->blocks_running >= services_capacity(w)) {
		service_come_back(s, PLACE_MS, false);
		return;
	}
	if (ask(s, s->index, w->config.consistency, on_block) < 0)
		return;
	s->asked_index = s->index;
	s->block_started_ms = steady_ms();
	s->blocking = true;
	w->blocks_running++;
}
