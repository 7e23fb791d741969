/* The list of services: when it is believed, what is confirmed and how. */

#include <string.h>
#include <xxhash.h>

#include "consul-watch/state.h"

#define ASK_AGAIN_MS 2000 /* whether access control is in use */
#define QUESTION_MS  3000 /* so long a confirmation is waited for by what would ask consul more */

/*
 * A token that was lost does not make an error: the list just gets shorter (200
 * and {} on every version). Consul's servers register themselves as `consul`.
 * That other services are missing is settled by a read of each; see take.c.
 */
static const char *distrust(const struct watch *w, const struct consul_answer *answer)
{
	cleanup_jv jv consul = jvx_get(answer->body, "consul");

	if (jvx_length(answer->body) == 0 && (!w->have_list || w->had_consul))
		return "the list of services is empty, even 'consul' is missing; "
		       "is the token lost, or without service:read?";
	if (w->had_consul && !jv_is_valid(consul))
		return "the list of services has lost 'consul'; was the token's policy "
		       "changed?";
	return NULL;
}

/* Consul gives tags in any order. The tags of one service differ from each other. */
static uint64_t hash_tags(jv tags)
{
	uint64_t hash = 1;

	for (int i = 0; i < jvx_length(tags); i++) {
		cleanup_jv jv tag = jvx_at(tags, i);
		const char *text = jvx_str(tag, "");

		hash += XXH3_64bits(text, strlen(text));
	}
	return hash;
}

static void take_name(struct watch *w, const char *name, jv tags)
{
	struct service *s = services_add(w, name);
	uint64_t hash;

	if (s == NULL)
		return;
	hash = w->sweeping ? hash_tags(tags) : 0;
	if (!s->listed || (hash != 0 && s->tags_hash != 0 && hash != s->tags_hash &&
				  strcmp(name, s->name) == 0))
		service_read(s);
	s->listed = true;
	if (strcmp(name, s->name) == 0) /* each spelling has tags of its own */
		s->tags_hash = hash;
	s->in_list = w->list_count;
}

static void take_names(struct watch *w, jv names)
{
	cleanup_jv jv keys = jvx_keys(names);

	w->list_count++;
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		const char *name = jvx_str(key, "");
		cleanup_jv jv tags = jv_invalid();

		/* Consul refuses the empty name; a NUL would end it early. */
		if (*name == '\0' || strlen(name) != (size_t)jv_string_length_bytes(jv_copy(key)) ||
			!selection_takes_name(w->config.selection, name))
			continue;
		tags = jvx_get(names, name);
		take_name(w, name, tags);
	}
}

/* Only a confirming read makes a service unlisted; another one asks for that. */
static void take_missing(struct watch *w, bool confirmed)
{
	struct service *s, *next;
	size_t missing = 0;

	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		if (s->dead || s->in_list == w->list_count)
			continue;
		if (!s->listed) {
			/* It was back when it was read last. */
			if (confirmed && s->count > 0 && !s->hidden)
				service_read(s);
			continue;
		}
		missing++;
		if (confirmed) {
			s->listed = false;
			service_read(s);
		}
	}
	if (confirmed && missing > 0)
		w->lost = missing;
	else if (missing > 0)
		list_confirm(w);
}

/*
 * What was asked before the catalogue was lost does not tell that it is back: a
 * query that stood when its token was deleted still ends with 200 and the old list.
 */
static bool is_from_before(const struct watch *w, const struct consul_answer *answer)
{
	return steady_ms() - answer->elapsed_ms < w->lost_ms;
}

/* False when the answer is none that can be believed; that is seen to. */
static bool is_good(struct watch *w, const struct consul_answer *answer)
{
	struct consul_answer bad = *answer;
	const char *why = NULL;

	if (answer->outcome == CONSUL_OK && answer->no_leader)
		why = "the servers of consul have no leader";
	else if (answer->outcome == CONSUL_OK && !answer->unchanged &&
		 !jvx_is(answer->body, JV_KIND_OBJECT))
		why = "the list of services is no object";
	if (why != NULL) {
		bad.outcome = CONSUL_FAILED;
	} else if (answer->outcome == CONSUL_OK && !answer->unchanged) {
		why = distrust(w, answer);
		bad.outcome = why != NULL ? CONSUL_REFUSED : CONSUL_OK;
	}
	if (why != NULL)
		snprintf(bad.error, sizeof(bad.error), "%s", why);
	if (bad.outcome != CONSUL_OK)
		watch_lose(w, &bad);
	return bad.outcome == CONSUL_OK;
}

/* A server that has just started does not know yet: it is asked once more. */
static bool is_undecided(const struct consul_answer *answer)
{
	return answer->outcome == CONSUL_UNREACHABLE || answer->outcome == CONSUL_LIMITED ||
	       answer->outcome == CONSUL_CROWDED ||
	       (answer->outcome == CONSUL_FAILED && str_starts(answer->error, "HTTP 5"));
}

/* It is the servers that filter: a client agent, or one of another datacenter, cannot tell. */
static void on_self(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	cleanup_jv jv config = jvx_get(answer->body, "Config");
	cleanup_jv jv server = jvx_get(config, "Server");
	const char *datacenter = w->config.catalog.datacenter;

	if (is_undecided(answer))
		return;
	w->asking_acls = false;
	w->acls_off = jvx_is(server, JV_KIND_TRUE) &&
		      (datacenter == NULL || jvx_field_is(config, "Datacenter", datacenter));
}

static void ask_agent(
	struct watch *w, const char *path, void (*on_answer)(void *, const struct consul_answer *))
{
	struct consul_query query = {
		.path = path, .unindexed = true, .on_answer = on_answer, .arg = w
	};

	w->asking_acls = true;
	w->acls_asked_ms = steady_ms();
	if (watch_ask(w, &query) < 0)
		w->acls_asked_ms = 0;
}

static void on_token(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;

	if (is_undecided(answer))
		return;
	w->asking_acls = false;
	if (answer->outcome == CONSUL_REFUSED &&
		strstr(answer->error, "ACL support disabled") != NULL)
		ask_agent(w, "/v1/agent/self", on_self);
}

/* Without access control nothing is ever hidden. */
static void ask_for_acls(struct watch *w)
{
	w->acls_off = w->tells_filtered = false;
	ask_agent(w, "/v1/acl/token/self", on_token);
}

static void take_first(struct watch *w, jv names)
{
	cleanup_jv jv consul = jvx_get(names, "consul");

	w->had_consul = jv_is_valid(consul);
	w->have_list = true;
	say_snapshot(w);
}

/* True when the answer is a list that can be believed. */
static bool take_list(struct watch *w, const struct consul_answer *answer, bool confirmed)
{
	bool was_connected = w->state == WATCH_CONNECTED;

	if (!is_good(w, answer))
		return false;
	if (!was_connected && is_from_before(w, answer)) {
		watch_later(w, 0);
		return false;
	}
	w->multiplexed = answer->multiplexed;
	if (confirmed)
		w->confirmed_ms = steady_ms();
	backoff_reset(&w->backoff);
	backoff_reset(&w->crowded);
	watch_set_state(w, WATCH_CONNECTED, "");
	if (!w->have_list)
		take_first(w, answer->body);
	if (!answer->unchanged) {
		take_names(w, answer->body);
		services_choose(w);
		take_missing(w, confirmed);
	}
	if (!was_connected) {
		ask_for_acls(w);
		services_refresh(w, false);
	}
	watch_flush(w);
	return true;
}

/*
 * The list's query is never served by a stream, so it alone shows at once that
 * a snapshot was restored: it comes early with the same index, or with a lower.
 */
static bool is_restored(struct watch *w, const struct consul_answer *answer, uint64_t asked)
{
	if (asked == 0 || answer->index > asked)
		return false;
	if (answer->index < asked)
		return true;
	/* Twice after the same time: this server waits less than it is asked to (max_query_time). */
	if (answer->early && answer->elapsed_ms > TICK_MS &&
		llabs(answer->elapsed_ms - w->last_early_ms) < answer->elapsed_ms / 8) {
		w->server_wait_ms = answer->elapsed_ms * 7 / 8;
		return false;
	}
	w->last_early_ms = answer->early ? answer->elapsed_ms : 0;
	return answer->early;
}

/*
 * Other queries stand, or were answered just now, so the catalogue is not lost: there
 * is just no connection for this one, or one request too many. For a while.
 */
static bool must_wait(const struct watch *w, const struct consul_answer *answer)
{
	bool limited = answer->outcome == CONSUL_LIMITED;

	if (!watch_is_connected(w) || w->crowded.failures >= 3 || answer->retry_after_ms > 0)
		return false;
	return limited ||
	       (answer->outcome == CONSUL_CROWDED && w->reads_running + w->blocks_running > 0);
}

static void on_list(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	uint64_t asked = w->list_index;

	w->list_running = false;
	if (must_wait(w, answer)) {
		watch_later(w, watch_pause_ms(w, &w->crowded, answer));
		return;
	}
	/* The same as an answer that is no longer the last that was taken. */
	if (answer->unchanged && answer->body_hash != w->list_hash) {
		w->list_index = w->list_hash = 0;
		watch_later(w, 0);
		return;
	}
	if (!take_list(w, answer, false) || w->config.once)
		return;
	w->list_index = answer->index;
	w->list_hash = answer->body_hash;
	if (is_restored(w, answer, asked)) {
		w->list_index = 0;
		services_refresh(w, false);
	} else if (answer->index > asked) {
		sweep_hint(w);
	}
	watch_later(w, pace_take_ms(&w->list_pace, steady_ms()));
}

static void on_confirm(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	bool again = w->confirm_again;

	w->confirm_running = w->confirm_again = false;
	w->list_hash = 0; /* it may take what the last answer of the blocking query had not */
	if (must_wait(w, answer) || !consul_is_current(w->consul, answer))
		w->confirm_again = true;
	else if (take_list(w, answer, true)) {
		services_say_gone(w);
		if (again)
			list_confirm(w);
	}
	watch_flush(w);
}

static void start_confirm(struct watch *w)
{
	struct consul_query query = { .path = LIST_PATH,
		.consistency = CONSUL_CONSISTENT,
		.on_answer = on_confirm,
		.arg = w };

	w->confirm_again = false;
	if (watch_ask(w, &query) == 0)
		w->confirm_running = true;
}

/* What comes too soon after the last ones waits for the tick: many services may fail at once. */
static void ask_confirm(struct watch *w)
{
	if (!w->confirm_running && !w->confirm_again)
		w->question_ms = steady_ms();
	if (w->confirm_running || w->confirm_again ||
		pace_take_ms(&w->confirm_pace, steady_ms()) > 0)
		w->confirm_again = true;
	else
		start_confirm(w);
}

void list_confirm(struct watch *w)
{
	if (watch_is_connected(w))
		ask_confirm(w);
}

bool list_is_in_question(const struct watch *w)
{
	return (w->confirm_running || w->confirm_again) &&
	       steady_ms() < w->question_ms + QUESTION_MS;
}

void list_tick(struct watch *w)
{
	if (w->confirm_again && !w->confirm_running)
		start_confirm(w);
	if (w->asking_acls && watch_is_connected(w) &&
		steady_ms() >= w->acls_asked_ms + ASK_AGAIN_MS)
		ask_for_acls(w);
}

void list_ask(struct watch *w)
{
	struct consul_query query = { .path = LIST_PATH,
		.index = w->list_index,
		.known_hash = w->list_hash,
		/* A consistent read waits until the log is in; see is_of_the_past(). */
		.consistency =
			w->state == WATCH_CONNECTED ? w->config.consistency : CONSUL_CONSISTENT,
		.on_answer = on_list,
		.arg = w };

	/* A query that stands does not tell that consul is back. */
	if (w->list_running && !watch_is_connected(w))
		ask_confirm(w);
	if (w->list_running)
		return;
	if (watch_ask(w, &query) == 0)
		w->list_running = true;
	else
		watch_later(w, backoff_next_ms(&w->backoff));
}
