/* Records: what is said, in which order, and when a snapshot is whole. */

#include <string.h>
#include <xxhash.h>

#include "consul-watch/instance.h"
#include "consul-watch/state.h"
#include "lib/log.h"

#define BEAT_MS 10000

static const char *const state_names[] = { "connecting", "connected", "disconnected",
	"unauthorized" };

/* Takes over `record`. */
static void write_record(struct watch *w, jv record)
{
	cleanup_jv jv owned = record;
	cleanup_free char *text = jvx_dump(owned);

	out_line(w->out, text);
	w->counters.records++;
}

static jv new_record(const struct watch *w, const char *type)
{
	jv record = jv_object();

	jvx_set_str(&record, "type", type);
	jvx_set_str(&record, "source", w->source);
	return record;
}

static void reap_all(struct watch *w)
{
	struct service *s, *next;

	w->snapshot_open = false;
	for (s = TAILQ_FIRST(&w->all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, all);
		service_reap(s);
	}
}

void say_snapshot(struct watch *w)
{
	struct service *s;

	/* One that never got whole keeps who has gone meanwhile in its count. */
	reap_all(w);

	w->snapshot++;
	w->snapshot_open = w->say_start = true;
	w->owed = w->counted = 0;
	snprintf(w->snapshot_id, sizeof(w->snapshot_id), "%llx-%u", (unsigned long long)wall_ms(),
		w->snapshot);
	TAILQ_FOREACH(s, &w->all, all)
	{
		s->counted = false;
		s->owed = (!s->left_out || s->said) && !s->unwatchable && !s->dead;
		if (s->owed)
			w->owed++;
	}
}

void say_not_owed(struct service *s)
{
	if (s->owed)
		s->watch->owed--;
	s->owed = false;
}

void say_status(struct watch *w)
{
	/* One run speaks for itself: its records are as fresh as their arrival. */
	w->say_status = !w->config.once;
	watch_flush(w);
}

static void make_dirty(struct service *s)
{
	struct watch *w = s->watch;

	s->said = true;
	s->say_again = false;
	if (!s->in_dirty)
		TAILQ_INSERT_TAIL(&w->dirty, s, dirty);
	s->in_dirty = true;
}

/* Put together by hand: the instances were just dumped to be compared. */
static char *service_line(
	const struct service *s, const struct consul_answer *answer, const char *instances)
{
	cleanup_jv jv name = jv_dump_string(jv_string(s->name), 0);
	bool with_last = s->empty_since_ms != 0 && s->last != NULL;

	return xasprintf("{\"at\":%lld,\"index\":\"%llu\",\"instances\":%s%s%s,\"service\":%s,"
			 "\"source\":%s,\"type\":\"service\"}",
		(long long)answer->at_ms, (unsigned long long)answer->index, instances,
		with_last ? ",\"last\":" : "", with_last ? s->last : "", jv_string_value(name),
		s->watch->source_json);
}

static void remember_last(struct service *s, jv instances)
{
	cleanup_jv jv last = instances_last(instances);

	if (!jv_is_valid(last))
		return;
	free(s->last);
	s->last = jvx_dump(last);
}

void say_service(struct service *s, const struct consul_answer *answer, jv instances)
{
	cleanup_free char *text = jvx_dump(instances);
	uint64_t hash = XXH3_64bits(text, strlen(text));

	if (jvx_length(instances) > 0)
		s->empty_since_ms = 0;
	else if (s->empty_since_ms == 0)
		s->empty_since_ms = steady_ms();
	if (s->said && s->hash == hash && !s->say_again && !s->gone)
		return;
	if (s->said && s->hash != hash)
		s->watch->counters.changes++;
	remember_last(s, instances);
	s->hash = hash;
	s->gone = false;
	free(s->line);
	s->line = service_line(s, answer, text);
	make_dirty(s);
	watch_flush(s->watch);
}

void say_gone(struct service *s)
{
	s->gone = true;
	free(s->line);
	s->line = NULL;
	make_dirty(s);
}

static void count(struct service *s)
{
	struct watch *w = s->watch;

	if (!w->snapshot_open)
		return;
	say_not_owed(s);
	if (!s->counted)
		w->counted++;
	s->counted = true;
}

static void write_service(struct service *s)
{
	struct watch *w = s->watch;

	TAILQ_REMOVE(&w->dirty, s, dirty);
	s->in_dirty = false;
	count(s);
	if (s->gone) {
		jv record = new_record(w, "gone");

		jvx_set_str(&record, "service", s->name);
		write_record(w, record);
		s->gone = s->said = false;
		s->empty_since_ms = 0;
		if (s->listed)
			return; /* what is in it may be selected again */
		s->dead = true;
		w->services--;
		service_reap(s);
		return;
	}
	out_line(w->out, s->line);
	w->counters.records++;
	free(TAKE(s->line));
}

static void write_start(struct watch *w)
{
	jv record = new_record(w, "start");

	jvx_set_str(&record, "snapshot", w->snapshot_id);
	jvx_set_str(&record, "scope", w->scope);
	write_record(w, record);
	w->say_start = false;
}

static void write_synced(struct watch *w)
{
	jv record = new_record(w, "synced");

	jvx_set_str(&record, "snapshot", w->snapshot_id);
	jvx_set(&record, "services", jv_number((double)w->counted));
	write_record(w, record);
	log_info("synced", "source", w->source, "services", log_num((long long)w->counted));
	reap_all(w);
}

static void write_status(struct watch *w)
{
	jv record = new_record(w, "status"), counters = jv_object();
	bool all_hidden = w->state == WATCH_CONNECTED && w->hidden > 0 && w->hidden == w->services;

	jvx_set_str(&record, "program", "consul-watch");
	jvx_set_str(&record, "state", state_names[all_hidden ? WATCH_UNAUTHORIZED : w->state]);
	if (w->error[0] != '\0')
		jvx_set_str(&record, "error", w->error);
	else if (w->hidden > 0)
		jvx_set(&record, "error",
			jv_string_fmt("%zu of %zu services are hidden from us by access control",
				w->hidden, w->services));
	jvx_set(&counters, "services", jv_number((double)w->services));
	jvx_set(&counters, "queries", jv_number((double)w->counters.queries));
	jvx_set(&counters, "errors", jv_number((double)w->counters.errors));
	jvx_set(&counters, "records", jv_number((double)w->counters.records));
	jvx_set(&counters, "changes", jv_number((double)w->counters.changes));
	jvx_set(&record, "counters", counters);
	write_record(w, record);
	w->say_status = false;
	w->beat_ms = steady_ms() + BEAT_MS;
}

/* A snapshot is whole when nothing that the list names is missing or waits to be written. */
static bool is_whole(const struct watch *w)
{
	return w->snapshot_open && !w->say_start && w->owed == 0 && TAILQ_EMPTY(&w->dirty) &&
	       w->state == WATCH_CONNECTED && !w->confirm_running && !w->confirm_again;
}

void watch_flush(struct watch *w)
{
	if (w->closed || w->ended || w->source == NULL)
		return;
	if (steady_ms() >= w->beat_ms && !w->config.once)
		w->say_status = true;
	while (!out_full(w->out)) {
		if (w->say_status)
			write_status(w);
		else if (w->say_start)
			write_start(w);
		else if (!TAILQ_EMPTY(&w->dirty))
			write_service(TAILQ_FIRST(&w->dirty));
		else if (is_whole(w))
			write_synced(w);
		else
			break;
	}
	if (w->config.once && w->snapshot > 0 && !w->snapshot_open && out_pending(w->out) == 0)
		watch_end(w, NULL);
}
