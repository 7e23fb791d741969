#include "consul-watch/watch.h"

#include <fnmatch.h>
#include <string.h>

#include "consul-watch/state.h"
#include "lib/log.h"

#define TICK_MS	   1000
#define PACE_MS	   1000 /* between answers of the list, which is long, after a burst */
#define PACE_BURST 4
#define LIST_PATH  "/v1/catalog/services"

static void ask_list(struct watch *w);
static void on_list_timer(uv_timer_t *timer);

int watch_ask(struct watch *w, const char *path, uint64_t index,
	enum consul_consistency consistency,
	void (*on_answer)(void *, const struct consul_answer *))
{
	struct err err = ERR_INIT;
	struct consul_query query = {
		.path = path,
		.index = index,
		.wait_ms = w->wait_ms,
		.consistency = consistency,
		.unindexed =
			w->source == NULL, /* only /v1/agent and datacenters are asked without */
		.on_answer = on_answer,
		.arg = w,
	};

	if (consul_ask(w->consul, &query, &err) == 0) {
		w->counters.queries++;
		return 0;
	}
	log_error("cannot ask consul", "error", err.msg);
	return -1;
}

bool watch_is_connected(const struct watch *w)
{
	return w->state == WATCH_CONNECTED && !w->ended && !w->closed;
}

void watch_end(struct watch *w, const struct err *err)
{
	if (w->ended)
		return;
	w->ended = true;
	w->on_end(w->on_end_arg, err);
}

/* A change of state is said once, however often and in how many words it is confirmed. */
static void log_state(const struct watch *w, const char *error)
{
	const char *addr = consul_address(w->consul);

	if (w->state == WATCH_CONNECTED)
		log_info("connected", "addr", addr, "source", w->source);
	else if (w->state == WATCH_UNAUTHORIZED)
		log_warn("consul hides its services from us, everything keeps its last state",
			"addr", addr, "source", w->source, "error", error);
	else
		log_warn("cannot reach consul, everything keeps its last state", "addr", addr,
			"source", w->source, "error", error);
}

static void set_state(struct watch *w, enum watch_state state, const char *error)
{
	bool changed = state != w->state;

	w->state = state;
	if (changed)
		log_state(w, error);
	else if (*error != '\0')
		log_debug("still not connected", "error", error);
	snprintf(w->error, sizeof(w->error), "%s", error);
	if (changed)
		say_status(w);
}

/* It may have been rotated: the file has the new one before or after the old one is revoked. */
static void reload_token(struct watch *w, const struct consul_answer *answer)
{
	struct err err = ERR_INIT;

	if (answer->outcome == CONSUL_REFUSED && consul_reload_token(w->consul, &err) < 0)
		log_debug("cannot read the token again", "error", err.msg);
}

void watch_failed(struct watch *w, const struct consul_answer *answer)
{
	struct err err = ERR_INIT;

	if (!w->config.once || w->config.timeout_ms > 0)
		return;
	err_set(&err, answer->outcome == CONSUL_REFUSED ? EXIT_REFUSED : EXIT_UNAVAILABLE,
		"cannot read the catalogue of consul at '%s': %s", consul_address(w->consul),
		answer->error);
	watch_end(w, &err);
}

void watch_later(struct watch *w, int64_t wait_ms)
{
	if (!w->closed && !w->ended)
		uv_timer_start(&w->list_timer, on_list_timer, (uint64_t)wait_ms, 0);
}

/* The catalogue cannot be read: everything waits, and one query tries again with growing pauses. */
void watch_lose(struct watch *w, const struct consul_answer *answer)
{
	w->counters.errors++;
	w->list_index = 0;
	w->lost_ms = steady_ms();
	reload_token(w, answer);
	services_pause(w);
	if (!w->config.once || w->config.timeout_ms > 0)
		set_state(w,
			answer->outcome == CONSUL_REFUSED ? WATCH_UNAUTHORIZED : WATCH_DISCONNECTED,
			answer->error);
	watch_failed(w, answer);
	watch_later(w, backoff_next_ms(&w->backoff));
}

/*
 * A token that was lost does not make an error: the list just gets shorter
 * (200 and {} on every version; the header exists since 1.11, and not for
 * anonymous requests). Consul's servers register themselves as `consul`.
 */
static const char *distrust(const struct watch *w, const struct consul_answer *answer)
{
	if (answer->no_leader)
		return "the servers of consul have no leader";
	if (jvx_length(answer->body) == 0)
		return "the list of services is empty, even 'consul' is missing; "
		       "is the token lost, or without service:read?";
	if (!w->have_list)
		return NULL;
	if (w->had_consul) {
		cleanup_jv jv consul = jvx_get(answer->body, "consul");

		if (!jv_is_valid(consul))
			return "the list of services has lost 'consul'; was the token's policy "
			       "changed?";
	}
	if (answer->filtered && !w->was_filtered)
		return "the list of services is filtered by ACLs now; was the token's policy "
		       "changed?";
	return NULL;
}

static bool is_selected(const struct watch *w, const char *name)
{
	const struct opt_list *patterns = &w->config.services;

	if (patterns->count == 0)
		return strcmp(name, "consul") != 0;
	for (size_t i = 0; i < patterns->count; i++)
		if (fnmatch(patterns->item[i], name, 0) == 0)
			return true;
	return false;
}

static bool is_in(jv names, const struct service *s)
{
	cleanup_jv jv exact = jvx_get(names, s->name);
	bool found = jv_is_valid(exact);

	/* Listed in another spelling only: rare, and so is the search for it. */
	if (!found) {
		cleanup_jv jv keys = jvx_keys(names);

		for (int i = 0; i < jvx_length(keys) && !found; i++) {
			cleanup_jv jv key = jvx_at(keys, i);

			found = strcasecmp(jvx_str(key, ""), s->name) == 0;
		}
	}
	return found;
}

static void take_names(struct watch *w, jv names)
{
	cleanup_jv jv keys = jvx_keys(names);

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		const char *name = jvx_str(key, "");
		struct service *s;

		/* Consul refuses the empty name; a NUL would end it early. */
		if (*name == '\0' || strlen(name) != (size_t)jv_string_length_bytes(jv_copy(key)) ||
			!is_selected(w, name))
			continue;
		s = services_add(w, name);
		if (s != NULL && !s->listed) {
			s->listed = true;
			service_read(s);
		}
	}
}

/* Only a confirming read makes a service unlisted; another one asks for that. */
static void take_missing(struct watch *w, jv names, bool confirmed)
{
	struct service *s, *next;
	bool missing = false;

	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		if (!s->listed || s->dead || is_in(names, s))
			continue;
		missing = true;
		if (confirmed) {
			s->listed = false;
			service_read(s);
		}
	}
	if (missing && !confirmed)
		watch_confirm(w);
}

/*
 * What was asked before the catalogue was lost does not tell that it is back: a
 * query that stood when its token was deleted still ends with 200 and the old list.
 */
static bool is_from_before(const struct watch *w, const struct consul_answer *answer)
{
	return steady_ms() - answer->elapsed_ms < w->lost_ms;
}

/* True when the answer is a list that can be believed. */
static bool take_list(struct watch *w, const struct consul_answer *answer, bool confirmed)
{
	struct consul_answer bad = *answer;
	const char *why = NULL;
	bool was_connected = w->state == WATCH_CONNECTED;

	if (answer->outcome == CONSUL_OK && !jvx_is(answer->body, JV_KIND_OBJECT)) {
		bad.outcome = CONSUL_FAILED;
		why = "the list of services is no object";
	} else if (answer->outcome == CONSUL_OK && (why = distrust(w, answer)) != NULL) {
		bad.outcome = answer->no_leader ? CONSUL_FAILED : CONSUL_REFUSED;
	}
	if (why != NULL)
		snprintf(bad.error, sizeof(bad.error), "%s", why);
	if (bad.outcome != CONSUL_OK) {
		watch_lose(w, &bad);
		return false;
	}
	if (!was_connected && is_from_before(w, answer)) {
		watch_later(w, 0);
		return false;
	}
	if (!w->have_list) {
		cleanup_jv jv consul = jvx_get(answer->body, "consul");

		w->had_consul = jv_is_valid(consul);
		w->was_filtered = answer->filtered;
	}
	w->multiplexed = w->multiplexed || answer->multiplexed;
	if (confirmed)
		w->confirmed_ms = steady_ms();
	backoff_reset(&w->backoff);
	set_state(w, WATCH_CONNECTED, "");
	if (!w->have_list)
		say_snapshot(w);
	w->have_list = true;
	take_names(w, answer->body);
	services_choose(w);
	take_missing(w, answer->body, confirmed);
	if (!was_connected)
		services_refresh(w, false);
	watch_flush(w);
	return true;
}

/*
 * The list's query is never served by a stream, so it alone shows at once that
 * a snapshot was restored: it comes early with the same index, or with a lower.
 */
static bool is_restored(struct watch *w, const struct consul_answer *answer, uint64_t asked)
{
	bool early = answer->elapsed_ms < w->wait_ms - EARLY_SLACK_MS;

	if (asked == 0 || answer->index > asked)
		return false;
	if (answer->index < asked)
		return true;
	/* Twice after the same time: this server waits less than it is asked to (max_query_time). */
	if (early && answer->elapsed_ms > TICK_MS &&
		llabs(answer->elapsed_ms - w->last_early_ms) < answer->elapsed_ms / 8) {
		w->wait_ms = answer->elapsed_ms * 7 / 8;
		return false;
	}
	w->last_early_ms = early ? answer->elapsed_ms : 0;
	return early;
}

static void on_list(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	uint64_t asked = w->list_index;

	w->list_running = false;
	if (!take_list(w, answer, false) || w->config.once)
		return;
	w->list_index = answer->index;
	if (is_restored(w, answer, asked)) {
		w->list_index = 0;
		services_refresh(w, false);
	} else if (asked > 0 && answer->index > asked) {
		services_hint(w);
	}
	watch_later(w, pace_take_ms(&w->list_pace, steady_ms()));
}

static void on_confirm(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	bool again = w->confirm_again;

	w->confirm_running = w->confirm_again = false;
	if (take_list(w, answer, true) && again)
		watch_confirm(w);
	watch_flush(w);
}

static void start_confirm(struct watch *w)
{
	w->confirm_again = false;
	if (watch_ask(w, LIST_PATH, 0, CONSUL_CONSISTENT, on_confirm) == 0)
		w->confirm_running = true;
}

/* What comes too soon after the last ones waits for the tick: many services may fail at once. */
static void ask_confirm(struct watch *w)
{
	if (w->confirm_running || w->confirm_again ||
		pace_take_ms(&w->confirm_pace, steady_ms()) > 0)
		w->confirm_again = true;
	else
		start_confirm(w);
}

void watch_confirm(struct watch *w)
{
	if (watch_is_connected(w))
		ask_confirm(w);
}

static void ask_list(struct watch *w)
{
	/* A query that stands does not tell that consul is back. */
	if (w->list_running && !watch_is_connected(w))
		ask_confirm(w);
	if (w->list_running)
		return;
	/* A consistent read waits until the log is in; see is_of_the_past(). */
	if (watch_ask(w, LIST_PATH, w->list_index,
		    w->state == WATCH_CONNECTED ? w->config.consistency : CONSUL_CONSISTENT,
		    on_list) == 0)
		w->list_running = true;
	else
		watch_later(w, backoff_next_ms(&w->backoff));
}

static void on_list_timer(uv_timer_t *timer)
{
	struct watch *w = timer->data;

	if (w->source != NULL)
		ask_list(w);
	else
		watch_find_source(w);
}

static void on_tick(uv_timer_t *timer)
{
	struct watch *w = timer->data;

	if (w->confirm_again && !w->confirm_running)
		start_confirm(w);
	services_tick(w);
	watch_flush(w);
}

static void on_deadline(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	struct err err = ERR_INIT;

	err_set(&err, w->state == WATCH_UNAUTHORIZED ? EXIT_REFUSED : EXIT_UNAVAILABLE,
		"no complete catalogue from consul at '%s' in time%s%s", consul_address(w->consul),
		w->error[0] != '\0' ? ": " : "", w->error);
	watch_end(w, &err);
}

static void add_timer(struct watch *w, uv_timer_t *timer)
{
	uv_timer_init(w->loop, timer);
	timer->data = w;
	w->open_timers++;
}

struct watch *watch_open(uv_loop_t *loop, struct consul *consul, const struct watch_config *config,
	watch_end_fn on_end, void *arg, struct err *err)
{
	struct watch *w;

	if (config->max_connections < WATCH_MIN_CONNECTIONS) {
		err_set(err, EXIT_USAGE, "option '--max-conns': at least %d connections are needed",
			WATCH_MIN_CONNECTIONS);
		return NULL;
	}
	w = xcalloc(1, sizeof(*w));
	w->loop = loop;
	w->consul = consul;
	w->config = *config;
	w->on_end = on_end;
	w->on_end_arg = arg;
	w->wait_ms = config->wait_ms;
	w->list_pace = (struct pace){ .interval_ms = PACE_MS, .burst = PACE_BURST };
	w->confirm_pace = w->list_pace;
	w->backoff = (struct backoff){ .min_ms = 250, .max_ms = 30000 };
	w->resync_started_ms = steady_ms();
	services_init(w);
	add_timer(w, &w->list_timer);
	add_timer(w, &w->due_timer);
	add_timer(w, &w->tick_timer);
	add_timer(w, &w->deadline_timer);
	uv_timer_start(&w->list_timer, on_list_timer, 0, 0);
	uv_timer_start(&w->tick_timer, on_tick, TICK_MS, TICK_MS);
	if (config->once && config->timeout_ms > 0)
		uv_timer_start(&w->deadline_timer, on_deadline, (uint64_t)config->timeout_ms, 0);
	return w;
}

void watch_set_output(struct watch *w, struct out *out)
{
	w->out = out;
}

void watch_refresh(struct watch *w)
{
	if (w->have_list) {
		say_snapshot(w);
		services_refresh(w, true);
		watch_flush(w);
	}
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct watch *w = handle->data;

	if (--w->open_timers > 0)
		return;
	services_release(w);
	free(w->source);
	free(w->source_json);
	free(w->scope);
	free(w);
}

void watch_close(struct watch *w)
{
	if (w == NULL || w->closed)
		return;
	w->closed = true;
	uv_close((uv_handle_t *)&w->list_timer, on_timer_closed);
	uv_close((uv_handle_t *)&w->due_timer, on_timer_closed);
	uv_close((uv_handle_t *)&w->tick_timer, on_timer_closed);
	uv_close((uv_handle_t *)&w->deadline_timer, on_timer_closed);
}
