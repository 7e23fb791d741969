#include "k8s-apply/feed.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The arrays of a plan_desired while they grow. */
struct set {
	struct plan_desired d;
	char *broken;
};

static void set_release(struct set *s)
{
	for (size_t i = 0; i < s->d.count; i++)
		manifest_release(&s->d.manifests[i]);
	for (size_t i = 0; i < s->d.keep_count; i++) {
		manifest_release(&s->d.keeps[i].m);
		free(s->d.keeps[i].error);
	}
	free(s->d.manifests);
	free(s->d.keeps);
	free(s->broken);
}

#define cleanup_set __attribute__((cleanup(set_release)))

static void add_keep(struct set *s, struct manifest *m, const char *error, bool failed)
{
	s->d.keeps = xrealloc(s->d.keeps, s->d.keep_count + 1, sizeof(*s->d.keeps));
	s->d.keeps[s->d.keep_count++] = (struct plan_keep){
		.m = *m,
		.error = error != NULL ? xstrdup(error) : NULL,
		.failed = failed,
	};
	*m = (struct manifest){ .body = NULL };
}

/* One object into the set: wanted, or kept because it cannot be read, or it breaks the set. */
static void add_object(struct set *s, jv object, const char *namespace)
{
	struct manifest m = { .body = NULL };
	struct err why = ERR_INIT;

	if (manifest_identify(object, namespace, &m, &why) < 0) {
		if (s->broken == NULL)
			s->broken = xstrdup(why.msg);
		return;
	}
	if (manifest_read_body(object, &m, &why) < 0)
		add_keep(s, &m, why.msg, true);
	else
		s->d.manifests[s->d.count++] = m;
}

static int compare_manifests(const void *a, const void *b)
{
	return object_id_compare(
		&((const struct manifest *)a)->id, &((const struct manifest *)b)->id);
}

/* Sorted, and without the ones that are there twice: neither can be the right one. */
static void sort_objects(struct set *s)
{
	struct manifest *all = s->d.manifests;
	size_t count = s->d.count, kept = 0;

	if (count > 0)
		qsort(all, count, sizeof(*all), compare_manifests);
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && compare_manifests(&all[i], &all[end]) == 0; end++)
			manifest_release(&all[end]);
		if (end == i + 1)
			all[kept++] = all[i];
		else
			add_keep(s, &all[i], "it is there more than once", true);
	}
	s->d.count = kept;
}

static void add_objects(struct set *s, jv objects, const char *namespace)
{
	int count = jvx_length(objects);

	s->d.manifests = xcalloc((size_t)count, sizeof(*s->d.manifests));
	for (int i = 0; i < count; i++) {
		cleanup_jv jv object = jvx_at(objects, i);

		add_object(s, object, namespace);
	}
	sort_objects(s);
}

static int add_keeps(struct set *s, jv keeps, const char *namespace, struct err *err)
{
	for (int i = 0; i < jvx_length(keeps); i++) {
		cleanup_jv jv keep = jvx_at(keeps, i);
		cleanup_free char *error = jvx_dup_field(keep, "error");
		struct manifest m;

		if (manifest_identify_fields(keep, namespace, &m, err) < 0)
			return err_wrap(err, "'keep'");
		add_keep(s, &m, error, false);
	}
	return 0;
}

/* A field that must be a string with something in it. */
static char *need(jv record, const char *field, struct err *err)
{
	cleanup_free char *text = jvx_dup_field(record, field);

	if (text == NULL || *text == '\0') {
		err_set(err, EXIT_BAD_INPUT, "a record without '%s'", field);
		return NULL;
	}
	return TAKE(text);
}

/* A whole number that a double holds exactly, or -1. */
static int64_t whole(jv record, const char *field)
{
	double d = jvx_num_field(record, field, -1);

	return d >= 0 && d < 9007199254740992.0 && d == floor(d) ? (int64_t)d : -1;
}

static int read_start(jv v, const struct feed_handler *h, struct err *err)
{
	cleanup_free char *source = need(v, "source", err);
	cleanup_free char *snapshot = source != NULL ? need(v, "snapshot", err) : NULL;
	cleanup_free char *scope = jvx_dup_field(v, "scope");

	if (snapshot == NULL)
		return -1;
	h->on_start(h->arg, source, snapshot, scope != NULL ? scope : "");
	return 0;
}

/* One that names no source speaks of its program only. */
static void read_status(jv v, const struct feed_handler *h)
{
	cleanup_free char *source = jvx_dup_field(v, "source");
	cleanup_free char *state = jvx_dup_field(v, "state");

	h->on_telling(h->arg, v);
	if (source != NULL && *source != '\0' && state != NULL)
		h->on_status(h->arg, source, state);
}

static int read_synced(jv v, const struct feed_handler *h, struct err *err)
{
	cleanup_free char *source = need(v, "source", err);
	cleanup_free char *snapshot = source != NULL ? need(v, "snapshot", err) : NULL;
	int64_t services = whole(v, "services");

	if (snapshot == NULL)
		return -1;
	if (services < 0)
		return err_set(err, EXIT_BAD_INPUT, "a record without 'services'");
	h->on_synced(h->arg, source, snapshot, (uint64_t)services);
	return 0;
}

static int read_keep(jv v, const struct feed_handler *h, struct err *err)
{
	cleanup_free char *source = need(v, "source", err);
	cleanup_free char *key = source != NULL ? need(v, "key", err) : NULL;

	if (key == NULL)
		return -1;
	h->on_keep(h->arg, source, key);
	return 0;
}

static int read_apply(jv v, const char *namespace, const struct feed_handler *h, struct err *err)
{
	cleanup_free char *source = need(v, "source", err);
	cleanup_free char *key = source != NULL ? need(v, "key", err) : NULL;
	cleanup_jv jv objects = jvx_get(v, "objects");
	cleanup_jv jv keeps = jvx_get(v, "keep");
	cleanup_set struct set s = { .broken = NULL };
	int64_t at = whole(v, "at");

	if (key == NULL)
		return -1;
	if (!jvx_is(objects, JV_KIND_ARRAY))
		return err_set(err, EXIT_BAD_INPUT, "an apply without 'objects'");
	if (jv_is_valid(keeps) && !jvx_is(keeps, JV_KIND_ARRAY) && !jvx_is(keeps, JV_KIND_NULL))
		return err_set(err, EXIT_BAD_INPUT, "an apply whose 'keep' is no list");
	add_objects(&s, objects, namespace);
	if (add_keeps(&s, keeps, namespace, err) < 0)
		return -1;
	s.d.source = source;
	s.d.key = key;
	s.d.at_ms = at > 0 ? at : 0;
	s.d.broken = s.broken;
	h->on_apply(h->arg, &s.d);
	return 0;
}

static int read_manifest(jv v, const char *namespace, const struct feed_handler *h, struct err *err)
{
	cleanup_set struct set s = { .broken = NULL };
	cleanup_free char *display = NULL, *key = NULL;
	const struct object_id *id;

	s.d.manifests = xcalloc(1, sizeof(*s.d.manifests));
	add_object(&s, v, namespace);
	if (s.broken != NULL)
		return err_set(err, EXIT_BAD_INPUT, "%s", s.broken);
	assert(s.d.count + s.d.keep_count == 1);
	id = s.d.count > 0 ? &s.d.manifests[0].id : &s.d.keeps[0].m.id;
	display = object_id_display(id);
	key = *id->namespace != '\0' ? xasprintf("%s/%s", id->namespace, display) : TAKE(display);
	s.d.source = "";
	s.d.key = key;
	h->on_apply(h->arg, &s.d);
	return 0;
}

/* `kubectl get -o json` and its like: kind List, PodList and so on, with `items`. */
static bool is_list(jv v)
{
	cleanup_jv jv kind = jvx_get(v, "kind");
	cleanup_jv jv items = jvx_get(v, "items");

	return str_ends(jvx_str(kind, ""), "List") && jvx_is(items, JV_KIND_ARRAY);
}

static int read_list(jv v, const char *namespace, const struct feed_handler *h, struct err *err)
{
	cleanup_jv jv items = jvx_get(v, "items");
	struct err why = ERR_INIT;
	int rc = 0;

	for (int i = 0; i < jvx_length(items); i++) {
		cleanup_jv jv item = jvx_at(items, i);

		if (read_manifest(item, namespace, h, rc == 0 ? err : &why) < 0)
			rc = -1;
	}
	return rc;
}

static bool has_string(jv v, const char *field)
{
	cleanup_jv jv value = jvx_get(v, field);

	return jvx_is(value, JV_KIND_STRING);
}

int feed_value(jv v, const char *namespace, const struct feed_handler *h, struct err *err)
{
	cleanup_jv jv type = jvx_get(v, "type");
	const char *name = jvx_str(type, NULL);

	/* Some kinds, such as Secret, have a field `type` of their own. */
	if (has_string(v, "apiVersion") && has_string(v, "kind"))
		return is_list(v) ? read_list(v, namespace, h, err)
				  : read_manifest(v, namespace, h, err);
	if (name == NULL)
		return err_set(err, EXIT_BAD_INPUT, "neither a record nor a manifest");
	if (strcmp(name, "apply") == 0)
		return read_apply(v, namespace, h, err);
	if (strcmp(name, "keep") == 0)
		return read_keep(v, h, err);
	if (strcmp(name, "start") == 0)
		return read_start(v, h, err);
	if (strcmp(name, "synced") == 0)
		return read_synced(v, h, err);
	if (h->manifests)
		return err_set(err, EXIT_BAD_INPUT,
			"no manifest: a 'type' of '%s', but not 'apiVersion' and 'kind' "
			"(records prune by their 'synced', not by --prune)",
			name);
	if (strcmp(name, "status") == 0)
		read_status(v, h);
	return 0;
}
