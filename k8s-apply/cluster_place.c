#include <string.h>

#include "k8s-apply/cluster_state.h"

/* First and longest pause between attempts at a place where nothing can be written. */
#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 10000

/*
 * An API server that starts says for a while that it does not know a kind. To believe that would be
 * to take what is there for nothing.
 */
#define STARTING_MS 15000

/* What is there. */

static void on_list(void *arg)
{
	struct place *p = arg;

	p->serial++;
}

static void loaded(struct place *p)
{
	if (!p->initial)
		return;
	p->initial = false;
	cluster_place_loaded(p->cluster);
}

/* Rows of the place that a complete list did not have. */
static void drop_unlisted(struct place *p)
{
	cleanup_free struct row **gone = xcalloc(p->rows.count, sizeof(struct row *));
	struct row *r;
	size_t pos = 0, count = 0;

	while ((r = map_next(&p->rows, &pos)) != NULL)
		if ((r->exists || r->dying) && r->serial != p->serial)
			gone[count++] = r;
	for (size_t i = 0; i < count; i++)
		row_gone(gone[i], NULL);
}

static void on_listed(void *arg)
{
	struct place *p = arg;

	drop_unlisted(p);
	if (p->state == PLACE_LISTING) {
		p->state = PLACE_READY;
		if (p->held != NULL)
			place_works(p);
		else
			backoff_reset(&p->backoff);
		/* The parent must name it before anything is written; what is parked asks for that. */
		place_answer_parked(p, PLAN_DECIDE, NULL);
	}
	loaded(p);
	cluster_hosts_look(p);
	cluster_changed(p->cluster);
}

static void on_object(void *arg, jv object, bool listed)
{
	struct place *p = arg;
	struct live l;
	struct row *r;

	if (!ownership_read(&p->cluster->own, p->group, p->kind, object, &l))
		return;
	r = row_get(p, l.id.name);
	row_take(r, &l, listed);
	if (!listed)
		cluster_changed(p->cluster);
}

static void on_deleted(void *arg, jv object)
{
	struct place *p = arg;
	struct live l;
	struct row *r;

	if (!ownership_read(&p->cluster->own, p->group, p->kind, object, &l))
		return;
	r = map_get(&p->rows, l.id.name, strlen(l.id.name));
	if (r != NULL)
		row_gone(r, l.uid);
	live_release(&l);
	cluster_changed(p->cluster);
}

static void close_reflector(struct place *p)
{
	reflector_close(TAKE(p->reflector));
	cluster_set_sick(p->cluster, &p->sick, NULL);
}

/* The reflector has had its doubts, and does not say it twice. */
static void lose_sight(struct place *p, const struct kube_status *status)
{
	place_hold(p, status);
	if (!p->held_said)
		place_say_held(p);
}

static void on_trouble(void *arg, const struct kube_status *status)
{
	struct place *p = arg;

	switch (status->verdict) {
	case KUBE_UNAUTHORIZED:
	case KUBE_LATER:
	case KUBE_ERROR:
		cluster_set_sick(p->cluster, &p->sick, status);
		break;
	case KUBE_NOT_SERVED:
		/* Nothing is said of any object by that: the rows stay. */
		close_reflector(p);
		p->state = PLACE_SOUGHT;
		place_hold(p, status);
		break;
	default:
		if (p->initial && !p->cluster->ready && status->verdict == KUBE_FORBIDDEN)
			cluster_fatal(p->cluster, status, "cannot see what there is");
		else
			lose_sight(p, status);
		break;
	}
}

static void on_recovered(void *arg)
{
	struct place *p = arg;

	cluster_set_sick(p->cluster, &p->sick, NULL);
	if (p->state == PLACE_READY && p->held_by == KUBE_FORBIDDEN)
		place_works(p);
}

static void open_reflector(struct place *p)
{
	struct cluster *c = p->cluster;
	cleanup_free char *path = kube_path(p->api_version, p->namespace, p->plural, NULL);
	/* "=" is %3D; the id needs no escape. */
	cleanup_free char *selector = xasprintf("labelSelector="
						"applyset.kubernetes.io%%2Fpart-of"
						"%%3D%s",
		c->own.id);
	const struct reflector_config config = {
		.path = path,
		.selector = selector,
		.metadata_only = true,
		.stream_lists = kube_access(c->kube)->disable_compression,
	};
	const struct reflector_handler handler = {
		.on_list = on_list,
		.on_listed = on_listed,
		.on_object = on_object,
		.on_deleted = on_deleted,
		.knows = row_is_known,
		.on_trouble = on_trouble,
		.on_recovered = on_recovered,
		.arg = p,
	};

	p->state = PLACE_LISTING;
	p->reflector = reflector_open(c->loop, c->kube, &config, &handler);
}

/* How it is called. */

/* A kind without namespaces, looked for in one: it has a place of its own, without. */
static bool is_elsewhere(struct place *p, const struct discovered *found)
{
	struct kube_status status = { .verdict = KUBE_NOT_SERVED };

	if (found->namespaced == (*p->namespace != '\0'))
		return false;
	if (p->initial && !found->namespaced) {
		place_get(p->cluster, p->group, p->kind, "", NULL, true);
		loaded(p);
		return true;
	}
	snprintf(status.why, sizeof(status.why),
		found->namespaced ? "objects of this kind need a namespace"
				  : "objects of this kind are in no namespace; such kinds beside "
				    "Kubernetes' own cannot be written");
	place_hold(p, &status);
	return true;
}

static void on_found(void *arg, const struct discovered *found)
{
	struct place *p = arg;

	p->discovery = NULL;
	cluster_set_sick(p->cluster, &p->sick, NULL);
	if (is_elsewhere(p, found))
		return;
	free(p->api_version);
	free(p->plural);
	p->api_version = xstrdup(found->api_version);
	p->plural = xstrdup(found->plural);
	open_reflector(p);
}

static void on_not_found(void *arg, const struct kube_status *status)
{
	struct place *p = arg;

	p->discovery = NULL;
	switch (status->verdict) {
	case KUBE_UNAUTHORIZED:
	case KUBE_LATER:
	case KUBE_ERROR:
		cluster_set_sick(p->cluster, &p->sick, status);
		place_wait_longer(p, status->retry_after_ms);
		break;
	default:
		cluster_set_sick(p->cluster, &p->sick, NULL);
		place_hold(p, status);
		/* A kind that was taken out for good must not keep all else from beginning. */
		if (p->initial && steady_ms() - p->opened_ms >= STARTING_MS)
			loaded(p);
		break;
	}
}

void place_seek(struct place *p)
{
	const struct discovery_handler handler = {
		.on_found = on_found,
		.on_failed = on_not_found,
		.arg = p,
	};
	const char *slash = p->api_version != NULL ? strchr(p->api_version, '/') : NULL;
	const char *version = slash != NULL ? slash + 1 : p->api_version;

	if (p->discovery == NULL && p->reflector == NULL)
		p->discovery =
			discovery_start(p->cluster->kube, p->group, version, p->kind, &handler);
}

/* The key of a place is that of its objects without their names. */
static size_t key_len(const struct object_id *id)
{
	return (size_t)(id->name - id->bytes);
}

struct place *place_find(const struct cluster *c, const struct object_id *id)
{
	return map_get(&c->places, id->bytes, key_len(id));
}

struct place *place_get(struct cluster *c, const char *group, const char *kind,
	const char *namespace, const char *version, bool initial)
{
	struct object_id id;
	struct place *p;

	object_id_set(&id, group, kind, namespace, "");
	p = place_find(c, &id);
	if (p != NULL) {
		object_id_release(&id);
		return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->cluster = c;
	p->bytes = id.bytes;
	p->group = id.group;
	p->kind = id.kind;
	p->namespace = id.namespace;
	p->initial = initial;
	p->opened_ms = steady_ms();
	c->loading += initial;
	if (version != NULL)
		p->api_version =
			*group != '\0' ? xasprintf("%s/%s", group, version) : xstrdup(version);
	p->backoff = (struct backoff){ .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS };
	uv_timer_init(c->loop, &p->timer);
	p->timer.data = p;
	map_add(&c->places, p->bytes, key_len(&id), p);
	place_seek(p);
	return p;
}

static void on_closed(uv_handle_t *handle)
{
	struct place *p = handle->data;

	free(p->bytes);
	free(p->api_version);
	free(p->plural);
	free(p->held);
	free(p);
}

void place_free(struct place *p)
{
	struct row *r;
	size_t pos = 0;

	while ((r = map_next(&p->rows, &pos)) != NULL)
		row_free(r);
	map_release(&p->rows);
	while (p->parked != NULL) {
		struct parked *parked = p->parked;

		p->parked = parked->next;
		free(parked);
	}
	discovery_cancel(p->discovery);
	reflector_close(p->reflector);
	uv_close((uv_handle_t *)&p->timer, on_closed);
}
