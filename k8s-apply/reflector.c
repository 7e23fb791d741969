#include "k8s-apply/reflector.h"

#include <string.h>

#include "k8s-apply/list_items.h"
#include "k8s-apply/watch_events.h"
#include "lib/backoff.h"
#include "lib/log.h"

/* 30 pages for 60,000 objects; a page of metadata is about 2 MB. */
#define PAGE_OBJECTS   2000
#define MAX_PAGE_BYTES (64u << 20)

/* client-go's, so that not all watches of a cluster end together. */
#define WATCH_MIN_S 300
#define WATCH_MAX_S 600

#define RELIST_MS (INT64_C(60) * 60 * 1000)

/* A refused connection is cheap, and changes wait meanwhile. */
#define PAUSE_MIN_MS 200
#define PAUSE_MAX_MS 5000

/* For so long a watch that was accepted may still be refused by an event. */
#define SETTLED_MS 2000

/* A watch that the server does not end in its time is ended so much later. */
#define WATCH_LATE_S 60

/* For so long a right that we had and have lost is not taken for lost. */
#define DOUBTFUL_MS 5000

/* A server that was away for so long may have come back with data of another time. */
#define AWAY_MS 2000

/* A list that comes as events is given up when it stands still for so long, and a watch that is not
 * answered. */
#define STILL_MS 40000

/* To a Retry-After up to this part of it is added. */
#define RETRY_JITTER 4

struct reflector {
	struct kube *kube;
	char *path, *selector;
	bool metadata_only;
	int64_t relist_ms;
	struct reflector_handler handler;
	struct kube_call *call;
	uv_timer_t timer;    /* the next attempt, or SETTLED_MS */
	int64_t watching_ms; /* since when, if it is */
	uv_timer_t intake;   /* takes what a watch has brought, outside of its request */
	struct backoff backoff;
	struct watch_events events;
	char *version;	    /* from where to watch; NULL: list first */
	char *continues;    /* the next page; NULL: the first */
	int64_t listed_ms;  /* steady; 0: never */
	int64_t failing_ms; /* since when it fails; 0: it does not */
	bool stream_lists;
	bool watching;
	bool initial;		    /* what comes is still the list */
	bool progress;		    /* something came that is good */
	bool relist;		    /* the watch said that it cannot go on */
	struct kube_status error;   /* that the watch brought; KUBE_OK: none */
	struct kube_status trouble; /* that was said; KUBE_OK: none */
	bool closing;
	int open_handles;
};

static void start_list(struct reflector *r);
static void start_watch(struct reflector *r);
static void give_up(struct reflector *r);
static void on_timer(uv_timer_t *timer);

/* A list alone is no reason to hurry: the watch after it may be refused each time. */
static void recovered(struct reflector *r)
{
	if (r->trouble.verdict == KUBE_OK)
		return;
	r->trouble.verdict = KUBE_OK;
	r->handler.on_recovered(r->handler.arg);
}

static void settled(struct reflector *r)
{
	backoff_reset(&r->backoff);
	r->failing_ms = 0;
	recovered(r);
}

static void go_on(struct reflector *r)
{
	if (r->version == NULL && !(r->stream_lists && r->continues == NULL))
		start_list(r);
	else
		start_watch(r);
}

/* A server that hangs, or what stands before it, takes a request and says nothing. */
static void look_at_watch(struct reflector *r)
{
	if (kube_is_accepted(r->call))
		settled(r);
	else if (steady_ms() - r->watching_ms < STILL_MS)
		uv_timer_start(&r->timer, on_timer, SETTLED_MS, 0);
	else
		give_up(r);
}

static void on_timer(uv_timer_t *timer)
{
	struct reflector *r = timer->data;

	if (r->initial)
		give_up(r);
	else if (r->watching)
		look_at_watch(r);
	else
		go_on(r);
}

static void go_on_later(struct reflector *r, int64_t at_least_ms)
{
	int64_t pause = backoff_next_ms(&r->backoff);

	at_least_ms += backoff_jitter_ms(at_least_ms / RETRY_JITTER);
	uv_timer_start(
		&r->timer, on_timer, (uint64_t)(pause > at_least_ms ? pause : at_least_ms), 0);
}

static void start_over(struct reflector *r)
{
	free(TAKE(r->version));
	free(TAKE(r->continues));
}

static void failed(struct reflector *r, const struct kube_status *status)
{
	bool said = kube_status_is_same(&r->trouble, status);
	int64_t now = steady_ms();

	if (r->failing_ms == 0)
		r->failing_ms = now;
	/* A watch from a resourceVersion that is not there yet would be accepted, and silent. */
	if (status->verdict == KUBE_LATER && now - r->failing_ms >= AWAY_MS)
		start_over(r);
	go_on_later(r, status->retry_after_ms);
	/* A server that starts has not read its roles yet. */
	if (said || (status->verdict == KUBE_FORBIDDEN && r->listed_ms > 0 &&
			    now - r->failing_ms < DOUBTFUL_MS))
		return;
	r->trouble = *status;
	r->handler.on_trouble(r->handler.arg, status);
}

static void failed_as(struct reflector *r, const char *why)
{
	struct kube_status status = { .verdict = KUBE_ERROR };

	snprintf(status.why, sizeof(status.why), "%s", why);
	failed(r, &status);
}

/* Listing. */

/* What came of it before an error is true all the same: nothing is gone by not being in it. */
static int take_items(struct reflector *r, struct list_items *items, struct err *err)
{
	int rc = 0;

	while (!r->closing) {
		cleanup_jv jv item = jv_invalid();

		rc = list_items_next(items, &item, err);
		if (rc <= 0)
			break;
		r->handler.on_object(r->handler.arg, item, true);
	}
	return rc;
}

static bool take_page(struct reflector *r, const char *text, size_t len)
{
	struct list_items items;
	struct err err = ERR_INIT;
	cleanup_jv jv list = jv_invalid();
	cleanup_jv jv metadata = jv_invalid();
	char *next;

	if (!list_items_open(&items, text, len) || take_items(r, &items, &err) < 0)
		return false;
	if (r->closing)
		return true;
	list = list_items_rest(&items, &err);
	metadata = jvx_get(list, "metadata");
	next = jvx_dup_field(metadata, "continue");
	free(r->continues);
	r->continues = next != NULL && *next != '\0' ? TAKE(next) : NULL;
	free(next);
	if (r->continues != NULL)
		return true;
	free(r->version);
	r->version = jvx_dup_field(metadata, "resourceVersion");
	return r->version != NULL;
}

static void listed(struct reflector *r)
{
	r->listed_ms = steady_ms();
	recovered(r);
	r->handler.on_listed(r->handler.arg);
}

static void on_page(void *arg, const struct kube_answer *answer)
{
	struct reflector *r = arg;
	struct kube_status status = answer->status;

	r->call = NULL;
	/* Of a list that has just begun that is no news, but a server that is not well. */
	if (status.verdict == KUBE_EXPIRED && r->continues == NULL)
		status.verdict = KUBE_LATER;
	if (status.verdict == KUBE_EXPIRED) {
		start_over(r);
		go_on_later(r, status.retry_after_ms);
		return;
	}
	if (status.verdict != KUBE_OK) {
		start_over(r);
		failed(r, &status);
		return;
	}
	if (!take_page(r, answer->body, answer->body_len)) {
		start_over(r);
		failed_as(r, "a list cannot be read");
		return;
	}
	if (r->closing)
		return;
	if (r->continues == NULL)
		listed(r);
	if (!r->closing)
		go_on(r);
}

static void start_list(struct reflector *r)
{
	cleanup_free char *next = http_escape(r->continues != NULL ? r->continues : "");
	cleanup_free char *path = xasprintf("%s?limit=%d&%s%s%s", r->path, PAGE_OBJECTS,
		r->selector, *next != '\0' ? "&continue=" : "", next);
	const struct kube_request request = {
		.lane = KUBE_LANE_WATCH,
		.path = path,
		.accept = r->metadata_only ? KUBE_ACCEPT_METADATA_LIST : NULL,
		.max_body = MAX_PAGE_BYTES,
		.on_answer = on_page,
		.arg = r,
	};

	if (r->continues == NULL)
		r->handler.on_list(r->handler.arg);
	r->call = kube_send(r->kube, &request);
}

/* Watching. */

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
		listed(r);
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
static void give_up(struct reflector *r)
{
	bool lists = r->initial;

	end_watch(r);
	r->stream_lists = r->stream_lists && !lists;
	failed_as(r, lists ? "the API server does not finish its list"
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
		start_over(r);
		go_on_later(r, r->error.retry_after_ms);
	} else if (r->initial) {
		uv_timer_start(&r->timer, on_timer, STILL_MS, 0);
	} else if (r->progress) {
		settled(r);
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
		failed(r, &r->error);
		return;
	}
	if (steady_ms() - r->listed_ms >= r->relist_ms)
		start_over(r);
	go_on_later(r, 0);
}

/* The server is away, not just this connection: should it come back with a storage that was put
 * back in time, a watch from our version would be silent for ever. */
static void ended_badly(struct reflector *r, const struct kube_status *status)
{
	bool asked_to_wait = status->retry_after_ms > 0;

	failed(r, status);
	if (r->backoff.failures > 1 && !asked_to_wait)
		start_over(r);
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
		start_over(r);
		go_on_later(r, answer->status.retry_after_ms);
	} else if (initial && answer->status.verdict == KUBE_INVALID) {
		log_debug("no watch-list here, lists come in pages", "error", answer->status.why);
		r->stream_lists = false;
		go_on(r);
	} else if (answer->status.verdict != KUBE_OK) {
		ended_badly(r, &answer->status);
	} else if (initial && r->error.verdict == KUBE_OK) {
		failed_as(r, "a list ended before it was complete");
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

static void start_watch(struct reflector *r)
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
	uv_timer_start(&r->timer, on_timer, r->initial ? STILL_MS : SETTLED_MS, 0);
}

struct reflector *reflector_open(uv_loop_t *loop, struct kube *k,
	const struct reflector_config *config, const struct reflector_handler *handler)
{
	struct reflector *r = xcalloc(1, sizeof(*r));

	r->kube = k;
	r->path = xstrdup(config->path);
	r->selector = xstrdup(config->selector);
	r->metadata_only = config->metadata_only;
	r->relist_ms = config->relist_ms > 0 ? config->relist_ms : RELIST_MS;
	r->handler = *handler;
	r->backoff = (struct backoff){ .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS };
	r->stream_lists = config->stream_lists;
	watch_events_init(&r->events);
	uv_timer_init(loop, &r->timer);
	uv_timer_init(loop, &r->intake);
	r->timer.data = r->intake.data = r;
	r->open_handles = 2;
	go_on(r);
	return r;
}

static void on_closed(uv_handle_t *handle)
{
	struct reflector *r = handle->data;

	if (--r->open_handles > 0)
		return;
	watch_events_release(&r->events);
	free(r->path);
	free(r->selector);
	free(r->version);
	free(r->continues);
	free(r);
}

void reflector_close(struct reflector *r)
{
	if (r == NULL || r->closing)
		return;
	r->closing = true;
	kube_cancel(TAKE(r->call));
	uv_close((uv_handle_t *)&r->timer, on_closed);
	uv_close((uv_handle_t *)&r->intake, on_closed);
}
