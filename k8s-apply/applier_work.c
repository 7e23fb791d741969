#include <string.h>

#include "k8s-apply/applier_state.h"
#include "k8s-apply/feed.h"
#include "lib/log.h"

/* Result lines that wait for a reader who has stopped reading. */
#define MAX_PENDING_BYTES (64u << 20)

/* How soon a person's word in a file is noticed. */
#define LOOK_MS 500

static struct dir_control *control(struct applier *a)
{
	return dir_get_control(a->dir);
}

/* From the plan. */

static void on_result(void *arg, const struct plan_result *r)
{
	struct applier *a = arg;
	cleanup_free char *line = report_line(a->config->format, r, a->config->dry_run, wall_ms());
	struct err err = ERR_INIT;

	a->created += r->action == PLAN_CREATED;
	a->configured += r->action == PLAN_CONFIGURED;
	a->deleted += r->action == PLAN_DELETED;
	report_log_problem(r, &a->warned);
	if (line == NULL || a->fatal.status == EXIT_OUTPUT)
		return;
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
	}
	/* An approval that was there before was for something else. */
	if (n->kind == PLAN_HOLD)
		dir_control_drop_approval(control(a));
	report_log_notice(n, control(a)->approval_path);
}

static void on_remember(void *arg, const char *source, const char *scope)
{
	struct applier *a = arg;
	struct err err = ERR_INIT;

	if (dir_control_remember(control(a), source, scope, &err) < 0)
		log_warn("cannot remember a source", "source", source, "error", err.msg);
}

/* From the target. */

static bool on_found(void *arg, const char *source, const char *key, const struct manifest *m)
{
	struct applier *a = arg;

	return plan_found(a->plan, source, key, m);
}

static void on_lost(void *arg, const struct object_id *id)
{
	struct applier *a = arg;

	plan_lost(a->plan, id);
}

static void on_source(void *arg, const char *source, const char *scope)
{
	struct applier *a = arg;

	plan_remember(a->plan, source, scope);
}

static void on_done(
	void *arg, struct plan_object *object, enum plan_outcome outcome, const char *error)
{
	struct applier *a = arg;

	plan_done(a->plan, steady_ms(), object, outcome, error);
}

static void on_warning(void *arg UNUSED, const char *text)
{
	log_warn(text);
}

/* Work. */

static void look_frozen(struct applier *a)
{
	bool frozen = dir_control_is_lost(control(a)) || dir_control_is_frozen(control(a));

	if (frozen != a->frozen && !dir_control_is_lost(control(a)))
		log_warn(frozen ? "frozen: nothing is written" : "no longer frozen");
	a->frozen = frozen;
	plan_freeze(a->plan, frozen);
}

static void look_lost(struct applier *a)
{
	struct err err = ERR_INIT;

	if (!dir_control_is_lost(control(a)))
		return;
	err_set(&err, EXIT_SYSTEM, "'%s' was removed while it was written to", a->config->dir);
	applier_fail(a, &err);
}

static void arm_timer(struct applier *a)
{
	struct plan_counts counts;
	int64_t wake = plan_wake_ms(a->plan);
	int64_t pause = wake >= 0 ? wake - steady_ms() : INT64_MAX;

	plan_count(a->plan, &counts);
	if ((counts.held_keys > 0 || a->frozen) && pause > LOOK_MS)
		pause = LOOK_MS;
	if (a->fatal.status != EXIT_OK || pause < 0)
		pause = 0;
	/* Never put off: a steady stream of records would do so for ever. */
	if (uv_is_active((uv_handle_t *)&a->timer) &&
		uv_timer_get_due_in(&a->timer) <= (uint64_t)pause)
		return;
	if (pause != INT64_MAX)
		uv_timer_start(&a->timer, applier_on_timer, (uint64_t)pause, 0);
}

void applier_pump(struct applier *a)
{
	struct plan_op op;
	size_t count;

	look_frozen(a);
	do {
		count = 0;
		while (plan_next(a->plan, steady_ms(), &op)) {
			count++;
			if (a->config->dry_run)
				plan_done(a->plan, steady_ms(), op.object, PLAN_OK, NULL);
			else
				dir_stage(a->dir, &op);
		}
		if (!a->config->dry_run && !a->frozen)
			dir_flush(a->dir);
	} while (count > 0);
	arm_timer(a);
	look_lost(a);
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
	report_log_notice(&n, control(a)->approval_path);
}

static void look_approval(struct applier *a)
{
	struct plan_counts counts;
	struct err err = ERR_INIT;
	uint64_t keys = 0;
	int rc;

	plan_count(a->plan, &counts);
	if (counts.held_keys == 0 || a->config->dry_run)
		return;
	rc = dir_control_approval(control(a), &keys, &err);
	if (rc == 0)
		return;
	dir_control_drop_approval(control(a));
	if (rc < 0)
		log_warn("cannot take the approval", "error", err.msg);
	else if (plan_approve(a->plan, keys))
		log_info("held deletions released", "approved", log_num((long long)keys));
}

void applier_on_timer(uv_timer_t *timer)
{
	struct applier *a = timer->data;

	if (a->fatal.status != EXIT_OK) {
		applier_end(a);
		return;
	}
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

static void say_synced(struct applier *a)
{
	size_t keys, objects;

	plan_count_source(a->plan, a->synced, &keys, &objects);
	log_info("synced", "source", a->synced, "keys", log_num((long long)keys), "objects",
		log_num((long long)objects), "written",
		log_num((long long)(a->created + a->configured)), "deleted",
		log_num((long long)a->deleted));
	a->created = a->configured = a->deleted = 0;
	free(TAKE(a->synced));
}

/* From the input. */

static void feed_start(void *arg, const char *source, const char *snapshot, const char *scope)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_start(a->plan, source, snapshot, scope);
}

static void feed_apply(void *arg, struct plan_desired *desired)
{
	struct applier *a = arg;

	a->saw_record = a->saw_record || *desired->source != '\0';
	/* While frozen a file that was edited stays so; it is looked at when it is written. */
	if (!a->frozen && !a->config->dry_run)
		dir_said(a->dir, desired->source, desired->key);
	plan_apply(a->plan, steady_ms(), desired);
}

static void feed_keep(void *arg, const char *source, const char *key)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_keep_key(a->plan, source, key);
}

static void feed_synced(void *arg, const char *source, const char *snapshot, uint64_t services)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_synced(a->plan, steady_ms(), source, snapshot, services);
	applier_prune_named_sources(a);
}

int applier_take(struct applier *a, jv v, struct err *err)
{
	const struct feed_handler handler = {
		.on_start = feed_start,
		.on_apply = feed_apply,
		.on_keep = feed_keep,
		.on_synced = feed_synced,
		.arg = a,
	};
	int rc = feed_value(v, a->config->namespace, &handler, err);

	applier_pump(a);
	if (a->synced != NULL)
		say_synced(a);
	return rc;
}

int applier_open_target(struct applier *a, struct err *err)
{
	const struct dir_config config = {
		.path = a->config->dir,
		.set = a->config->set,
		.read_only = a->config->dry_run,
	};
	const struct dir_handler handler = {
		.on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning,
		.arg = a,
	};

	a->dir = dir_open(&config, &handler, err);
	return a->dir != NULL ? dir_load(a->dir, err) : -1;
}

void applier_open_plan(struct applier *a)
{
	const struct plan_config config = {
		.accept_scope = a->config->accept_scope,
		.approved_keys = a->config->approve_deletes,
	};
	const struct plan_handler handler = {
		.on_result = on_result,
		.on_notice = on_notice,
		.on_remember = on_remember,
		.arg = a,
	};

	a->plan = plan_new(&config, &handler);
}
