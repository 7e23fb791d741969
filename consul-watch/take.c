/* What an answer on one service means, and whether it is believed. */

#include <string.h>

#include "consul-watch/instance.h"
#include "consul-watch/state.h"
#include "lib/log.h"

/* Of a service that does not exist. */
#define NOTHING_PATH "/v1/health/service/meshpipe-no-such-service"
#define TIE_MS	     500
#define HIDDEN_MS    1000

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

int64_t take_pause_ms(struct service *s, const struct consul_answer *answer)
{
	int64_t backoff = watch_pause_ms(s->watch, &s->backoff, answer);
	int64_t pace = pace_take_ms(&s->pace, steady_ms());

	return backoff > pace ? backoff : pace;
}

void take_failure(struct service *s, const struct consul_answer *answer, const char *error)
{
	struct watch *w = s->watch;

	s->index = 0;
	if (!consul_is_current(w->consul, answer)) {
		service_read(s);
		return;
	}
	w->counters.errors++;
	if (answer->outcome == CONSUL_LIMITED)
		reads_slow_down(w, answer);
	if (answer->outcome == CONSUL_IMPOSSIBLE && !s->said && may_be_refused(s->name)) {
		leave_out(s, error);
		return;
	}
	if (s->backoff.failures == 0)
		s->failed_ms = steady_ms();
	if (answer->outcome == CONSUL_CROWDED || answer->outcome == CONSUL_LIMITED) {
		service_come_back(s, take_pause_ms(s, answer), true);
		watch_failed(w, answer);
		/* It may look like that when the agent has just gone, too. */
		if (answer->outcome == CONSUL_CROWDED)
			list_confirm(w);
		return;
	}
	/* Said when the list could be read meanwhile: else it is not the service that fails. */
	if (!s->troubled && w->confirmed_ms > s->failed_ms && watch_is_connected(w)) {
		log_warn("cannot read a service, it keeps its last state", "service", s->name,
			"error", error);
		s->troubled = true;
	}
	if (watch_is_connected(w))
		service_come_back(s, take_pause_ms(s, answer), true);
	watch_failed(w, answer);
	list_confirm(w);
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

static void set_hidden(struct service *s, bool hidden)
{
	struct watch *w = s->watch;

	if (s->hidden == hidden)
		return;
	s->hidden = hidden;
	if (hidden)
		w->hidden++;
	else
		w->hidden--;
	if (hidden && w->hidden == 1)
		w->hidden_ms = steady_ms();
	w->hidden_changed = true;
}

/*
 * Once for all of them: a policy hides many at once. And not what was settled by the next read,
 * nor beside the line that says that the whole catalogue is hidden or away.
 */
void take_tick(struct watch *w)
{
	if (!watch_is_connected(w))
		w->hidden_ms = steady_ms();
	if (w->hidden > 0 && !w->hidden_said && steady_ms() >= w->hidden_ms + HIDDEN_MS) {
		w->hidden_said = true;
		log_warn("consul hides services from us now, they keep their last state; was the "
			 "token's policy changed?",
			"services", log_num((long long)w->hidden), "source", w->source);
	} else if (w->hidden == 0 && w->hidden_said) {
		w->hidden_said = false;
		log_info("no service is hidden any more", "source", w->source);
	}
	if (w->hidden_changed)
		say_status(w);
	w->hidden_changed = false;
}

void take_hidden(struct service *s, const struct consul_answer *answer)
{
	s->tie_index = 0;
	if (!s->watch->asking_acls)
		set_hidden(s, true);
	service_come_back(s, take_pause_ms(s, answer), true);
	list_confirm(s->watch);
}

/*
 * Access control takes instances away without an error, and from 1.11 on says so
 * in the answer of a read; before, the index that stays as it was gives it away.
 * An instance that was registered under another name leaves none either; that one
 * turned up there (places.c), and is not counted any more.
 */
static bool tells_of_a_loss(const struct service *s, const struct consul_answer *answer)
{
	if (s->watch->acls_off)
		return true;
	return answer->index != s->taken_index && (!answer->filtered || s->filtered);
}

/*
 * Fewer instances than before. A stream says nothing of access control, so that
 * its answer is settled by a read. The last instance is a matter of its own.
 */
static bool is_hidden(
	struct service *s, const struct consul_answer *answer, jv instances, bool was_read)
{
	int count = jvx_length(answer->body);

	if (count >= s->count)
		return false;
	if (!was_read) {
		service_read(s);
		return true;
	}
	if (count == 0 || tells_of_a_loss(s, answer) || fewer_is_proven(s, answer))
		return false;
	fewer_ask(s, answer, instances);
	return true;
}

/*
 * The index of what has no instance, on all versions, is that of the last service
 * in the catalogue that lost its last one: the same for every name that does not
 * exist. A service that is only hidden has its own, which is lower.
 *
 * By chance they are the same, if one transaction ended one service and changed
 * the other, or if no service ever ended: then it is the highest of all. From 1.11
 * on the answer itself tells of what is hidden. Before, others that are hidden make
 * it doubtful: what a policy hides is mostly not alone, and keeps its index when the
 * other moves on.
 */
static bool is_proven_gone(const struct service *s, uint64_t index)
{
	const struct watch *w = s->watch;

	if (w->tells_filtered)
		return true;
	if (w->hidden > (s->hidden ? 1 : 0))
		return index > s->tie_index;
	return w->lost == 1 || steady_ms() >= s->tie_ms + TIE_MS;
}

static void settle_tie(struct service *s, const struct consul_answer *answer, uint64_t index)
{
	if (s->tie_index == 0) {
		s->tie_index = index;
		s->tie_ms = steady_ms();
		backoff_reset(&s->backoff);
	}
	/* Not known to be hidden any more. Several would else make each other doubtful for ever. */
	if (s->watch->ended_once)
		set_hidden(s, false);
	if (is_proven_gone(s, index)) {
		s->gone_index = index; /* if the next read says it once more */
		service_read(s);
	} else {
		service_come_back(
			s, s->watch->hidden > 0 ? take_pause_ms(s, answer) : TIE_MS, true);
	}
}

static void on_nothing(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;
	uint64_t index = s->empty_index;

	s->comparing = false;
	s->empty_index = 0;
	if (answer->outcome == CONSUL_OK && answer->index < s->list_index)
		s->watch->ended_once = true;
	if (s->dead) {
		service_reap(s);
	} else if (answer->outcome != CONSUL_OK) {
		service_come_back(s, take_pause_ms(s, answer), true);
	} else if (answer->index > index && index != s->behind_index) {
		/* Another one has gone meanwhile: the next read of this has that index too. */
		s->behind_index = index;
		service_come_back(s, take_pause_ms(s, answer), true);
	} else if (answer->index != index || index == s->taken_index) {
		take_hidden(s, answer);
	} else {
		settle_tie(s, answer, index);
	}
}

static void compare_with_nothing(struct service *s, const struct consul_answer *answer)
{
	struct consul_query query = { .path = NOTHING_PATH,
		.consistency = CONSUL_CONSISTENT,
		.on_answer = on_nothing,
		.arg = s };

	if (s->comparing)
		return;
	s->empty_index = answer->index;
	s->list_index = s->watch->list_index;
	s->comparing = watch_ask(s->watch, &query) == 0;
	if (!s->comparing)
		service_come_back(s, take_pause_ms(s, answer), true);
}

/* Nothing fits the filter; it is Consul that applies that one. */
static bool is_filtered_out(const struct service *s, const struct consul_answer *answer)
{
	return selection_filter(s->watch->config.selection) != NULL && s->listed &&
	       !answer->filtered;
}

/* A listed service whose instances cannot be read. One run would wait for ever. */
static void note_empty(struct service *s, const struct consul_answer *answer)
{
	struct watch *w = s->watch;

	/* Counted when the list was confirmed since the last one, and still has it. */
	if (s->empties == 0 || w->confirmed_ms > s->empty_ms) {
		s->empties++;
		s->empty_ms = steady_ms();
		if (s->empties == 3 && s->said)
			set_hidden(s, !w->asking_acls);
		else if (s->empties == 3)
			say_unreadable(s);
	}
	service_come_back(s, take_pause_ms(s, answer), true);
}

/*
 * No instance. Believed only when a confirmed list lacks the service, this answer
 * is younger than that (a consistent read, made because of it), and access
 * control does not account for it.
 */
static bool believe_empty(struct service *s, const struct consul_answer *answer, bool was_read)
{
	if (s->count == 0 && s->left_out)
		return true;
	if (was_read && is_filtered_out(s, answer)) {
		if (s->count == 0 || tells_of_a_loss(s, answer))
			return true;
		take_hidden(s, answer);
		return false;
	}
	if (s->listed) {
		note_empty(s, answer);
	} else if (was_read) {
		if (s->count == 0 || s->watch->acls_off)
			return true;
		if (answer->filtered)
			take_hidden(s, answer);
		else if (answer->index == s->gone_index)
			return true;
		else
			compare_with_nothing(s, answer);
		return false;
	}
	list_confirm(s->watch);
	return false;
}

/* The answer is the truth. */
static void settle(struct service *s, const struct consul_answer *answer, bool was_read)
{
	if (answer->index > s->taken_index || !answer->unchanged ||
		(was_read && s->read_as == CONSUL_CONSISTENT))
		s->taken_index = answer->index;
	s->gone_index = s->tie_index = s->behind_index = 0;
	s->fewer_asked = s->fewer_hash = 0;
	if (was_read)
		s->filtered = answer->filtered;
	if (s->troubled)
		log_info("the service can be read again", "service", s->name);
	s->troubled = false;
	set_hidden(s, false);
	s->empties = 0;
	backoff_reset(&s->backoff);
}

static void say(struct service *s, const struct consul_answer *answer, jv instances)
{
	bool nothing = jvx_length(instances) == 0;

	s->left_out = nothing && (s->count > 0 || is_filtered_out(s, answer));
	if (nothing && !s->said) {
		say_not_owed(s);
		watch_flush(s->watch);
	} else {
		say_service(s, answer, instances);
	}
}

/*
 * Registered under another name without its checks, an instance keeps those with the
 * old one. When they change it is the old service's index that moves.
 */
static bool is_misnamed(jv entries, const char *name)
{
	for (int i = 0; i < jvx_length(entries); i++) {
		cleanup_jv jv entry = jvx_at(entries, i);
		cleanup_jv jv checks = jvx_get(entry, "Checks");

		for (int k = 0; k < jvx_length(checks); k++) {
			cleanup_jv jv check = jvx_at(checks, k);
			cleanup_jv jv text = jvx_get(check, "ServiceName");
			const char *of = jvx_str(text, "");

			if (*of != '\0' && strcasecmp(of, name) != 0)
				return true;
		}
	}
	return false;
}

bool take_answer(struct service *s, const struct consul_answer *answer, bool was_read)
{
	struct watch *w = s->watch;
	struct err err = ERR_INIT;
	cleanup_jv jv instances = jv_invalid();

	if (answer->filtered) {
		w->acls_off = false;
		w->tells_filtered = true;
	}
	if (answer->unchanged) {
		settle(s, answer, was_read);
		return true;
	}
	instances = instances_from_health(answer->body, w->source, w->config.selection, &err);
	if (!jv_is_valid(instances)) {
		take_failure(s, answer, err.msg);
		return false;
	}
	if (is_of_the_past(s, answer, was_read) || is_hidden(s, answer, instances, was_read))
		return false;
	if (jvx_length(answer->body) == 0 && !believe_empty(s, answer, was_read))
		return false;
	settle(s, answer, was_read);
	s->count = jvx_length(answer->body);
	s->body_hash = s->count > 0 ? answer->body_hash : 0;
	s->misnamed = is_misnamed(answer->body, s->name);
	if (s->count > 0 && !s->listed)
		list_confirm(w); /* back while it was being confirmed as gone */
	places_take(s, instances, answer->index);
	say(s, answer, instances);
	return true;
}
