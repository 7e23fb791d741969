#include <string.h>

#include "k8s-apply/cluster_state.h"
#include "lib/log.h"

#define CANNOT_LEASE  "cannot get the lease"
#define CANNOT_PARENT "cannot read or write the set's configmap"

/* Who may write. */

bool cluster_leads(const struct cluster *c)
{
	return !c->use_lease || lease_is_held(c->lease);
}

bool cluster_may_write(const struct cluster *c)
{
	return !c->read_only && !c->removes && c->wants_lead && cluster_leads(c) &&
	       !parent_is_frozen(c->parent);
}

static bool may_write(void *arg)
{
	return cluster_may_write(arg);
}

static void on_leading(void *arg)
{
	struct cluster *c = arg;

	parent_save(c->parent);
	cluster_changed(c);
}

static void on_waiting(void *arg UNUSED, const char *holder)
{
	log_info("another process writes this set, waiting", "holder", holder);
}

static void on_lease_recovered(void *arg)
{
	struct cluster *c = arg;

	c->lease_trouble.verdict = KUBE_OK;
	cluster_set_sick(c, &c->lease_sick, NULL);
}

static void on_lease_lost(void *arg, const char *why)
{
	struct cluster *c = arg;

	log_warn("the lease is lost, nothing is written until it is ours again", "error", why);
	parent_abandon(c->parent);
	op_abandon_all(c);
	cluster_changed(c);
}

/* Neither a pause nor another word will help, and nobody waits any more. */
static bool is_hopeless(const struct cluster *c, const struct kube_status *status)
{
	switch (status->verdict) {
	case KUBE_FORBIDDEN:
	case KUBE_DENIED:
	case KUBE_NO_NAMESPACE:
	case KUBE_INVALID:
		return c->hurried;
	default:
		return false;
	}
}

static void on_lease_trouble(void *arg, const struct kube_status *status)
{
	struct cluster *c = arg;

	if (cluster_is_of_the_server(status)) {
		cluster_set_sick(c, &c->lease_sick, status);
		return;
	}
	c->lease_trouble = *status;
	if (is_hopeless(c, status))
		cluster_fatal(c, status, CANNOT_LEASE);
	else
		log_warn(CANNOT_LEASE ", it is tried again", "lease", c->own.set, "namespace",
			c->own.namespace, "error", status->why);
}

void cluster_stopped(struct cluster *c)
{
	if (c->stopped)
		return;
	c->stopped = true;
	uv_timer_stop(&c->stop_timer);
	c->target.handler.on_stopped(c->target.handler.arg);
}

static void on_lease_released(void *arg)
{
	struct cluster *c = arg;

	if (c->removes)
		cluster_remove_lease(c);
	else
		cluster_stopped(c);
}

/* The parent. */

void cluster_place_loaded(struct cluster *c)
{
	if (--c->loading > 0 || !c->loaded || c->ready)
		return;
	c->ready = true;
	c->target.handler.on_ready(c->target.handler.arg);
}

struct kind_of {
	struct cluster *cluster;
	const char *group, *kind;
};

static void load_place(void *arg, const char *namespace)
{
	const struct kind_of *k = arg;

	place_get(k->cluster, k->group, k->kind, namespace, NULL, true);
}

static void load_kind(void *arg, const char *group, const char *kind)
{
	struct kind_of k = { .cluster = arg, .group = group, .kind = kind };

	parent_each_namespace(k.cluster->parent, load_place, &k);
}

static void on_parent_loaded(void *arg)
{
	struct cluster *c = arg;

	parent_each_source(c->parent, c->target.handler.on_source, c->target.handler.arg);
	/* Itself is one, or it would be ready before the last is asked for. */
	c->loading++;
	c->loaded = true;
	parent_each_kind(c->parent, load_kind, c);
	parent_save(c->parent);
	cluster_place_loaded(c);
}

static void on_parent_change(void *arg)
{
	struct cluster *c = arg;
	struct place *p;
	size_t pos = 0;

	parent_save(c->parent);
	/* Who waits behind another follows what that one writes, kinds that are new included. */
	if (c->loaded)
		parent_each_kind(c->parent, load_kind, c);
	while ((p = map_next(&c->places, &pos)) != NULL)
		place_release_parked(p);
	cluster_changed(c);
	cluster_check_stopped(c);
}

static void on_parent_trouble(void *arg, const struct kube_status *status)
{
	struct cluster *c = arg;

	if (cluster_is_of_the_server(status)) {
		cluster_set_sick(c, &c->parent_sick, status);
		return;
	}
	c->parent_trouble = *status;
	if (is_hopeless(c, status) || (!c->loaded && status->verdict == KUBE_FORBIDDEN))
		cluster_fatal(c, status, CANNOT_PARENT);
	else
		log_warn(CANNOT_PARENT ", it is tried again", "configmap", c->own.set, "namespace",
			c->own.namespace, "error", status->why);
}

static void on_parent_recovered(void *arg)
{
	struct cluster *c = arg;

	cluster_set_sick(c, &c->parent_sick, NULL);
	if (c->parent_trouble.verdict != KUBE_OK)
		log_info("the set's configmap is read and written again", "configmap", c->own.set);
	c->parent_trouble.verdict = KUBE_OK;
}

static void on_parent_fatal(void *arg, const struct err *err)
{
	struct cluster *c = arg;

	c->target.handler.on_fatal(c->target.handler.arg, err);
}

void cluster_open_set(struct cluster *c)
{
	const struct parent_handler parent_handler = {
		.may_write = may_write,
		.on_loaded = on_parent_loaded,
		.on_change = on_parent_change,
		.on_trouble = on_parent_trouble,
		.on_recovered = on_parent_recovered,
		.on_fatal = on_parent_fatal,
		.arg = c,
	};
	const struct lease_handler lease_handler = {
		.on_leading = on_leading,
		.on_waiting = on_waiting,
		.on_lost = on_lease_lost,
		.on_trouble = on_lease_trouble,
		.on_recovered = on_lease_recovered,
		.on_released = on_lease_released,
		.arg = c,
	};

	if (c->use_lease)
		c->lease =
			lease_open(c->loop, c->kube, c->own.namespace, c->own.set, &lease_handler);
	c->parent = parent_open(c->loop, c->kube, &c->own, &parent_handler);
}

void cluster_hurry_set(struct cluster *c)
{
	if (is_hopeless(c, &c->lease_trouble))
		cluster_fatal(c, &c->lease_trouble, CANNOT_LEASE);
	/* What it was refused for may be over since. */
	if (is_hopeless(c, &c->parent_trouble) && !parent_try_now(c->parent))
		cluster_fatal(c, &c->parent_trouble, CANNOT_PARENT);
}
