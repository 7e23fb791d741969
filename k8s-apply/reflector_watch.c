#include "k8s-apply/reflector_state.h"
#include "lib/log.h"

/* client-go's, so that not all watches of a cluster end together. */
#define WATCH_MIN_S 300
#define WATCH_MAX_S 600

/* A watch that the server does not end in its time is ended so much later. */
#define WATCH_LATE_S 60

static void take_version(struct reflector *r, const char *version)
{
	if (version == NULL)
		return;
	free(r->version);
	r->version = xstrdup(version);
}

/* The objects of a list are in any order: their versions are no place to go on from. */
static void on_event(void *arg, const struct watch_event *event)
{
	struct reflector *r = arg;
	bool was_initial = r->initial;

	if (event->kind == WATCH_ERROR) {
		r->error = event->status;
		r->relist = r->relist || event->status.verdict == KUBE_EXPIRED;
		return;
	}
	if (event->kind == WATCH_UNREADABLE ||
		(event->kind == WATCH_INITIAL && event->version == NULL)) {
		/* Whatever it was, it is lost: only a list tells now. */
		r->relist = true;
		return;
	}
	r->progress = true;
	if (event->kind == WATCH_INITIAL)
		r->initial = false;
	if (!r->initial)
		take_version(r, event->version);
	if (event->kind == WATCH_OBJECT)
		r->handler.on_object(r->handler.arg, event->object, r->initial);
	else if (event->kind == WATCH_DELETED)
		r->handler.on_deleted(r->handler.arg, event->object);
	else if (was_initial && !r->initial)
		reflector_listed(r);
}

static bool knows(void *arg, const char *name, size_t len, const char *version)
{
	const struct reflector *r = arg;

	return !r->initial && r->handler.knows != NULL &&
	       r->handler.knows(r->handler.arg, name, len, version);
}

static void take_events(struct reflector *r)
{
	const struct watch_reader reader = { .on_event = on_event, .knows = knows, .arg = r };

	while (!r->closing && !r->relist && watch_events_next(&r->events, &reader))
		;
}

static void stop_watch(struct reflector *r)
{
	r->watching = r->initial = false;
	uv_timer_stop(&r->timer);
	uv_timer_stop(&r->intake);
	watch_events_reset(&r->events);
}

static void end_watch(struct reflector *r)
{
	kube_cancel(TAKE(r->call));
	stop_watch(r);
}

/* It takes the request and does not finish the list, so pages it is; or does not answer at all. */
void reflector_give_up(struct reflector *r)
{
	bool lists = r->initial;

	end_watch(r);
	r->stream_lists = r->stream_lists && !lists;
	reflector_failed_as(r, lists ? "the API server does not finish its list"
				     : "the API server does not answer a watch");
}

static void on_intake(uv_timer_t *timer)
{
	struct reflector *r = timer->data;

	r->progress = false;
	take_events(r);
	if (r->closing)
		return;
	if (r->relist) {
		end_watch(r);
		reflector_start_over(r);
		reflector_go_on_later(r, r->error.retry_after_ms);
	} else if (r->initial) {
		uv_timer_start(&r->timer, reflector_on_timer, STILL_MS, 0);
	} else if (r->progress) {
		reflector_settled(r);
	}
}

static bool on_data(void *arg, const char *data, size_t len)
{
	struct reflector *r = arg;

	if (watch_events_add(&r->events, data, len) < 0)
		return false;
	uv_timer_start(&r->intake, on_intake, 0, 0);
	return true;
}

/* The time that we asked for is over, or the server's; one that ends at once gets a pause. */
static void ended_well(struct reflector *r)
{
	if (r->error.verdict != KUBE_OK) {
		reflector_failed(r, &r->error);
		return;
	}
	if (steady_ms() - r->listed_ms >= r->relist_ms)
		reflector_start_over(r);
	reflector_go_on_later(r, 0);
}

/* The server is away, not just this connection: should it come back with a storage that was put
 * back in time, a watch from our version would be silent for ever. */
static void ended_badly(struct reflector *r, const struct kube_status *status)
{
	bool asked_to_wait = status->retry_after_ms > 0;

	reflector_failed(r, status);
	if (r->backoff.failures > 1 && !asked_to_wait)
		reflector_start_over(r);
}

static void on_watch_end(void *arg, const struct kube_answer *answer)
{
	struct reflector *r = arg;
	bool initial;

	r->call = NULL;
	take_events(r);
	if (r->closing)
		return;
	initial = r->initial;
	stop_watch(r);
	if (r->relist || answer->status.verdict == KUBE_EXPIRED) {
		reflector_start_over(r);
		reflector_go_on_later(r, answer->status.retry_after_ms);
	} else if (initial && answer->status.verdict == KUBE_INVALID) {
		log_debug("no watch-list here, lists come in pages", "error", answer->status.why);
		r->stream_lists = false;
		reflector_go_on(r);
	} else if (answer->status.verdict != KUBE_OK) {
		ended_badly(r, &answer->status);
	} else if (initial && r->error.verdict == KUBE_OK) {
		reflector_failed_as(r, "a list ended before it was complete");
	} else {
		ended_well(r);
	}
}

/* From where to watch, or that the list comes first. */
static char *watch_start(const struct reflector *r)
{
	cleanup_free char *version = http_escape(r->version != NULL ? r->version : "");

	if (r->version == NULL)
		return xstrdup("sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
	return xasprintf("resourceVersion=%s", version);
}

void reflector_start_watch(struct reflector *r)
{
	cleanup_free char *start = watch_start(r);
	int64_t limit_s = WATCH_MIN_S + steady_ms() % (WATCH_MAX_S - WATCH_MIN_S);
	cleanup_free char *path =
		xasprintf("%s?watch=1&allowWatchBookmarks=true&%s&timeoutSeconds=%lld&%s", r->path,
			start, (long long)limit_s, r->selector);
	const struct kube_request request = {
		.lane = KUBE_LANE_WATCH,
		.path = path,
		.accept = r->metadata_only ? KUBE_ACCEPT_METADATA : NULL,
		/* The server ends it; it may be gone without a word. */
		.timeout_ms = (long)(limit_s + WATCH_LATE_S) * 1000,
		.on_data = on_data,
		.on_answer = on_watch_end,
		.arg = r,
	};

	r->relist = false;
	r->error = (struct kube_status){ .verdict = KUBE_OK };
	r->watching = true;
	r->watching_ms = steady_ms();
	r->initial = r->version == NULL;
	if (r->initial)
		r->handler.on_list(r->handler.arg);
	r->call = kube_send(r->kube, &request);
	uv_timer_start(&r->timer, reflector_on_timer, r->initial ? STILL_MS : SETTLED_MS, 0);
}
