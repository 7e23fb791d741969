#include "k8s-apply/cluster_state.h"
#include "lib/canon.h"
#include "lib/log.h"

#define MAX_BODY_BYTES 1024
#define TIMEOUT_MS     5000

/* Of what the set has beside its objects, as it was seen: what somebody has made anew stays. */
struct removal {
	struct cluster *cluster;
	const char *what;
	char *path;
	void (*next)(struct cluster *c);
	struct kube_call *call;
};

static void done(struct removal *r)
{
	struct cluster *c = r->cluster;
	void (*next)(struct cluster * c) = r->next;

	cluster_drop_removal(c);
	next(c);
}

static void stays(struct removal *r, const char *why)
{
	struct cluster *c = r->cluster;
	cleanup_free char *text = xasprintf("the set's %s could not be removed", r->what);

	log_warn(text, "name", c->own.set, "namespace", c->own.namespace, "error", why);
	c->target.handler.on_left(c->target.handler.arg);
	done(r);
}

static void on_deleted(void *arg, const struct kube_answer *answer)
{
	struct removal *r = arg;

	r->call = NULL;
	if (answer->status.verdict == KUBE_OK || answer->status.verdict == KUBE_NOT_FOUND)
		done(r);
	else
		stays(r, answer->status.why);
}

static void ask(struct removal *r, const char *method, const char *body,
	void (*on_answer)(void *, const struct kube_answer *))
{
	const struct kube_request request = {
		.lane = KUBE_LANE_WORK,
		.method = method,
		.path = r->path,
		.body = body,
		.timeout_ms = TIMEOUT_MS,
		.on_answer = on_answer,
		.arg = r,
	};

	r->call = kube_send(r->cluster->kube, &request);
}

static void delete (struct removal *r, jv preconditions)
{
	cleanup_jv jv body = jv_object();
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;

	buf_init(&text, MAX_BODY_BYTES);
	jvx_set_str(&body, "apiVersion", "v1");
	jvx_set_str(&body, "kind", "DeleteOptions");
	jvx_set(&body, "preconditions", preconditions);
	if (canon_write(body, &text, &err) < 0)
		stays(r, err.msg);
	else
		ask(r, "DELETE", text.data, on_deleted);
}

static struct removal *begin(
	struct cluster *c, const char *what, char *path, void (*next)(struct cluster *c))
{
	struct removal *r = c->removal = xcalloc(1, sizeof(*r));

	*r = (struct removal){ .cluster = c, .what = what, .path = path, .next = next };
	return r;
}

static void parent_is_removed(struct cluster *c)
{
	c->parent_removed = true;
	cluster_release(c);
}

void cluster_remove_parent(struct cluster *c)
{
	const char *uid = parent_uid(c->parent);
	jv preconditions = jv_object();

	if (c->removal != NULL || uid == NULL) {
		jv_free(preconditions);
		if (c->removal == NULL)
			parent_is_removed(c);
		return;
	}
	jvx_set_str(&preconditions, "uid", uid);
	delete (begin(c, "configmap", kube_path("v1", c->own.namespace, "configmaps", c->own.set),
			parent_is_removed),
		preconditions);
}

/* Another process may stand for it again since we have let it go. */
static void on_lease_seen(void *arg, const struct kube_answer *answer)
{
	struct removal *r = arg;
	struct err err = ERR_INIT;
	cleanup_jv jv lease = jvx_parse(answer->body, answer->body_len, &err);
	cleanup_jv jv spec = jvx_get(lease, "spec");
	cleanup_jv jv holder = jvx_get(spec, "holderIdentity");
	cleanup_jv jv metadata = jvx_get(lease, "metadata");
	jv preconditions;

	r->call = NULL;
	if (answer->status.verdict == KUBE_NOT_FOUND) {
		done(r);
	} else if (answer->status.verdict != KUBE_OK) {
		stays(r, answer->status.why);
	} else if (*jvx_str(holder, "") != '\0') {
		stays(r, "another process has taken it");
	} else {
		preconditions = jv_object();
		jvx_set(&preconditions, "uid", jvx_get(metadata, "uid"));
		jvx_set(&preconditions, "resourceVersion", jvx_get(metadata, "resourceVersion"));
		delete (r, preconditions);
	}
}

void cluster_remove_lease(struct cluster *c)
{
	struct removal *r;

	if (c->removal != NULL || c->stopped)
		return;
	r = begin(c, "lease",
		kube_path("coordination.k8s.io/v1", c->own.namespace, "leases", c->own.set),
		cluster_stopped);
	ask(r, NULL, NULL, on_lease_seen);
}

void cluster_drop_removal(struct cluster *c)
{
	struct removal *r = TAKE(c->removal);

	if (r == NULL)
		return;
	kube_cancel(r->call);
	free(r->path);
	free(r);
}
