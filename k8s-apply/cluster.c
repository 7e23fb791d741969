#include "k8s-apply/cluster.h"

#include <string.h>

#include "k8s-apply/cluster_state.h"
#include "lib/log.h"

/* What is under way when we are told to end may take so long. */
#define STOP_MS 5000

static struct cluster *cluster_of(struct target *t)
{
	return (struct cluster *)t;
}

/* What the applier asks for. */

static void said(struct target *t, const struct plan_desired *d)
{
	struct cluster *c = cluster_of(t);

	for (size_t i = 0; i < d->count; i++) {
		const struct object_id *id = &d->manifests[i].id;
		struct row *r = row_find(c, id);

		cluster_hosts_said(c, id, d->manifests[i].body, d->manifests[i].hash);
		if (r != NULL && r->exists)
			cluster_hosts_here(r);
		if (r != NULL)
			row_said(r, d->source, d->key, &d->manifests[i]);
	}
}

static enum target_gate gate(struct target *t)
{
	struct cluster *c = cluster_of(t);

	if (c->read_only && (!c->ready || c->stopping))
		return TARGET_WAITING;
	if (c->read_only && c->use == TARGET_READ)
		return TARGET_OPEN;
	if (c->read_only)
		return cluster_has_room(c) ? TARGET_OPEN : TARGET_BUSY;
	if (c->loaded && parent_is_frozen(c->parent))
		return TARGET_FROZEN;
	if (!c->ready || c->stopping || !c->wants_lead || !cluster_leads(c))
		return TARGET_WAITING;
	return cluster_has_room(c) ? TARGET_OPEN : TARGET_BUSY;
}

static void wanted(struct target *t)
{
	struct cluster *c = cluster_of(t);

	if (c->wants_lead || c->read_only)
		return;
	c->wants_lead = true;
	c->rests = false;
	if (c->use_lease)
		lease_stand(c->lease);
	parent_save(c->parent);
}

/* What is under way must have ended before somebody else may write. */
void cluster_check_rest(struct cluster *c)
{
	if (!c->rests || c->in_flight > 0 || c->stopping)
		return;
	c->rests = false;
	lease_rest(c->lease);
}

static void unwanted(struct target *t)
{
	struct cluster *c = cluster_of(t);

	if (!c->wants_lead || !c->use_lease)
		return;
	c->wants_lead = false;
	c->rests = true;
	cluster_check_rest(c);
}

static void retry(struct target *t)
{
	struct cluster *c = cluster_of(t);
	struct place *p;
	size_t pos = 0;

	while ((p = map_next(&c->places, &pos)) != NULL)
		place_retry(p);
}

static void stage(struct target *t, const struct plan_op *op)
{
	struct cluster *c = cluster_of(t);
	const char *slash = strchr(op->api_version, '/');
	const char *version = slash != NULL ? slash + 1 : op->api_version;
	struct place *p =
		place_get(c, op->id->group, op->id->kind, op->id->namespace, version, false);
	struct row *r;
	const struct target_handler *h = &c->target.handler;

	if (!place_lets_in(p, op->object))
		return;
	r = row_get(p, op->id->name);
	if (r->dying)
		h->on_done(h->arg, op->object, PLAN_RETRY, CLUSTER_DYING);
	else if (!op->delete &&row_fought_until_ms(r) > steady_ms())
		op_leave(r, op);
	else
		op_start(r, op);
}

static void flush(struct target *t UNUSED)
{
}

static int remember(struct target *t, const char *source, const char *scope, struct err *err UNUSED)
{
	struct cluster *c = cluster_of(t);

	parent_remember(c->parent, source, scope);
	return 0;
}

static int approval(struct target *t, uint64_t *ret, struct err *err)
{
	return parent_approval(cluster_of(t)->parent, ret, err);
}

static void drop_approval(struct target *t)
{
	struct cluster *c = cluster_of(t);

	parent_drop_approval(c->parent);
}

static char *how_to_release(struct target *t, uint64_t keys)
{
	const struct cluster *c = cluster_of(t);

	return xasprintf("run once with --approve-deletes %llu, or 'kubectl annotate configmap "
			 "-n %s %s meshpipe.io/approve-deletes=%llu'",
		(unsigned long long)keys, c->own.namespace, c->own.set, (unsigned long long)keys);
}

static char *where(const struct target *t)
{
	const struct cluster *c = (const struct cluster *)t;

	return xasprintf("cluster '%s'", kube_access(c->kube)->server);
}

static bool has_set(const struct target *t)
{
	return parent_uid(((const struct cluster *)t)->parent) != NULL;
}

static void remove_set(struct target *t)
{
	cluster_of(t)->removes = true;
}

static char *trouble(struct target *t)
{
	const struct cluster *c = cluster_of(t);

	if (c->refused || c->sick > 0)
		return xasprintf("the API server '%s' cannot be used: %s",
			kube_access(c->kube)->server, c->away_why);
	if (c->ready && c->wants_lead && !cluster_leads(c))
		return xasprintf("another process has the lease '%s' in namespace '%s'", c->own.set,
			c->own.namespace);
	return NULL;
}

/* Who waits behind another is as well as who leads. */
static char *unusable(const struct cluster *c)
{
	if (c->refused || c->sick > 0 || !c->loaded)
		return xasprintf("the API server '%s' cannot be used%s%s",
			kube_access(c->kube)->server, c->away ? ": " : " yet",
			c->away ? c->away_why : "");
	if (c->lease_trouble.verdict != KUBE_OK)
		return xasprintf(
			"the lease '%s' cannot be had: %s", c->own.set, c->lease_trouble.why);
	if (c->parent_trouble.verdict != KUBE_OK)
		return xasprintf("the ConfigMap '%s' cannot be read or written: %s", c->own.set,
			c->parent_trouble.why);
	return NULL;
}

static void look(struct target *t, struct target_look *ret)
{
	struct cluster *c = cluster_of(t);

	*ret = (struct target_look){
		.in_flight = c->in_flight,
		.leads = c->ready && cluster_may_write(c),
		.unusable = unusable(c),
	};
	ret->knows_hosts = cluster_hosts_count(c, &ret->same_hosts);
}

static void hurry(struct target *t)
{
	struct cluster *c = cluster_of(t);
	struct place *p;
	size_t pos = 0;

	c->hurried = true;
	cluster_hurry_set(c);
	while ((p = map_next(&c->places, &pos)) != NULL)
		place_hurry(p);
}

/* Stopping. */

void cluster_release(struct cluster *c)
{
	if (c->removes && !c->parent_removed)
		cluster_remove_parent(c);
	else if (c->use_lease)
		lease_release(c->lease);
	else
		cluster_stopped(c);
}

/* What is remembered of a source is as good as written. */
static bool is_settled(const struct cluster *c)
{
	bool can_write = c->loaded && cluster_may_write(c) && !c->away &&
			 c->parent_trouble.verdict == KUBE_OK;

	return c->in_flight == 0 && (!can_write || parent_is_saved(c->parent));
}

static void on_stop_timer(uv_timer_t *timer)
{
	struct cluster *c = timer->data;

	if (!c->stopped && is_settled(c)) {
		cluster_release(c);
		return;
	}
	if (c->in_flight > 0)
		log_warn("not all that was under way has ended", "requests",
			log_num((long long)c->in_flight));
	op_abandon_all(c);
	cluster_release(c);
}

void cluster_check_stopped(struct cluster *c)
{
	/* From the loop, not from within whatever has just been answered. */
	if (c->stopping && !c->stopped && is_settled(c))
		uv_timer_start(&c->stop_timer, on_stop_timer, 0, 0);
}

static void stop(struct target *t)
{
	struct cluster *c = cluster_of(t);

	if (c->stopping)
		return;
	c->stopping = true;
	uv_timer_start(&c->stop_timer, on_stop_timer, STOP_MS, 0);
	cluster_check_stopped(c);
}

static void on_closed(uv_handle_t *handle)
{
	struct cluster *c = handle->data;

	if (--c->open_handles > 0)
		return;
	ownership_release(&c->own);
	free(c->namespace);
	free(c);
}

static void close_cluster(struct target *t)
{
	struct cluster *c = cluster_of(t);
	struct place *p;
	size_t pos;

	c->target.handler = (struct target_handler){ .arg = NULL };
	op_drop_all(c);
	cluster_drop_removal(c);
	cluster_hosts_close(c);
	for (pos = 0; (p = map_next(&c->places, &pos)) != NULL;)
		place_free(p);
	map_release(&c->places);
	intern_release(&c->texts);
	parent_close(c->parent);
	lease_close(c->lease);
	kube_close(c->kube);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	uv_close((uv_handle_t *)&c->stop_timer, on_closed);
	uv_close((uv_handle_t *)&c->back_timer, on_closed);
	uv_close((uv_handle_t *)&c->pace_timer, on_closed);
}

/* Opening. */

/* It has begun with its first request. */
static int start(struct target *t UNUSED, struct err *err UNUSED)
{
	return 0;
}

static const struct target_ops ops = {
	.start = start,
	.said = said,
	.gate = gate,
	.wanted = wanted,
	.unwanted = unwanted,
	.retry = retry,
	.stage = stage,
	.flush = flush,
	.remember = remember,
	.approval = approval,
	.drop_approval = drop_approval,
	.how_to_release = how_to_release,
	.where = where,
	.has_set = has_set,
	.remove_set = remove_set,
	.trouble = trouble,
	.look = look,
	.hurry = hurry,
	.stop = stop,
	.close = close_cluster,
};

static const char *first_of(const char *a, const char *b, const char *otherwise)
{
	if (a != NULL && *a != '\0')
		return a;
	return b != NULL && *b != '\0' ? b : otherwise;
}

struct target *cluster_open(uv_loop_t *loop, const struct cluster_config *config,
	const struct target_handler *handler, struct err *err)
{
	struct kubeconfig access;
	struct cluster *c;

	if (kubeconfig_load(config->access, &access, err) < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->target = (struct target){ .ops = &ops, .handler = *handler };
	c->loop = loop;
	c->namespace = xstrdup(first_of(config->namespace, access.namespace, "default"));
	c->use = config->use;
	c->read_only = config->use != TARGET_WRITE;
	c->use_lease = config->lease && !c->read_only;
	window_init(&c->window);
	c->pace = pace_of_rate(config->qps);
	c->adopt = config->adopt;
	c->force_conflicts = config->force_conflicts;
	c->backoff =
		(struct backoff){ .min_ms = CLUSTER_PAUSE_MIN_MS, .max_ms = CLUSTER_PAUSE_MAX_MS };
	uv_timer_init(loop, &c->timer);
	uv_timer_init(loop, &c->stop_timer);
	uv_timer_init(loop, &c->back_timer);
	uv_timer_init(loop, &c->pace_timer);
	c->timer.data = c->stop_timer.data = c->back_timer.data = c->pace_timer.data = c;
	c->open_handles = 4;
	ownership_init(&c->own, config->set, first_of(config->set_namespace, c->namespace, ""));
	c->kube = kube_open(loop, &access, err);
	if (c->kube == NULL) {
		close_cluster(&c->target);
		return NULL;
	}
	cluster_open_set(c);
	return &c->target;
}

const char *cluster_namespace(const struct target *t)
{
	return ((const struct cluster *)t)->namespace;
}
