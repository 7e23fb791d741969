#include <string.h>
#include <xxhash.h>

#include "k8s-apply/cluster_state.h"
#include "k8s-apply/hosts.h"
#include "lib/log.h"

/*
 * ServiceEntries that others have for a host of the set's (hosts.h). It only looks and says: no
 * write waits for it, and what it is not allowed to see is no trouble. It begins when the set
 * has a ServiceEntry, with those of the whole cluster, or where that is forbidden, those of the
 * set's namespaces.
 */

struct watcher {
	struct cluster_hosts *hosts;
	char *namespace; /* "": all */
	struct reflector *reflector;
	uint64_t serial; /* of the list under way */
	bool refused;	 /* and that was said */
	struct watcher *next;
};

struct cluster_hosts {
	struct cluster *cluster;
	struct hosts *table;
	struct watcher *watchers;
	bool not_wide; /* those of all namespaces may not be seen */
	bool listed;   /* those of one watcher, at least */
};

static bool is_service_entry(const char *group, const char *kind)
{
	return strcmp(kind, "ServiceEntry") == 0 && strcmp(group, "networking.istio.io") == 0;
}

/* What is said. */

static void on_pair(void *arg UNUSED, const struct hosts_pair *p)
{
	log_warn(p->both_ours ? "two ServiceEntries of the set have the same host, Istio merges "
				"them in no certain order: give one another host or exportTo"
			      : "a ServiceEntry of somebody else has a host of ours, Istio merges "
				"them in no certain order: remove one, or limit its exportTo",
		"host", p->host, p->both_ours ? "one" : "ours", p->ours,
		p->both_ours ? "other" : "theirs", p->other, "by", p->by);
}

static void on_end(void *arg UNUSED, const struct hosts_pair *p)
{
	log_info("two ServiceEntries have no longer the same host", "host", p->host,
		p->both_ours ? "one" : "ours", p->ours, p->both_ours ? "other" : "theirs",
		p->other);
}

/* Those of others. */

/* Their set, or whose field manager wrote them. */
static char *made_by(jv metadata)
{
	cleanup_jv jv labels = jvx_get(metadata, "labels");
	cleanup_free char *set = jvx_dup_field(labels, OWNERSHIP_LABEL);
	cleanup_jv jv fields = jvx_get(metadata, "managedFields");
	cleanup_jv jv first = jvx_at(fields, 0);

	return set != NULL ? xasprintf("set %s", set) : jvx_dup_field(first, "manager");
}

static void on_object(void *arg, jv object, bool listed UNUSED)
{
	const struct watcher *w = arg;
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_free char *namespace = jvx_dup_field(metadata, "namespace");
	cleanup_free char *name = jvx_dup_field(metadata, "name");
	cleanup_free char *version = jvx_dup_field(metadata, "resourceVersion");
	cleanup_free char *by = made_by(metadata);

	if (namespace != NULL && name != NULL && version != NULL)
		hosts_set(w->hosts->table, HOSTS_THEIRS, namespace, name,
			XXH3_64bits(version, strlen(version)), object, by);
}

static void on_deleted(void *arg, jv object)
{
	const struct watcher *w = arg;
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_free char *namespace = jvx_dup_field(metadata, "namespace");
	cleanup_free char *name = jvx_dup_field(metadata, "name");

	if (namespace != NULL && name != NULL)
		hosts_remove(w->hosts->table, HOSTS_THEIRS, namespace, name);
}

static void on_list(void *arg)
{
	struct watcher *w = arg;

	w->serial = hosts_list(w->hosts->table);
}

static void on_listed(void *arg)
{
	struct watcher *w = arg;

	w->hosts->listed = true;
	hosts_listed(w->hosts->table, w->namespace, w->serial);
}

static void on_recovered(void *arg)
{
	struct watcher *w = arg;

	if (w->refused)
		log_info("ServiceEntries of others are compared with ours again", "namespace",
			w->namespace);
	w->refused = false;
}

static void look_in_places(struct cluster_hosts *s);

static void on_trouble(void *arg, const struct kube_status *status)
{
	struct watcher *w = arg;

	if (status->verdict == KUBE_NOT_SERVED) {
		/* It begins anew when the kind is there again. */
		reflector_close(TAKE(w->reflector));
		return;
	}
	if (status->verdict != KUBE_FORBIDDEN)
		return;
	if (*w->namespace == '\0') {
		reflector_close(TAKE(w->reflector));
		w->hosts->not_wide = true;
		look_in_places(w->hosts);
		return;
	}
	if (!w->refused)
		log_info("ServiceEntries of others are not compared with ours", "namespace",
			w->namespace, "error", status->why);
	w->refused = true;
}

/* Beginning. */

static struct watcher *watcher_of(struct cluster_hosts *s, const char *namespace)
{
	struct watcher *w = s->watchers;

	while (w != NULL && strcmp(w->namespace, namespace) != 0)
		w = w->next;
	if (w != NULL)
		return w;
	w = xcalloc(1, sizeof(*w));
	w->hosts = s;
	w->namespace = xstrdup(namespace);
	w->next = s->watchers;
	s->watchers = w;
	return w;
}

static void watch(struct cluster_hosts *s, const struct place *p, const char *namespace)
{
	struct watcher *w = watcher_of(s, namespace);
	cleanup_free char *path = kube_path(p->api_version, namespace, p->plural, NULL);
	/* "!=" is %21%3D; objects without the label are among those. */
	cleanup_free char *selector = xasprintf("labelSelector="
						"applyset.kubernetes.io%%2Fpart-of"
						"%%21%%3D%s",
		s->cluster->own.id);
	const struct reflector_config config = { .path = path, .selector = selector };
	const struct reflector_handler handler = {
		.on_list = on_list,
		.on_listed = on_listed,
		.on_object = on_object,
		.on_deleted = on_deleted,
		.on_trouble = on_trouble,
		.on_recovered = on_recovered,
		.arg = w,
	};

	if (w->reflector == NULL)
		w->reflector =
			reflector_open(s->cluster->loop, s->cluster->kube, &config, &handler);
}

static void look_in_places(struct cluster_hosts *s)
{
	struct place *p;
	size_t pos = 0;

	while ((p = map_next(&s->cluster->places, &pos)) != NULL)
		if (is_service_entry(p->group, p->kind) && p->state == PLACE_READY)
			watch(s, p, p->namespace);
}

static struct cluster_hosts *hosts_of(struct cluster *c)
{
	const struct hosts_handler handler = { .on_pair = on_pair, .on_end = on_end };

	if (c->hosts != NULL)
		return c->hosts;
	c->hosts = xcalloc(1, sizeof(*c->hosts));
	c->hosts->cluster = c;
	c->hosts->table = hosts_new(&handler);
	return c->hosts;
}

void cluster_hosts_look(struct place *p)
{
	struct cluster *c = p->cluster;

	if (c->read_only || !is_service_entry(p->group, p->kind))
		return;
	watch(hosts_of(c), p, hosts_of(c)->not_wide ? p->namespace : "");
}

void cluster_hosts_close(struct cluster *c)
{
	struct cluster_hosts *s = TAKE(c->hosts);
	struct watcher *w;

	if (s == NULL)
		return;
	while ((w = s->watchers) != NULL) {
		s->watchers = w->next;
		reflector_close(w->reflector);
		free(w->namespace);
		free(w);
	}
	hosts_free(s->table);
	free(s);
}

/* Ours. */

static bool is_ours(const struct cluster *c, const char *group, const char *kind)
{
	return !c->read_only && is_service_entry(group, kind);
}

static void learn(
	struct cluster *c, const char *namespace, const char *name, const char *body, uint64_t hash)
{
	struct hosts *h = hosts_of(c)->table;
	struct err err = ERR_INIT;

	if (!hosts_has(h, HOSTS_OURS, namespace, name, hash)) {
		cleanup_jv jv object = jvx_parse(body, strlen(body), &err);

		hosts_set(h, HOSTS_OURS, namespace, name, hash, object, NULL);
	}
}

void cluster_hosts_said(
	struct cluster *c, const struct object_id *id, const char *body, uint64_t hash)
{
	if (is_ours(c, id->group, id->kind))
		learn(c, id->namespace, id->name, body, hash);
}

void cluster_hosts_written(const struct row *r, const char *body, uint64_t hash)
{
	const struct place *p = r->place;

	if (is_ours(p->cluster, p->group, p->kind))
		learn(p->cluster, p->namespace, r->name, body, hash);
}

void cluster_hosts_here(const struct row *r)
{
	const struct place *p = r->place;

	if (p->cluster->hosts != NULL && is_ours(p->cluster, p->group, p->kind))
		hosts_here(p->cluster->hosts->table, p->namespace, r->name);
}

void cluster_hosts_gone(const struct row *r)
{
	const struct place *p = r->place;

	if (p->cluster->hosts != NULL && is_ours(p->cluster, p->group, p->kind))
		hosts_remove(p->cluster->hosts->table, HOSTS_OURS, p->namespace, r->name);
}

bool cluster_hosts_count(const struct cluster *c, size_t *ret_pairs)
{
	*ret_pairs = c->hosts != NULL ? hosts_pairs(c->hosts->table) : 0;
	return c->hosts != NULL && c->hosts->listed;
}
