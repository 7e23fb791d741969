#include "k8s-apply/cluster_state.h"
#include "lib/log.h"

/* When nobody waits any more, this many failures in a row are final. */
#define HURRIED_FAILURES 3

/* For so long a right that is missing is not taken for lost. */
#define DOUBTFUL_MS 5000

static void answer(
	struct place *p, struct plan_object *object, enum plan_outcome outcome, const char *error)
{
	const struct target_handler *h = &p->cluster->target.handler;

	h->on_done(h->arg, object, outcome, error);
}

/* Parking. */

static void park(struct place *p, struct plan_object *object)
{
	struct parked *parked = xcalloc(1, sizeof(*parked));

	parked->object = object;
	parked->next = p->parked;
	p->parked = parked;
}

void place_answer_parked(struct place *p, enum plan_outcome outcome, const char *error)
{
	struct parked *next = TAKE(p->parked);

	while (next != NULL) {
		struct parked *parked = next;

		next = parked->next;
		answer(p, parked->object, outcome, error);
		free(parked);
	}
}

static bool is_open(const struct place *p)
{
	return p->state == PLACE_READY && p->held == NULL &&
	       (p->cluster->read_only ||
		       parent_covers(p->cluster->parent, p->group, p->kind, p->namespace));
}

void place_release_parked(struct place *p)
{
	if (is_open(p))
		place_answer_parked(p, PLAN_DECIDE, NULL);
}

static void on_timer(uv_timer_t *timer);

void place_wait_longer(struct place *p, int64_t at_least_ms)
{
	int64_t pause = backoff_next_ms(&p->backoff);

	uv_timer_start(
		&p->timer, on_timer, (uint64_t)(pause > at_least_ms ? pause : at_least_ms), 0);
}

/* One is let go, to see whether the place works again; it may also come to nothing. */
static void probe(struct place *p)
{
	struct parked *first = p->parked;

	p->probe = true;
	place_wait_longer(p, 0);
	if (first == NULL)
		return;
	p->parked = first->next;
	answer(p, first->object, PLAN_DECIDE, NULL);
	free(first);
	cluster_changed(p->cluster);
}

/* Holding. */

static bool is_final(const struct place *p)
{
	return p->cluster->hurried && p->held != NULL && !p->last_try &&
	       (p->held_by == KUBE_FORBIDDEN || p->backoff.failures >= HURRIED_FAILURES);
}

static void on_timer(uv_timer_t *timer)
{
	struct place *p = timer->data;

	if (p->state == PLACE_SOUGHT)
		place_seek(p);
	else
		probe(p);
}

void place_say_held(struct place *p)
{
	cleanup_free char *what =
		xasprintf("%s%s%s", p->kind, *p->group != '\0' ? "." : "", p->group);

	p->held_said = true;
	log_warn("nothing can be written here for now, it is tried again", "kind", what,
		"namespace", *p->namespace != '\0' ? p->namespace : NULL, "error", p->held);
}

/* A server that starts has not read its roles yet: that is no news unless it lasts. */
static bool is_doubtful(const struct place *p)
{
	return p->held_by == KUBE_FORBIDDEN && steady_ms() - p->held_ms < DOUBTFUL_MS &&
	       !p->cluster->hurried;
}

/* Once for each kind of reason: the words name the object that was tried. */
void place_hold(struct place *p, const struct kube_status *status)
{
	if (p->held == NULL || p->held_by != status->verdict) {
		free(p->held);
		p->held = xstrdup(status->why);
		p->held_by = status->verdict;
		p->held_ms = steady_ms();
		p->held_said = false;
	}
	p->probe = p->last_try = false;
	place_wait_longer(p, status->retry_after_ms);
	if (!p->held_said && !is_doubtful(p))
		place_say_held(p);
	if (is_final(p))
		place_answer_parked(p, PLAN_REFUSED, TARGET_SAID);
}

void place_works(struct place *p)
{
	/* One that is still sought is waited for: an answer from before says nothing of it. */
	if (p->state != PLACE_READY)
		return;
	backoff_reset(&p->backoff);
	if (p->held == NULL)
		return;
	if (p->held_said)
		log_info("it can be written here again", "kind", p->kind, "namespace",
			*p->namespace != '\0' ? p->namespace : NULL);
	free(TAKE(p->held));
	uv_timer_stop(&p->timer);
	place_release_parked(p);
	cluster_changed(p->cluster);
}

/* What it was held for may be over since: it is tried once more, at once. What cannot be listed is
 * tried by the reflector. */
void place_hurry(struct place *p)
{
	if (!is_final(p))
		return;
	if (!p->held_said)
		place_say_held(p);
	if (p->parked == NULL || p->state == PLACE_LISTING) {
		place_answer_parked(p, PLAN_REFUSED, TARGET_SAID);
		return;
	}
	p->last_try = true;
	place_retry(p);
}

void place_retry(struct place *p)
{
	if (uv_is_active((uv_handle_t *)&p->timer))
		on_timer(&p->timer);
}

bool place_lets_in(struct place *p, struct plan_object *object)
{
	struct cluster *c = p->cluster;

	if (p->state == PLACE_READY && p->held == NULL && !c->read_only)
		parent_include(c->parent, p->group, p->kind, p->namespace);
	if (is_open(p))
		return true;
	if (p->probe && p->state == PLACE_READY) {
		p->probe = false;
		return true;
	}
	if (is_final(p))
		answer(p, object, PLAN_REFUSED, TARGET_SAID);
	else
		park(p, object);
	return false;
}
