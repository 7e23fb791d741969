#include "k8s-apply/applier_state.h"

/* What monitoring asks (metrics_server.h), and what we answer. */

static char *on_metrics(void *arg)
{
	struct applier *a = arg;
	struct metrics_now now = {
		.frozen = a->frozen,
		.freshness = &a->freshness,
		.now_ms = steady_ms(),
	};
	char *text;

	plan_count(a->plan, &now.counts);
	a->target->ops->look(a->target, &now.target);
	text = metrics_text(a->metrics, &now);
	free(now.target.unusable);
	return text;
}

static char *on_ready(void *arg)
{
	struct applier *a = arg;
	struct target_look look;
	cleanup_free char *unusable = NULL;

	a->target->ops->look(a->target, &look);
	unusable = look.unusable;
	if (a->ending)
		return xstrdup("it is about to end");
	if (unusable != NULL)
		return TAKE(unusable);
	if (!a->ready)
		return xstrdup("what the set has is not known yet");
	if (!a->heard)
		return xstrdup("nothing has come from the input yet");
	return NULL;
}

int applier_open_metrics(struct applier *a, struct err *err)
{
	const struct metrics_server_handler handler = {
		.on_metrics = on_metrics,
		.on_ready = on_ready,
		.arg = a,
	};

	if (a->config->metrics == NULL)
		return 0;
	a->metrics_server = metrics_server_open(&a->loop, a->config->metrics, &handler, err);
	return a->metrics_server != NULL ? 0 : -1;
}
