#include "k8s-apply/discovery.h"

#include <string.h>

struct discovery {
	struct kube *kube;
	struct kube_call *call;
	char *group, *kind;
	char *api_version; /* that is asked; NULL: what versions there are */
	jv versions;	   /* of the group, from the preferred one on; invalid: not asked yet */
	int next_version;
	struct discovery_handler handler;
};

static void discovery_free(struct discovery *d)
{
	jv_free(d->versions);
	free(d->group);
	free(d->kind);
	free(d->api_version);
	free(d);
}

static void fail(struct discovery *d, const struct kube_status *status)
{
	d->handler.on_failed(d->handler.arg, status);
	discovery_free(d);
}

static void fail_as(struct discovery *d, enum kube_verdict verdict, const char *why)
{
	struct kube_status status = { .verdict = verdict };

	snprintf(status.why, sizeof(status.why), "%s", why);
	fail(d, &status);
}

static void fail_not_served(struct discovery *d)
{
	cleanup_free char *why = xasprintf("the API server has no kind '%s' in '%s'", d->kind,
		*d->group != '\0' ? d->group : "v1");

	fail_as(d, KUBE_NOT_SERVED, why);
}

static void ask(struct discovery *d);

/* The next version of the group; which ones there are is asked when the first was wrong. */
static void try_next(struct discovery *d)
{
	cleanup_jv jv version = jvx_at(d->versions, d->next_version++);
	bool asked = jv_is_valid(d->versions) || *d->group == '\0';

	free(TAKE(d->api_version));
	if (jvx_is(version, JV_KIND_STRING))
		d->api_version = xstrdup(jv_string_value(version));
	if (asked && d->api_version == NULL)
		fail_not_served(d);
	else
		ask(d);
}

/* The entry of the kind itself, not of "pods/status" and its like; invalid when there is none. */
static jv find_kind(jv list, const char *kind)
{
	cleanup_jv jv resources = jvx_get(list, "resources");

	for (int i = 0; i < jvx_length(resources); i++) {
		cleanup_jv jv resource = jvx_at(resources, i);
		cleanup_jv jv name = jvx_get(resource, "name");

		if (jvx_field_is(resource, "kind", kind) && strchr(jvx_str(name, "/"), '/') == NULL)
			return jvx_take(&resource);
	}
	return jv_invalid();
}

/* An APIGroup: its versions are in the order of the server's preference. */
static void take_group(struct discovery *d, jv group)
{
	cleanup_jv jv versions = jvx_get(group, "versions");

	jv_free(d->versions);
	d->versions = jv_array();
	for (int i = 0; i < jvx_length(versions); i++) {
		cleanup_jv jv version = jvx_at(versions, i);

		jvx_append(&d->versions, jvx_get(version, "groupVersion"));
	}
	try_next(d);
}

/* An APIResourceList. */
static void take_list(struct discovery *d, jv list)
{
	cleanup_jv jv resource = find_kind(list, d->kind);
	cleanup_jv jv namespaced = jvx_get(resource, "namespaced");
	cleanup_free char *plural = jvx_dup_field(resource, "name");
	const struct discovered found = {
		.api_version = d->api_version,
		.plural = plural,
		.namespaced = jvx_is(namespaced, JV_KIND_TRUE),
	};

	if (plural == NULL) {
		try_next(d);
		return;
	}
	d->handler.on_found(d->handler.arg, &found);
	discovery_free(d);
}

static void on_answer(void *arg, const struct kube_answer *answer)
{
	struct discovery *d = arg;
	struct err err = ERR_INIT;
	cleanup_jv jv v = jv_invalid();

	d->call = NULL;
	if (answer->status.verdict == KUBE_NOT_SERVED || answer->status.verdict == KUBE_NOT_FOUND) {
		/* No such group, or no such version of it. */
		if (d->api_version == NULL)
			fail_not_served(d);
		else
			try_next(d);
		return;
	}
	if (answer->status.verdict != KUBE_OK) {
		fail(d, &answer->status);
		return;
	}
	v = jvx_parse(answer->body, answer->body_len, &err);
	if (!jvx_is(v, JV_KIND_OBJECT))
		fail_as(d, KUBE_ERROR, "the API server's list of kinds cannot be read");
	else if (d->api_version == NULL)
		take_group(d, v);
	else
		take_list(d, v);
}

static void ask(struct discovery *d)
{
	const char *what = d->api_version != NULL ? d->api_version : d->group;
	bool core = *d->group == '\0';
	cleanup_free char *path = xasprintf("/%s/%s", core ? "api" : "apis", what);
	const struct kube_request request = {
		.lane = KUBE_LANE_WORK,
		.path = path,
		.on_answer = on_answer,
		.arg = d,
	};

	d->call = kube_send(d->kube, &request);
}

struct discovery *discovery_start(struct kube *k, const char *group, const char *version,
	const char *kind, const struct discovery_handler *handler)
{
	struct discovery *d = xcalloc(1, sizeof(*d));

	d->kube = k;
	d->group = xstrdup(group);
	d->kind = xstrdup(kind);
	d->handler = *handler;
	d->versions = jv_invalid();
	/* The core group has no entry that names what is preferred, and one version. */
	if (*group == '\0')
		d->api_version = xstrdup(version != NULL ? version : "v1");
	else if (version != NULL)
		d->api_version = xasprintf("%s/%s", group, version);
	ask(d);
	return d;
}

void discovery_cancel(struct discovery *d)
{
	if (d == NULL)
		return;
	kube_cancel(d->call);
	discovery_free(d);
}
