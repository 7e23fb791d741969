#include "k8s-apply/reflector_state.h"

#define RELIST_MS (INT64_C(60) * 60 * 1000)

/* A refused connection is cheap, and changes wait meanwhile. */
#define PAUSE_MIN_MS 200
#define PAUSE_MAX_MS 5000

/* For so long a right that we had and have lost is not taken for lost. */
#define DOUBTFUL_MS 5000

/* A server that was away for so long may have come back with data of another time. */
#define AWAY_MS 2000

/* To a Retry-After up to this part of it is added. */
#define RETRY_JITTER 4

/* A list alone is no reason to hurry: the watch after it may be refused each time. */
void reflector_recovered(struct reflector *r)
{
	if (r->trouble.verdict == KUBE_OK)
		return;
	r->trouble.verdict = KUBE_OK;
	r->handler.on_recovered(r->handler.arg);
}

void reflector_settled(struct reflector *r)
{
	backoff_reset(&r->backoff);
	r->failing_ms = 0;
	reflector_recovered(r);
}

void reflector_go_on(struct reflector *r)
{
	if (r->version == NULL && !(r->stream_lists && r->continues == NULL))
		reflector_start_list(r);
	else
		reflector_start_watch(r);
}

/* A server that hangs, or what stands before it, takes a request and says nothing. */
static void look_at_watch(struct reflector *r)
{
	if (kube_is_accepted(r->call))
		reflector_settled(r);
	else if (steady_ms() - r->watching_ms < STILL_MS)
		uv_timer_start(&r->timer, reflector_on_timer, SETTLED_MS, 0);
	else
		reflector_give_up(r);
}

void reflector_on_timer(uv_timer_t *timer)
{
	struct reflector *r = timer->data;

	if (r->initial)
		reflector_give_up(r);
	else if (r->watching)
		look_at_watch(r);
	else
		reflector_go_on(r);
}

void reflector_go_on_later(struct reflector *r, int64_t at_least_ms)
{
	int64_t pause = backoff_next_ms(&r->backoff);

	at_least_ms += backoff_jitter_ms(at_least_ms / RETRY_JITTER);
	uv_timer_start(&r->timer, reflector_on_timer,
		(uint64_t)(pause > at_least_ms ? pause : at_least_ms), 0);
}

void reflector_start_over(struct reflector *r)
{
	free(TAKE(r->version));
	free(TAKE(r->continues));
}

void reflector_failed(struct reflector *r, const struct kube_status *status)
{
	bool said = kube_status_is_same(&r->trouble, status);
	int64_t now = steady_ms();

	if (r->failing_ms == 0)
		r->failing_ms = now;
	/* A watch from a resourceVersion that is not there yet would be accepted, and silent. */
	if (status->verdict == KUBE_LATER && now - r->failing_ms >= AWAY_MS)
		reflector_start_over(r);
	reflector_go_on_later(r, status->retry_after_ms);
	/* A server that starts has not read its roles yet. */
	if (said || (status->verdict == KUBE_FORBIDDEN && r->listed_ms > 0 &&
			    now - r->failing_ms < DOUBTFUL_MS))
		return;
	r->trouble = *status;
	r->handler.on_trouble(r->handler.arg, status);
}

void reflector_failed_as(struct reflector *r, const char *why)
{
	struct kube_status status = { .verdict = KUBE_ERROR };

	snprintf(status.why, sizeof(status.why), "%s", why);
	reflector_failed(r, &status);
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
	reflector_go_on(r);
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
