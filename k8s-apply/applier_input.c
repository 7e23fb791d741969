#include "k8s-apply/applier_state.h"
#include "k8s-apply/feed.h"

static void feed_start(void *arg, const char *source, const char *snapshot, const char *scope)
{
	struct applier *a = arg;

	if (!applier_takes_source(a, source))
		return;
	freshness_heard(&a->freshness, source, steady_ms());
	a->saw_record = true;
	plan_start(a->plan, source, snapshot, scope);
}

static void feed_apply(void *arg, struct plan_desired *desired)
{
	struct applier *a = arg;

	if (!applier_takes_source(a, desired->source))
		return;
	a->saw_record = a->saw_record || *desired->source != '\0';
	freshness_heard(&a->freshness, desired->source, steady_ms());
	a->target->ops->said(a->target, desired);
	plan_apply(a->plan, steady_ms(), desired);
}

static void feed_keep(void *arg, const char *source, const char *key)
{
	struct applier *a = arg;

	if (!applier_takes_source(a, source))
		return;
	freshness_heard(&a->freshness, source, steady_ms());
	a->saw_record = true;
	plan_keep_key(a->plan, source, key);
}

static void feed_synced(void *arg, const char *source, const char *snapshot, uint64_t services)
{
	struct applier *a = arg;

	if (!applier_takes_source(a, source))
		return;
	freshness_heard(&a->freshness, source, steady_ms());
	a->saw_record = true;
	plan_synced(a->plan, steady_ms(), source, snapshot, services);
	applier_prune_named_sources(a);
}

static void feed_status(void *arg, const char *source, const char *state)
{
	struct applier *a = arg;

	freshness_status(&a->freshness, source, state, steady_ms());
}

static void feed_telling(void *arg, jv status)
{
	struct applier *a = arg;

	metrics_status(a->metrics, status);
}

int applier_take(struct applier *a, jv v, struct err *err)
{
	const struct feed_handler handler = {
		.on_start = feed_start,
		.on_apply = feed_apply,
		.on_keep = feed_keep,
		.on_synced = feed_synced,
		.on_status = feed_status,
		.on_telling = feed_telling,
		.manifests = a->config->prune,
		.arg = a,
	};
	int rc = feed_value(v, a->namespace, &handler, err);

	applier_pump(a);
	return rc;
}
