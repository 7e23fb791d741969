#include <string.h>

#include "k8s-apply/applier_state.h"
#include "lib/log.h"

/* Result lines that wait for a reader who has stopped reading. */
#define MAX_PENDING_BYTES (64u << 20)

/* How soon a person's word in a file is noticed. */
#define LOOK_MS 500

/* An input that is open and quiet for so long is one that goes on: the lease is stood for. */
#define QUIET_MS 2000

/* So long no source is what it should be before another process gets the right to write. */
#define GIVE_WAY_MS 10000

/* An object that one key gives up may move to another (plan.h). */
#define MOVE_QUIET_MS	  50
#define MOVE_QUIET_MAX_MS 1000

void applier_want(struct applier *a)
{
	if (a->wanted || a->stale)
		return;
	a->wanted = true;
	a->target->ops->wanted(a->target);
}

static void log_notice(struct applier *a, const struct plan_notice *n)
{
	cleanup_free char *how = a->target->ops->how_to_release(a->target, n->keys);

	report_log_notice(n, how);
}

/* From the plan. */

/* Where it is rehearsed; NULL: it is done. */
static const char *dry_run(const struct applier *a)
{
	if (a->config->mode == APPLIER_DRY_RUN_SERVER)
		return "server dry run";
	return applier_only_looks(a) ? "dry run" : NULL;
}

static void on_result(void *arg, const struct plan_result *r)
{
	struct applier *a = arg;
	cleanup_free char *line = report_line(a->config->format, r, dry_run(a), wall_ms());
	struct err err = ERR_INIT;

	a->created += r->action == PLAN_CREATED;
	a->configured += r->action == PLAN_CONFIGURED;
	a->deleted += r->action == PLAN_DELETED;
	if (!applier_only_looks(a))
		metrics_result(a->metrics, r, wall_ms());
	report_log_problem(r, &a->warned);
	if (a->differences != NULL) {
		applier_note_result(a, r);
		return;
	}
	if (line == NULL || a->fatal.status == EXIT_OUTPUT)
		return;
	progress_clear(a->progress);
	out_line(a->out, line);
	if (out_pending(a->out) > MAX_PENDING_BYTES) {
		err_set(&err, EXIT_OUTPUT, "nobody reads our output");
		applier_fail(a, &err);
	}
}

static void on_notice(void *arg, const struct plan_notice *n)
{
	struct applier *a = arg;

	if (n->kind == PLAN_SYNCED || n->kind == PLAN_NOT_PRUNED)
		a->not_pruned = n->kind == PLAN_NOT_PRUNED;
	if (n->kind == PLAN_HOLD || n->kind == PLAN_HOLD_LOWER)
		a->held_said = n->keys;
	if (n->kind == PLAN_SYNCED) {
		free(a->synced);
		a->synced = xstrdup(n->source);
		metrics_synced(a->metrics, n->source, wall_ms());
	}
	/* An approval that was there before was for something else. */
	if (n->kind == PLAN_HOLD && !applier_only_looks(a))
		a->target->ops->drop_approval(a->target);
	log_notice(a, n);
}

static void on_remember(void *arg, const char *source, const char *scope)
{
	struct applier *a = arg;
	struct err err = ERR_INIT;

	if (a->target->ops->remember(a->target, source, scope, &err) < 0)
		log_warn("cannot remember a source", "source", source, "error", err.msg);
	applier_want(a);
}

/* Work. */

/* Once what followed from the snapshot is done. */
static void say_synced(struct applier *a)
{
	size_t keys, objects;

	plan_count_source(a->plan, a->synced, &keys, &objects);
	/* Of a diff the lines are all that there is to say. */
	if (a->differences == NULL)
		log_info("synced", "source", *a->synced != '\0' ? a->synced : NULL, "keys",
			log_num((long long)keys), "objects", log_num((long long)objects), "written",
			log_num((long long)(a->created + a->configured)), "deleted",
			log_num((long long)a->deleted));
	a->created = a->configured = a->deleted = 0;
	free(TAKE(a->synced));
}

static void on_freshness(void *arg, const struct freshness_change *change)
{
	struct applier *a = arg;

	plan_pause(a->plan, change->source, !change->fresh);
	if (change->fresh)
		log_info("what a source says is the present again", "source", change->source);
	else if (change->silent)
		log_warn("nothing comes from a source any more: nothing is written for it",
			"source", change->source);
	else
		/* Who says so says why. */
		log_info("a source is not connected to its catalogue: nothing is written for it",
			"source", change->source, "state", change->state);
}

/* A directory has one writer, who has just read it. */
static void look_at_freshness(struct applier *a)
{
	int64_t now = steady_ms();

	if (a->config->dir != NULL || !a->config->lease || applier_only_looks(a))
		return;
	freshness_look(&a->freshness, now, on_freshness, a);
	a->stale = !freshness_is_any(&a->freshness, now);
	if (!a->stale)
		a->fresh_ms = now;
}

/* One that cannot write must not keep those from it that can. */
static void give_way(struct applier *a)
{
	if (!a->wanted || !a->stale || a->ending || steady_ms() - a->fresh_ms < GIVE_WAY_MS)
		return;
	a->wanted = false;
	log_info("no source is connected: another process may write this set");
	a->target->ops->unwanted(a->target);
}

static enum target_gate look_at_gate(struct applier *a)
{
	enum target_gate gate = a->target->ops->gate(a->target);
	bool frozen = gate == TARGET_FROZEN;

	if (frozen != a->frozen)
		log_warn(frozen ? "frozen: nothing is written" : "no longer frozen");
	a->frozen = frozen;
	a->busy = gate == TARGET_BUSY;
	look_at_freshness(a);
	a->gate = gate;
	/* Who reads a diff may take his time. */
	if (a->differences != NULL && gate == TARGET_OPEN && out_full(a->out))
		gate = TARGET_BUSY;
	plan_freeze(a->plan, frozen || gate == TARGET_WAITING || a->stopping);
	return gate;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When something has to be looked at although nothing happens. */
static int64_t next_look_ms(struct applier *a)
{
	struct plan_counts counts;
	int64_t now = steady_ms(), wake = plan_wake_ms(a->plan), next = applier_deadline_ms(a);

	/* Only the target's word is waited for. */
	if (a->stopping)
		return INT64_MAX;
	if (a->fatal.status != EXIT_OK)
		return now;
	plan_count(a->plan, &counts);
	if (wake >= 0 && !a->busy)
		next = earlier(next, wake);
	if (counts.held_keys > 0 || a->frozen)
		next = earlier(next, now + LOOK_MS);
	if (!a->wanted && !a->stale && a->input != NULL)
		next = earlier(next, a->heard_ms + QUIET_MS);
	if (a->wanted && a->stale && !a->ending)
		next = earlier(next, a->fresh_ms + GIVE_WAY_MS);
	if (a->config->dir == NULL && a->config->lease)
		next = earlier(next, freshness_until_ms(&a->freshness));
	return next;
}

void applier_arm_timer(struct applier *a)
{
	int64_t next = next_look_ms(a);
	int64_t pause = next == INT64_MAX ? INT64_MAX : next - steady_ms();

	/* With 0 libuv would call again before it looks at anything else. */
	if (pause < 1)
		pause = 1;
	/* Never put off: a steady stream of records would do so for ever. */
	if (uv_is_active((uv_handle_t *)&a->timer) &&
		uv_timer_get_due_in(&a->timer) <= (uint64_t)pause)
		return;
	if (pause != INT64_MAX)
		uv_timer_start(&a->timer, applier_on_timer, (uint64_t)pause, 0);
}

static void hand_out(struct applier *a)
{
	struct plan_op op;
	size_t count;

	do {
		count = 0;
		a->pump_again = false;
		while (look_at_gate(a) == TARGET_OPEN && plan_next(a->plan, steady_ms(), &op)) {
			count++;
			if (a->config->mode == APPLIER_DRY_RUN_CLIENT) {
				plan_done(a->plan, steady_ms(), op.object, PLAN_OK, NULL);
				continue;
			}
			if (a->differences != NULL)
				differences_expect(a->differences, op.id);
			a->target->ops->stage(a->target, &op);
		}
		if (!a->frozen)
			a->target->ops->flush(a->target);
	} while (count > 0 || a->pump_again);
}

void applier_pump(struct applier *a)
{
	struct plan_counts counts;

	if (a->pumping || a->target == NULL)
		return;
	a->pumping = true;
	look_at_freshness(a);
	give_way(a);
	plan_count(a->plan, &counts);
	if (counts.waiting > 0)
		applier_want(a);
	hand_out(a);
	a->pumping = false;
	plan_count(a->plan, &counts);
	progress_set_waiting(a->progress, counts.waiting);
	if (a->synced != NULL && counts.waiting == 0)
		say_synced(a);
	applier_arm_timer(a);
	applier_check_end(a);
}

/* A hold is said when it begins; more may have come to it since. */
void applier_say_held(struct applier *a)
{
	struct plan_counts counts;
	struct plan_notice n = { .kind = PLAN_HOLD };

	plan_count(a->plan, &counts);
	if (counts.held_keys == 0 || counts.held_keys == a->held_said)
		return;
	a->held_said = n.keys = counts.held_keys;
	n.objects = counts.held_objects;
	log_notice(a, &n);
}

static void look_approval(struct applier *a)
{
	struct plan_counts counts;
	struct err err = ERR_INIT;
	uint64_t keys = 0;
	int rc;

	plan_count(a->plan, &counts);
	if (counts.held_keys == 0 || applier_only_looks(a))
		return;
	rc = a->target->ops->approval(a->target, &keys, &err);
	if (rc == 0)
		return;
	a->target->ops->drop_approval(a->target);
	if (rc < 0)
		log_warn("cannot take the approval", "error", err.msg);
	else if (plan_approve(a->plan, keys))
		log_info("held deletions released", "approved", log_num((long long)keys));
}

void applier_on_timer(uv_timer_t *timer)
{
	struct applier *a = timer->data;

	if (a->stopped) {
		applier_close_when_said(a);
		return;
	}
	if (a->fatal.status != EXIT_OK || (!a->ready && steady_ms() >= applier_deadline_ms(a))) {
		applier_end(a);
		return;
	}
	if (a->input != NULL && steady_ms() - a->heard_ms >= QUIET_MS)
		applier_want(a);
	look_approval(a);
	applier_say_held(a);
	applier_pump(a);
}

void applier_prune_named_sources(struct applier *a)
{
	const struct opt_list *names = &a->config->prune_sources;

	for (size_t i = 0; i < names->count && !a->prune_done; i++) {
		if (plan_prune_source(a->plan, steady_ms(), names->item[i]))
			continue;
		log_warn("source not pruned: it is unknown, or in use", "source", names->item[i]);
		a->prune_failed = true;
	}
	a->prune_done = true;
}

void applier_open_plan(struct applier *a)
{
	const struct plan_config config = {
		.accept_scope = a->config->accept_scope,
		.approved_keys = a->config->approve_deletes,
		.deletes_wait = a->config->dir == NULL,
		.quiet_ms = MOVE_QUIET_MS,
		.quiet_max_ms = MOVE_QUIET_MAX_MS,
		.prune_delay_ms = a->config->prune_delay_ms,
	};
	const struct plan_handler handler = {
		.on_result = on_result,
		.on_notice = on_notice,
		.on_remember = on_remember,
		.arg = a,
	};

	a->plan = plan_new(&config, &handler);
}
