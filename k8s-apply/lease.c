#include "k8s-apply/lease.h"

#include <string.h>

#include "k8s-apply/lease_identity.h"
#include "k8s-apply/lease_record.h"
#include "lib/backoff.h"

/* At least so long after what went wrong while it is ours: there is little time, but no busy loop. */
#define SOON_MS 200

enum phase {
	IDLE,
	STANDING,
	HELD,
	LEAVING, /* it is being given back, or a request has to end first that may make it ours */
	LEFT,
};

struct lease {
	char *identity;
	struct lease_times times;
	struct lease_handler handler;
	struct lease_record *record;

	enum phase phase;
	bool rests; /* LEAVING leads back to IDLE */
	bool stands_again;
	int64_t renewed_ms;	    /* when the last write that went well was sent */
	char *waits_for;	    /* the holder that was told; NULL: none */
	struct kube_status trouble; /* that was told, or on_lost will tell; KUBE_OK: none */
	struct backoff backoff;

	uv_timer_t timer;    /* the next request; the end of LEAVING */
	uv_timer_t deadline; /* of HELD */
	int open_handles;
	bool closing;
};

const struct lease_times lease_times = {
	.lease_s = 15,
	.renew_ms = 10000,
	.retry_ms = 2000,
	.max_pause_ms = 30000,
	.request_ms = 5000,
	.release_ms = 2000,
	.now_ms = steady_ms,
};

static int64_t since_ms(const struct lease *l, int64_t then_ms)
{
	return l->times.now_ms() - then_ms;
}

bool lease_is_held(const struct lease *l)
{
	return l->phase == HELD && since_ms(l, l->renewed_ms) < l->times.renew_ms;
}

static void on_timer(uv_timer_t *timer);

static void go_on_in(struct lease *l, int64_t ms)
{
	uv_timer_start(&l->timer, on_timer, (uint64_t)ms, 0);
}

/* Candidates that start together shall not come together. */
static void go_on_later(struct lease *l)
{
	int64_t jitter = (int64_t)(uv_hrtime() % (uint64_t)(l->times.retry_ms / 5 + 1));

	go_on_in(l, l->times.retry_ms + jitter);
}

/* What becomes of it. In each function a callback comes last: it may close `l`. */

static void lose(struct lease *l, const char *why)
{
	lease_record_cancel(l->record);
	uv_timer_stop(&l->deadline);
	l->phase = STANDING;
	/* Nothing was said of it while the lease was ours, and it does not mend itself. */
	if (l->trouble.verdict == KUBE_UNAUTHORIZED)
		l->trouble.verdict = KUBE_OK;
	go_on_in(l, 0);
	l->handler.on_lost(l->handler.arg, why);
}

/*
 * To be asked first by whatever the loop calls: after a stop anything may come before the
 * deadline's timer, and an answer must not make good what has been over for a while.
 */
static bool lose_if_overdue(struct lease *l)
{
	cleanup_free char *why = NULL;

	if (l->phase != HELD || lease_is_held(l))
		return false;
	why = xasprintf("not renewed for %lld s%s%s", (long long)l->times.renew_ms / 1000,
		l->trouble.verdict != KUBE_OK ? ": " : "", l->trouble.why);
	lose(l, why);
	return true;
}

static void on_deadline(uv_timer_t *timer);

/* The loop's clock stands while the machine sleeps: the timer may be late, and is no proof. */
static void set_deadline(struct lease *l)
{
	int64_t left = l->times.renew_ms - since_ms(l, l->renewed_ms);

	uv_timer_start(&l->deadline, on_deadline, (uint64_t)(left > 0 ? left : 1), 0);
}

static void on_deadline(uv_timer_t *timer)
{
	struct lease *l = timer->data;

	if (!lose_if_overdue(l))
		set_deadline(l);
}

static void well(struct lease *l)
{
	bool was_ill = l->trouble.verdict != KUBE_OK;

	l->trouble = (struct kube_status){ .verdict = KUBE_OK };
	backoff_reset(&l->backoff);
	if (was_ill)
		l->handler.on_recovered(l->handler.arg);
}

/* What has used up its time is not made to wait as long as what is refused at once. */
static void renew_soon(struct lease *l)
{
	int64_t left = l->times.retry_ms - since_ms(l, lease_record_asked_ms(l->record));

	go_on_in(l, left > SOON_MS ? left : SOON_MS);
}

/* While it is ours the loss says why, if it comes to that. */
static void failed(struct lease *l, const struct kube_status *status)
{
	bool told = kube_status_is_same(&l->trouble, status);
	int64_t pause, asked_ms;

	l->trouble = *status;
	if (l->phase == HELD) {
		renew_soon(l);
		return;
	}
	/* Who leads when the server is back should not have to be waited for. */
	pause = status->verdict == KUBE_LATER ? l->times.retry_ms : backoff_next_ms(&l->backoff);
	asked_ms = status->retry_after_ms < l->times.max_pause_ms ? status->retry_after_ms
								  : l->times.max_pause_ms;
	go_on_in(l, pause > asked_ms ? pause : asked_ms);
	if (!told)
		l->handler.on_trouble(l->handler.arg, status);
}

static void wait_for(struct lease *l, const char *holder)
{
	int64_t left = lease_record_left_ms(l->record, l->times.retry_ms);

	well(l);
	/* When its time is up before the next look, that look comes then. */
	if (left < l->times.retry_ms)
		go_on_in(l, left);
	else
		go_on_later(l);
	if (l->waits_for != NULL && strcmp(l->waits_for, holder) == 0)
		return;
	free(l->waits_for);
	l->waits_for = xstrdup(holder);
	l->handler.on_waiting(l->handler.arg, l->waits_for);
}

static bool may_take(const struct lease *l, const char *holder)
{
	return *holder == '\0' || strcmp(holder, l->identity) == 0 ||
	       lease_identity_is_gone(holder, l->identity) || lease_record_has_expired(l->record);
}

static void consider(struct lease *l)
{
	cleanup_free char *holder = lease_record_holder(l->record);
	cleanup_free char *why = xasprintf("'%s' has it now", holder);

	if (l->phase == HELD && strcmp(holder, l->identity) == 0)
		lease_record_renew(l->record);
	else if (l->phase == HELD)
		lose(l, *holder != '\0' ? why : "it was taken from us");
	else if (may_take(l, holder))
		lease_record_take(l->record);
	else
		wait_for(l, holder);
}

static void on_read(void *arg, const struct kube_status *status)
{
	struct lease *l = arg;

	if (lose_if_overdue(l))
		return;
	if (status->verdict == KUBE_OK)
		consider(l);
	else if (status->verdict != KUBE_NOT_FOUND)
		failed(l, status);
	else if (l->phase == HELD)
		lose(l, "it was deleted");
	else
		lease_record_take(l->record);
}

static void granted(struct lease *l)
{
	int64_t asked_ms = lease_record_asked_ms(l->record);
	bool anew = l->phase != HELD;

	/* We were stopped since we asked. */
	if (since_ms(l, asked_ms) >= l->times.renew_ms) {
		go_on_in(l, 0);
		return;
	}
	l->phase = HELD;
	l->renewed_ms = asked_ms;
	free(TAKE(l->waits_for));
	well(l);
	set_deadline(l);
	go_on_in(l, l->times.retry_ms);
	if (anew)
		l->handler.on_leading(l->handler.arg);
}

/* A write that timed out may have been done: the next one meets its conflict. */
static void look_again(struct lease *l)
{
	if (l->phase == HELD)
		go_on_in(l, SOON_MS);
	else
		go_on_later(l);
}

static void leave(struct lease *l)
{
	lease_record_cancel(l->record);
	uv_timer_stop(&l->timer);
	if (l->rests) {
		l->phase = IDLE;
		if (l->stands_again)
			lease_stand(l);
		return;
	}
	l->phase = LEFT;
	l->handler.on_released(l->handler.arg);
}

static void on_written(void *arg, const struct kube_status *status)
{
	struct lease *l = arg;
	bool done = status->verdict == KUBE_OK;

	if (l->phase == LEAVING && done)
		lease_record_give_back(l->record);
	else if (l->phase == LEAVING)
		leave(l);
	else if (lose_if_overdue(l))
		return;
	else if (done)
		granted(l);
	else if (status->verdict == KUBE_CONFLICT || status->verdict == KUBE_NOT_FOUND)
		look_again(l);
	else
		failed(l, status);
}

static void on_given_back(void *arg, const struct kube_status *status UNUSED)
{
	leave(arg);
}

static void on_timer(uv_timer_t *timer)
{
	struct lease *l = timer->data;

	if (l->phase == LEAVING)
		leave(l);
	else if (lose_if_overdue(l))
		return;
	else if (l->phase == HELD && lease_record_is_known(l->record))
		lease_record_renew(l->record);
	else
		lease_record_read(l->record);
}

void lease_stand(struct lease *l)
{
	l->stands_again = true;
	if (l->phase != IDLE)
		return;
	l->rests = false;
	l->phase = STANDING;
	lease_record_read(l->record);
}

static void give_back(struct lease *l)
{
	bool pending = lease_record_is_being_written(l->record);
	bool held = l->phase == HELD && lease_record_is_known(l->record);

	l->phase = LEAVING;
	uv_timer_stop(&l->deadline);
	go_on_in(l, pending || held ? l->times.release_ms : 0);
	/* What is being written may be done although we drop it: its answer tells. */
	if (pending)
		return;
	lease_record_cancel(l->record);
	if (held)
		lease_record_give_back(l->record);
}

void lease_release(struct lease *l)
{
	l->rests = false;
	if (l->phase != LEAVING && l->phase != LEFT)
		give_back(l);
}

void lease_rest(struct lease *l)
{
	l->stands_again = false;
	if (l->phase != STANDING && l->phase != HELD)
		return;
	l->rests = true;
	free(TAKE(l->waits_for));
	give_back(l);
}

/* Opening. */

struct lease *lease_open_as(uv_loop_t *loop, struct kube *k, const char *namespace,
	const char *name, const struct lease_handler *handler, const char *identity,
	const struct lease_times *times)
{
	struct lease *l = xcalloc(1, sizeof(*l));
	const struct lease_record_handler record_handler = {
		.on_read = on_read,
		.on_written = on_written,
		.on_given_back = on_given_back,
		.arg = l,
	};

	l->identity = xstrdup(identity);
	l->times = *times;
	l->handler = *handler;
	l->record = lease_record_open(k, namespace, name, identity, &l->times, &record_handler);
	l->backoff = (struct backoff){ times->retry_ms, times->max_pause_ms, 0 };
	uv_timer_init(loop, &l->timer);
	uv_timer_init(loop, &l->deadline);
	l->timer.data = l->deadline.data = l;
	l->open_handles = 2;
	return l;
}

struct lease *lease_open(uv_loop_t *loop, struct kube *k, const char *namespace, const char *name,
	const struct lease_handler *handler)
{
	cleanup_free char *identity = lease_identity();

	return lease_open_as(loop, k, namespace, name, handler, identity, &lease_times);
}

static void on_closed(uv_handle_t *handle)
{
	struct lease *l = handle->data;

	if (--l->open_handles > 0)
		return;
	free(l->identity);
	free(l->waits_for);
	free(l);
}

void lease_close(struct lease *l)
{
	if (l == NULL || l->closing)
		return;
	l->closing = true;
	lease_record_close(l->record);
	uv_close((uv_handle_t *)&l->timer, on_closed);
	uv_close((uv_handle_t *)&l->deadline, on_closed);
}
