#include <string.h>

#include "k8s-apply/cluster_state.h"
#include "lib/log.h"

/* So long nothing must fail before it is said that the server is back. */
#define BACK_MS 2000

/* To a Retry-After up to this part of it is added. */
#define RETRY_JITTER 4

void cluster_changed(struct cluster *c)
{
	c->target.handler.on_change(c->target.handler.arg);
}

void cluster_fatal(struct cluster *c, const struct kube_status *status, const char *what)
{
	const struct kubeconfig *access = kube_access(c->kube);
	cleanup_free char *more =
		status->verdict == KUBE_UNAUTHORIZED ? kubeconfig_explain_refusal(access) : NULL;
	struct err err = ERR_INIT;

	err_set(&err, status->verdict == KUBE_NO_NAMESPACE ? EXIT_SOME_FAILED : EXIT_REFUSED,
		"%s at '%s': %s%s%s (%s)", what, access->server, status->why,
		more != NULL ? "; " : "", more != NULL ? more : "", access->where);
	c->target.handler.on_fatal(c->target.handler.arg, &err);
}

/* The server's health: said when it goes, and when it is back. */

static void on_back_timer(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	c->away = false;
	log_info("the API server is back", "server", kube_access(c->kube)->server);
}

static void look_away(struct cluster *c, const struct kube_status *status)
{
	if (!c->refused && c->sick == 0) {
		/* One that starts answers some and not others. */
		if (c->away && !uv_is_active((uv_handle_t *)&c->back_timer))
			uv_timer_start(&c->back_timer, on_back_timer, BACK_MS, 0);
		return;
	}
	uv_timer_stop(&c->back_timer);
	if (c->away || status == NULL)
		return;
	c->away = true;
	snprintf(c->away_why, sizeof(c->away_why), "%s", status->why);
	log_warn("the API server cannot be used for now, it is tried again", "server",
		kube_access(c->kube)->server, "error", c->away_why);
}

void cluster_answers(struct cluster *c)
{
	c->refused = false;
	look_away(c, NULL);
}

void cluster_well(struct cluster *c)
{
	backoff_reset(&c->backoff);
	cluster_answers(c);
	window_well(&c->window);
}

/* How much is sent: the window, the rate, pauses. */

static void on_pace_timer(uv_timer_t *timer)
{
	cluster_changed(timer->data);
}

bool cluster_has_room(struct cluster *c)
{
	int64_t now = steady_ms(), wait;

	if (c->in_flight >= c->window.limit || now < c->paused_until_ms)
		return false;
	wait = pace_wait_ms(&c->pace, now);
	if (wait > 0 && !uv_is_active((uv_handle_t *)&c->pace_timer))
		uv_timer_start(&c->pace_timer, on_pace_timer, (uint64_t)wait, 0);
	return wait == 0;
}

uint64_t cluster_sends(struct cluster *c, bool write)
{
	if (write)
		pace_take_ms(&c->pace, steady_ms());
	return window_send(&c->window);
}

static void on_timer(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	/* The loop's clock may be a little behind ours, and nobody would ask again. */
	c->paused_until_ms = 0;
	cluster_changed(c);
	/* Nobody will find out whether it would still be refused: nothing is to be sent. */
	if (c->in_flight == 0)
		cluster_answers(c);
}

/* Not before the server wants us, and not all who were told the same at one moment. */
static int64_t asked_for_ms(const struct kube_status *status)
{
	return status->retry_after_ms + backoff_jitter_ms(status->retry_after_ms / RETRY_JITTER);
}

void cluster_later(struct cluster *c, const struct kube_status *status, uint64_t number)
{
	int64_t now = steady_ms(), pause = asked_for_ms(status), left = c->paused_until_ms - now;

	c->refused = true;
	look_away(c, status);
	if (status->overload && window_overloaded(&c->window, number))
		log_debug("less is sent at once", "limit", log_num((long long)c->window.limit));
	/* One step for all that were under way together. */
	if (left <= 0) {
		int64_t step = backoff_next_ms(&c->backoff);

		pause = step > pause ? step : pause;
	}
	if (pause <= left)
		return;
	c->paused_until_ms = now + pause;
	uv_timer_start(&c->timer, on_timer, (uint64_t)pause, 0);
}

static void sick(struct cluster *c, const struct kube_status *status)
{
	c->sick++;
	if (!c->ready && status->verdict == KUBE_UNAUTHORIZED)
		cluster_fatal(c, status, "the credentials are refused");
	else
		look_away(c, status);
}

static void healed(struct cluster *c)
{
	c->sick--;
	look_away(c, NULL);
}

bool cluster_is_of_the_server(const struct kube_status *status)
{
	return status->verdict == KUBE_LATER || status->verdict == KUBE_ERROR ||
	       status->verdict == KUBE_UNAUTHORIZED;
}

/* `which` says whether it is; a status of NULL that it is well. */
void cluster_set_sick(struct cluster *c, bool *which, const struct kube_status *status)
{
	if (*which == (status != NULL))
		return;
	*which = status != NULL;
	if (*which)
		sick(c, status);
	else
		healed(c);
}
