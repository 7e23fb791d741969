#include <string.h>

#include "k8s-apply/parent_state.h"

#define FREEZE_ANNOTATION "meshpipe.io/freeze"

/* Any version of ours. */
#define TOOLING_PREFIX "meshpipe/"

#define PAUSE_MIN_MS 500
#define PAUSE_MAX_MS 30000
#define REPAIR_MS    2000

static void on_timer(uv_timer_t *timer)
{
	parent_save(timer->data);
}

static char *kind_word(const char *group, const char *kind)
{
	return xasprintf("%s%s%s", kind, *group != '\0' ? "." : "", group);
}

/* Reading. */

static void take_sources(struct parent *p, jv configmap)
{
	cleanup_jv jv data = jvx_get(configmap, "data");
	cleanup_jv jv text = jvx_get(data, "sources");
	const char *json = jvx_str(text, "{}");
	struct err err = ERR_INIT;
	jv sources = jvx_parse(json, strlen(json), &err);

	/* While there is something to be saved, ours is the newer one. */
	if (jvx_is(sources, JV_KIND_OBJECT) && p->saved == p->serial) {
		jv_free(p->sources);
		p->sources = sources;
	} else {
		jv_free(sources);
	}
}

static void take_annotations(struct parent *p, jv annotations, const char *version)
{
	cleanup_jv jv kinds = jvx_get(annotations, KINDS_ANNOTATION);
	cleanup_jv jv namespaces = jvx_get(annotations, NAMESPACES_ANNOTATION);

	word_set_add(&p->kinds, jvx_str(kinds, ""), p->saved);
	word_set_add(&p->namespaces, jvx_str(namespaces, ""), p->saved);
	p->frozen = jvx_field_is(annotations, FREEZE_ANNOTATION, "true");
	parent_take_approval(p, annotations, version);
}

static void fail(struct parent *p, enum exit_status status, const char *why)
{
	struct err err = ERR_INIT;

	err_set(&err, status, "%s", why);
	p->handler.on_fatal(p->handler.arg, &err);
}

/* Somebody took away what was saved. Not at once: it may be somebody who does so each time. */
static void repair(struct parent *p)
{
	p->serial++;
	uv_timer_start(&p->timer, on_timer, REPAIR_MS, 0);
}

static void on_object(void *arg, jv object, bool listed UNUSED)
{
	struct parent *p = arg;
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	cleanup_jv jv tooling = jvx_get(annotations, TOOLING_ANNOTATION);
	cleanup_jv jv version = jvx_get(metadata, "resourceVersion");

	if (!str_starts(jvx_str(tooling, ""), TOOLING_PREFIX)) {
		cleanup_free char *why = xasprintf("configmap '%s/%s' is somebody else's, not the "
						   "parent of a set (choose another --set)",
			p->own->namespace, p->own->set);

		fail(p, EXIT_REFUSED, why);
		return;
	}
	p->seen = true;
	free(p->uid);
	p->uid = jvx_dup_field(metadata, "uid");
	take_sources(p, object);
	take_annotations(p, annotations, jvx_str(version, ""));
	/* Another process of the set may have saved the very same. */
	if (p->saving == NULL && parent_says_all(p, object))
		p->saved = p->serial;
	else if (p->saving == NULL && p->saved == p->serial)
		repair(p);
	if (p->loaded)
		p->handler.on_change(p->handler.arg);
}

/* It is gone: what it said has to be saved anew. */
static void forget(struct parent *p)
{
	if (p->uid == NULL)
		return;
	free(TAKE(p->uid));
	parent_forget_approval(p);
	p->frozen = false;
	p->serial++;
	parent_save(p);
	p->handler.on_change(p->handler.arg);
}

static void on_list(void *arg)
{
	struct parent *p = arg;

	p->seen = false;
}

static void on_listed(void *arg)
{
	struct parent *p = arg;

	if (!p->seen)
		forget(p);
	if (p->loaded)
		return;
	p->loaded = true;
	p->handler.on_loaded(p->handler.arg);
}

static void on_deleted(void *arg, jv object UNUSED)
{
	forget(arg);
}

static void set_trouble(
	struct parent *p, struct kube_status *which, const struct kube_status *status)
{
	bool was = p->reading.verdict != KUBE_OK || p->writing.verdict != KUBE_OK;
	bool again = which == &p->writing && p->say_again;
	bool said = kube_status_is_same(which, status) && !again;

	p->say_again = p->say_again && !again;
	*which = *status;
	if (status->verdict != KUBE_OK && !said)
		p->handler.on_trouble(p->handler.arg, status);
	if (was && p->reading.verdict == KUBE_OK && p->writing.verdict == KUBE_OK)
		p->handler.on_recovered(p->handler.arg);
}

static void on_trouble(void *arg, const struct kube_status *status)
{
	struct parent *p = arg;

	set_trouble(p, &p->reading, status);
}

static void on_recovered(void *arg)
{
	struct parent *p = arg;

	set_trouble(p, &p->reading, &(struct kube_status){ .verdict = KUBE_OK });
}

/* Saving. */

static void take_saved(struct parent *p, const struct kube_answer *answer)
{
	struct err err = ERR_INIT;
	cleanup_jv jv object = jvx_parse(answer->body, answer->body_len, &err);
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	char *uid = jvx_dup_field(metadata, "uid");

	if (uid != NULL) {
		free(p->uid);
		p->uid = uid;
	}
	p->saved = p->sent;
	backoff_reset(&p->backoff);
	set_trouble(p, &p->writing, &answer->status);
}

void parent_save_later(struct parent *p)
{
	uv_timer_start(&p->timer, on_timer, (uint64_t)backoff_next_ms(&p->backoff), 0);
}

bool parent_may_write(void *arg)
{
	const struct parent *p = arg;

	return p->handler.may_write(p->handler.arg);
}

void parent_abandon(struct parent *p)
{
	kube_cancel(TAKE(p->saving));
	kube_cancel(TAKE(p->removing));
}

static void on_saved(void *arg, const struct kube_answer *answer)
{
	struct parent *p = arg;

	p->saving = NULL;
	if (answer->status.verdict == KUBE_OK) {
		take_saved(p, answer);
		parent_save(p);
		p->handler.on_change(p->handler.arg);
		return;
	}
	if (!parent_may_write(p))
		return;
	parent_save_later(p);
	/* Another writer was first: what it wrote comes by the watch. */
	if (answer->status.verdict != KUBE_CONFLICT)
		set_trouble(p, &p->writing, &answer->status);
}

void parent_save(struct parent *p)
{
	cleanup_free char *path = NULL, *body = NULL;
	struct err err = ERR_INIT;
	struct kube_request request = {
		.lane = KUBE_LANE_WORK,
		.method = "PATCH",
		.content_type = KUBE_APPLY_PATCH,
		.still = parent_may_write,
		.on_answer = on_saved,
		.arg = p,
	};

	parent_remove_approval(p);
	if (!p->loaded || p->saving != NULL || p->saved == p->serial || !parent_may_write(p))
		return;
	body = parent_body(p, &err);
	if (body == NULL) {
		fail(p, EXIT_SYSTEM, err.msg);
		return;
	}
	path = xasprintf("%s?fieldManager=%s&force=true", p->path, p->own->manager);
	p->sent = p->serial;
	request.path = path;
	request.body = body;
	p->saving = kube_send(p->kube, &request);
}

bool parent_try_now(struct parent *p)
{
	parent_save(p);
	p->say_again = p->saving != NULL;
	return p->say_again;
}

/* The rest of the interface. */

struct parent *parent_open(uv_loop_t *loop, struct kube *k, const struct ownership *own,
	const struct parent_handler *handler)
{
	const struct reflector_handler reflector_handler = {
		.on_list = on_list,
		.on_listed = on_listed,
		.on_object = on_object,
		.on_deleted = on_deleted,
		.on_trouble = on_trouble,
		.on_recovered = on_recovered,
	};
	struct parent *p = xcalloc(1, sizeof(*p));
	cleanup_free char *collection = kube_path("v1", own->namespace, "configmaps", NULL);
	cleanup_free char *name = http_escape(own->set);
	/* A role can allow one name only; with this selector that is enough to list and watch it. */
	cleanup_free char *selector = xasprintf("fieldSelector=metadata.name%%3D%s", name);
	const struct reflector_config config = { .path = collection, .selector = selector };
	struct reflector_handler with_arg = reflector_handler;

	p->kube = k;
	p->own = own;
	p->handler = *handler;
	p->path = kube_path("v1", own->namespace, "configmaps", own->set);
	p->backoff = (struct backoff){ .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS };
	p->sources = jv_object();
	word_set_init(&p->kinds);
	word_set_init(&p->namespaces);
	word_set_add(&p->namespaces, own->namespace, 0);
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	with_arg.arg = p;
	p->reflector = reflector_open(loop, k, &config, &with_arg);
	return p;
}

static void on_closed(uv_handle_t *handle)
{
	struct parent *p = handle->data;

	jv_free(p->sources);
	word_set_release(&p->kinds);
	word_set_release(&p->namespaces);
	parent_forget_approval(p);
	free(p->path);
	free(p->uid);
	free(p);
}

void parent_close(struct parent *p)
{
	if (p == NULL || p->closing)
		return;
	p->closing = true;
	reflector_close(p->reflector);
	kube_cancel(p->saving);
	kube_cancel(p->removing);
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

void parent_each_source(const struct parent *p,
	void (*on_source)(void *arg, const char *source, const char *scope), void *arg)
{
	cleanup_jv jv names = jvx_keys(p->sources);

	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv source = jvx_get(p->sources, jv_string_value(name));
		cleanup_free char *scope = jvx_dup_field(source, "scope");

		if (scope != NULL)
			on_source(arg, jv_string_value(name), scope);
	}
}

struct kind_handler {
	void (*on_kind)(void *arg, const char *group, const char *kind);
	void *arg;
};

static void split_kind(void *arg, const char *word)
{
	const struct kind_handler *h = arg;
	const char *dot = strchr(word, '.');
	cleanup_free char *kind = xstrndup(word, strcspn(word, "."));

	h->on_kind(h->arg, dot != NULL ? dot + 1 : "", kind);
}

void parent_each_kind(const struct parent *p,
	void (*on_kind)(void *arg, const char *group, const char *kind), void *arg)
{
	struct kind_handler h = { .on_kind = on_kind, .arg = arg };

	word_set_each(&p->kinds, split_kind, &h);
}

void parent_each_namespace(
	const struct parent *p, void (*on_namespace)(void *arg, const char *namespace), void *arg)
{
	word_set_each(&p->namespaces, on_namespace, arg);
}

const char *parent_uid(const struct parent *p)
{
	return p->uid;
}

bool parent_is_frozen(const struct parent *p)
{
	return p->frozen;
}

void parent_remember(struct parent *p, const char *source, const char *scope)
{
	if (scope != NULL) {
		jv entry = jv_object();

		jvx_set_str(&entry, "scope", scope);
		jvx_set(&p->sources, source, entry);
	} else {
		p->sources = jv_object_delete(p->sources, jv_string(source));
	}
	p->serial++;
	parent_save(p);
}

void parent_include(struct parent *p, const char *group, const char *kind, const char *namespace)
{
	cleanup_free char *word = kind_word(group, kind);

	if (word_set_has(&p->kinds, word) &&
		(*namespace == '\0' || word_set_has(&p->namespaces, namespace)))
		return;
	p->serial++;
	word_set_add(&p->kinds, word, p->serial);
	word_set_add(&p->namespaces, namespace, p->serial);
	parent_save(p);
}

bool parent_covers(
	const struct parent *p, const char *group, const char *kind, const char *namespace)
{
	cleanup_free char *word = kind_word(group, kind);

	return word_set_had(&p->kinds, word, p->saved) &&
	       (*namespace == '\0' || word_set_had(&p->namespaces, namespace, p->saved));
}

bool parent_is_saved(const struct parent *p)
{
	return p->saved == p->serial;
}
