#include "k8s-apply/applier_state.h"
#include "lib/log.h"

/* Of objects whose key cannot be read, when the whole set is deleted. */
#define UNKNOWN_KEY "?"

static bool on_found(void *arg, const char *source, const char *key, const struct manifest *m)
{
	struct applier *a = arg;

	/* When all goes, what nobody knows the key of goes as well. */
	if (source == NULL && a->config->delete_set)
		return plan_found(a->plan, "", UNKNOWN_KEY, m);
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

	if (a->differences != NULL)
		differences_settle(a->differences, plan_object_id(object));
	progress_step(a->progress);
	if (outcome == PLAN_OK)
		a->wrote_ms = steady_ms();
	metrics_outcome(a->metrics, outcome);
	plan_done(a->plan, steady_ms(), object, outcome, error);
}

static void on_later(void *arg, struct plan_object *object, int64_t at_ms, const char *error)
{
	struct applier *a = arg;

	if (a->differences != NULL)
		differences_settle(a->differences, plan_object_id(object));
	plan_later(a->plan, steady_ms(), object, at_ms, error);
}

static void on_difference(void *arg, const struct object_id *id, jv before, jv after)
{
	struct applier *a = arg;

	differences_found(a->differences, id, before, after);
}

static void on_left(void *arg)
{
	struct applier *a = arg;

	a->prune_failed = true;
}

static void on_warning(void *arg UNUSED, const char *text)
{
	log_warn(text);
}

static void on_ready(void *arg)
{
	applier_begin(arg);
}

static void on_change(void *arg)
{
	struct applier *a = arg;

	if (a->pumping)
		a->pump_again = true;
	else
		applier_pump(a);
}

static void on_fatal(void *arg, const struct err *err)
{
	applier_fail(arg, err);
}

static void on_stopped(void *arg)
{
	struct applier *a = arg;

	a->stopped = true;
	/* The target goes with the rest, but not while it is calling. */
	uv_timer_start(&a->timer, applier_on_timer, 0, 0);
}

/* Opening it. */

static enum target_use use_of_target(const struct applier *a)
{
	switch (a->config->mode) {
	case APPLIER_DRY_RUN_CLIENT:
		return TARGET_READ;
	case APPLIER_DRY_RUN_SERVER:
		return TARGET_DRY_RUN;
	case APPLIER_DIFF:
		return TARGET_COMPARE;
	case APPLIER_APPLY:
		break;
	}
	return TARGET_WRITE;
}

static struct target *open_dir(
	struct applier *a, const struct target_handler *handler, struct err *err)
{
	const struct dir_config config = {
		.path = a->config->dir,
		.set = a->config->set,
		.must_exist = a->config->delete_set,
		.use = use_of_target(a),
	};

	a->namespace = a->config->namespace;
	return dir_target_open(&config, handler, err);
}

static struct target *open_cluster(
	struct applier *a, const struct target_handler *handler, struct err *err)
{
	const struct cluster_config config = {
		.access = &a->config->access,
		.namespace = a->config->namespace,
		.set = a->config->set,
		.set_namespace = a->config->set_namespace,
		.lease = a->config->lease,
		.qps = a->config->qps,
		.use = use_of_target(a),
		.adopt = a->config->adopt,
		.force_conflicts = a->config->force_conflicts,
	};
	struct target *t = cluster_open(&a->loop, &config, handler, err);

	if (t != NULL)
		a->namespace = cluster_namespace(t);
	return t;
}

int applier_open_target(struct applier *a, struct err *err)
{
	const struct target_handler handler = {
		.on_source = on_source,
		.on_found = on_found,
		.on_lost = on_lost,
		.on_done = on_done,
		.on_difference = on_difference,
		.on_left = on_left,
		.on_later = on_later,
		.on_ready = on_ready,
		.on_change = on_change,
		.on_warning = on_warning,
		.on_fatal = on_fatal,
		.on_stopped = on_stopped,
		.arg = a,
	};

	a->target = a->config->dir != NULL ? open_dir(a, &handler, err)
					   : open_cluster(a, &handler, err);
	if (a->target == NULL || a->target->ops->start(a->target, err) < 0)
		return -1;
	applier_arm_timer(a);
	return 0;
}
