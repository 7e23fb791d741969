#include "consul-watch/watch.h"

#include <string.h>

#include "consul-watch/state.h"
#include "lib/log.h"

#define LIST_PACE_MS	1000 /* between answers of the list, which is long, after a burst */
#define LIST_PACE_BURST 4

/*
 * How long blocking queries stand. Over HTTP/2 they cost the agent no connection,
 * so that they may stand longer, which saves requests.
 */
#define WAIT_MS		    60000
#define WAIT_MULTIPLEXED_MS 120000
#define MIN_WAIT_MS	    1000

/* More than this late, the tick tells that the process or the machine was stopped. */
#define GAP_MS 10000

static void on_list_timer(uv_timer_t *timer);

/*
 * Of a client that was killed an agent keeps the connections counted until their
 * waits end (on HTTP/1.1; see facts in docs/consul-watch.1). Waits of half the
 * age let a process that is killed and started again and again lock nobody out.
 */
int64_t watch_wait_ms(const struct watch *w)
{
	int64_t wait_ms = w->config.wait_ms, young_ms = (steady_ms() - w->opened_ms) / 2;

	if (wait_ms == 0)
		wait_ms = w->multiplexed ? WAIT_MULTIPLEXED_MS : WAIT_MS;
	if (w->server_wait_ms > 0 && w->server_wait_ms < wait_ms)
		wait_ms = w->server_wait_ms;
	if (!w->multiplexed && young_ms < wait_ms)
		wait_ms = young_ms > MIN_WAIT_MS ? young_ms : MIN_WAIT_MS;
	return wait_ms;
}

/* The share of this source. */
size_t watch_connections(const struct watch *w)
{
	size_t share = (size_t)consul_connections(w->consul) / w->config.sources;

	return share > WATCH_MIN_CONNECTIONS ? share : WATCH_MIN_CONNECTIONS;
}

int watch_ask(struct watch *w, struct consul_query *query)
{
	struct err err = ERR_INIT;

	query->catalog = &w->config.catalog;
	query->wait_ms = watch_wait_ms(w);
	if (consul_ask(w->consul, query, &err) == 0) {
		w->counters.queries++;
		return 0;
	}
	log_error("cannot ask consul", "path", query->path, "error", err.msg);
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

/* `quiet`: somebody else has said so. */
static void change_state(struct watch *w, enum watch_state state, const char *error, bool quiet)
{
	bool changed = state != w->state;

	w->state = state;
	if (changed && !quiet)
		log_state(w, error);
	else if (*error != '\0')
		log_debug("still not connected", "error", error);
	snprintf(w->error, sizeof(w->error), "%s", error);
	if (changed)
		say_status(w);
}

void watch_set_state(struct watch *w, enum watch_state state, const char *error)
{
	change_state(w, state, error, false);
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
		"cannot read the catalogue of consul at '%s': %s", answer->from, answer->error);
	watch_end(w, &err);
}

void watch_later(struct watch *w, int64_t wait_ms)
{
	if (!w->closed && !w->ended)
		uv_timer_start(&w->list_timer, on_list_timer, (uint64_t)wait_ms, 0);
}

int64_t watch_pause_ms(
	const struct watch *w, struct backoff *backoff, const struct consul_answer *answer)
{
	int64_t ms = backoff_next_ms(backoff);

	/* What an agent asks for holds for that agent. */
	return consul_is_current(w->consul, answer) && answer->retry_after_ms > ms
		       ? answer->retry_after_ms
		       : ms;
}

/* The catalogue cannot be read: everything waits, and one query tries again with growing pauses. */
void watch_lose(struct watch *w, const struct consul_answer *answer)
{
	bool elsewhere;

	w->counters.errors++;
	if (answer->outcome == CONSUL_LIMITED)
		reads_slow_down(w, answer);
	w->list_index = w->list_hash = 0;
	/* The last words of an agent that was left already. */
	if (!consul_is_current(w->consul, answer)) {
		watch_later(w, 0);
		return;
	}
	w->lost_ms = steady_ms();
	reload_token(w, answer);
	services_pause(w);
	triggers_forget(w);
	sweep_stop(w);
	if (!w->config.once || w->config.timeout_ms > 0)
		change_state(w,
			answer->outcome == CONSUL_REFUSED ? WATCH_UNAUTHORIZED : WATCH_DISCONNECTED,
			answer->error, answer->outcome == CONSUL_LIMITED);
	elsewhere = consul_fail_over(w->consul, answer);
	if (!elsewhere)
		watch_failed(w, answer);
	watch_later(w, elsewhere ? 0 : watch_pause_ms(w, &w->backoff, answer));
}

static void on_list_timer(uv_timer_t *timer)
{
	struct watch *w = timer->data;

	if (w->begun)
		list_ask(w);
	else
		watch_find_source(w);
}

/*
 * The process was stopped, or the machine slept: what stands may be long dead, and
 * nobody knows what was missed.
 */
static void catch_up(struct watch *w)
{
	log_debug("was stopped for a while: reading everything again");
	list_confirm(w);
	services_refresh(w, false);
}

static void on_tick(uv_timer_t *timer)
{
	struct watch *w = timer->data;
	int64_t now = steady_ms();

	if (now > w->tick_ms + GAP_MS && watch_is_connected(w))
		catch_up(w);
	w->tick_ms = now;
	take_tick(w);
	list_tick(w);
	services_tick(w);
	sweep_tick(w);
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
	watch_end_fn on_end, void *arg)
{
	struct watch *w;

	w = xcalloc(1, sizeof(*w));
	w->loop = loop;
	w->consul = consul;
	w->config = *config;
	w->on_end = on_end;
	w->on_end_arg = arg;
	w->opened_ms = w->tick_ms = steady_ms();
	w->list_pace =
		(struct pace){ .interval_us = LIST_PACE_MS * 1000, .burst = LIST_PACE_BURST };
	w->confirm_pace = w->list_pace;
	w->backoff = w->crowded = (struct backoff){ .min_ms = 250, .max_ms = 30000 };
	w->resync_started_ms = steady_ms();
	services_init(w);
	reads_init(w);
	triggers_init(w);
	add_timer(w, &w->list_timer);
	add_timer(w, &w->due_timer);
	add_timer(w, &w->tick_timer);
	add_timer(w, &w->sweep_timer);
	for (size_t i = 0; i < TRIGGERS; i++) {
		uv_timer_init(loop, &w->triggers[i].timer);
		w->triggers[i].timer.data = &w->triggers[i];
		w->open_timers++;
	}
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

static void one_closed(struct watch *w)
{
	if (--w->open_timers > 0)
		return;
	services_release(w);
	triggers_release(w);
	free(w->source);
	free(w->source_json);
	free(w->scope);
	free(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
	one_closed(handle->data);
}

static void on_trigger_closed(uv_handle_t *handle)
{
	struct trigger *t = handle->data;

	one_closed(t->watch);
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
	uv_close((uv_handle_t *)&w->sweep_timer, on_timer_closed);
	for (size_t i = 0; i < TRIGGERS; i++)
		uv_close((uv_handle_t *)&w->triggers[i].timer, on_trigger_closed);
}
