#include "mesh-map/check.h"

#include <math.h>
#include <string.h>

#include "mesh-map/check_istio.h"
#include "mesh-map/check_schema.h"
#include "mesh-map/check_text.h"

/* libjq writes nothing sensible of more than 256 levels; k8s-apply reads 200. */
#define MAX_DEPTH     128
#define MAX_KEY_BYTES 1024

/* From there on k8s-apply cannot know what was written: libjq has rounded it. */
#define MAX_EXACT 9007199254740992.0

/*
 * etcd takes 1.5 MiB with what the API server adds (managedFields, which name each
 * field again); all annotations together may have 256 KiB. Of both, some is left for
 * the marks of k8s-apply.
 */
#define MAX_OBJECT_BYTES      (1536 * 1024 - 64 * 1024)
#define MAX_ANNOTATIONS_BYTES (256 * 1024 - 4 * 1024)

/* --- what can be sent at all */

static int measure(const struct place *p, jv v, int depth, size_t *bytes, struct err *err);

static int measure_string(const struct place *p, jv v, size_t *bytes, struct err *err)
{
	size_t len = (size_t)jv_string_length_bytes(jv_copy(v));

	*bytes += len + 3; /* quotes, and a comma or colon */
	if (strlen(jv_string_value(v)) != len)
		return place_fail(p, v, err, "no NUL character");
	return 0;
}

static int measure_array(const struct place *p, jv v, int depth, size_t *bytes, struct err *err)
{
	for (int i = 0; i < jvx_length(v); i++) {
		cleanup_jv jv item = jvx_at(v, i);

		if (measure(PLACE_AT(p, i), item, depth + 1, bytes, err) < 0)
			return -1;
	}
	return 0;
}

static int measure_object(const struct place *p, jv v, int depth, size_t *bytes, struct err *err)
{
	for (int i = jv_object_iter(v); jv_object_iter_valid(v, i); i = jv_object_iter_next(v, i)) {
		cleanup_jv jv key = jv_object_iter_key(v, i);
		cleanup_jv jv value = jv_object_iter_value(v, i);
		const struct place *inner = PLACE(p, jv_string_value(key));

		if (measure_string(inner, key, bytes, err) < 0)
			return -1;
		if (strlen(jv_string_value(key)) > MAX_KEY_BYTES)
			return place_fail(
				inner, key, err, "keys of at most %d bytes", MAX_KEY_BYTES);
		if (measure(inner, value, depth + 1, bytes, err) < 0)
			return -1;
	}
	return 0;
}

/* Adds the length of v's JSON text, to within escapes. */
static int measure(const struct place *p, jv v, int depth, size_t *bytes, struct err *err)
{
	if (depth > MAX_DEPTH)
		return place_fail(p, jv_null(), err, "at most %d levels", MAX_DEPTH);
	*bytes += 2;
	switch (jv_get_kind(v)) {
	case JV_KIND_STRING:
		return measure_string(p, v, bytes, err);
	case JV_KIND_ARRAY:
		return measure_array(p, v, depth, bytes, err);
	case JV_KIND_OBJECT:
		return measure_object(p, v, depth, bytes, err);
	case JV_KIND_NUMBER:
		*bytes += 4;
		if (!isfinite(jv_number_value(v)) || fabs(jv_number_value(v)) >= MAX_EXACT)
			return place_fail(p, v, err, "a number below 2^53 (or a string)");
		return 0;
	default:
		*bytes += 4;
		return 0;
	}
}

static int measure_whole(jv object, size_t *bytes, struct err *err)
{

	for (int i = jv_object_iter(object); jv_object_iter_valid(object, i);
		i = jv_object_iter_next(object, i)) {
		cleanup_jv jv key = jv_object_iter_key(object, i);
		cleanup_jv jv value = jv_object_iter_value(object, i);
		const struct place *p = PLACE(NULL, jv_string_value(key));

		if (measure_string(p, key, bytes, err) < 0 || measure(p, value, 1, bytes, err) < 0)
			return -1;
	}
	return 0;
}

int check_sendable(jv object, struct err *err)
{
	size_t bytes = 0;

	return measure_whole(object, &bytes, err);
}

static int check_size(jv object, struct err *err)
{
	size_t bytes = 0;

	if (measure_whole(object, &bytes, err) < 0)
		return -1;
	if (bytes > MAX_OBJECT_BYTES)
		return err_set(err, EXIT_SOME_FAILED, "the object: at most %d bytes: %zu bytes",
			MAX_OBJECT_BYTES, bytes);
	return 0;
}

/* --- names */

struct name_rule {
	const char *group; /* begins with a dot: all groups that end so */
	const char *kind;  /* NULL: all others of the group */
	bool (*text)(const char *s);
	const char *rule;
};

#define SUBDOMAIN text_is_dns_subdomain, "a lower-case DNS name of at most 253 characters"
#define LABEL	  text_is_dns_label, "a lower-case DNS label of at most 63 characters"

/*
 * The first that fits counts. What is not here needs a name that fits into a path
 * (see product.h): roles are named "system:x", and an aggregated API may do as it likes.
 */
static const struct name_rule name_rules[] = {
	/* With a digit first since Kubernetes 1.35 or so; older ones refuse that. */
	{ "", "Service", LABEL },
	{ "", "Namespace", LABEL },
	{ "", NULL, SUBDOMAIN },
	{ "apps", NULL, SUBDOMAIN },
	{ "batch", NULL, SUBDOMAIN },
	{ "autoscaling", NULL, SUBDOMAIN },
	{ "coordination.k8s.io", NULL, SUBDOMAIN },
	{ "discovery.k8s.io", NULL, SUBDOMAIN },
	{ "networking.k8s.io", "Ingress", SUBDOMAIN },
	{ "networking.k8s.io", "NetworkPolicy", SUBDOMAIN },
	{ "gateway.networking.k8s.io", NULL, SUBDOMAIN },
	{ ".istio.io", NULL, SUBDOMAIN },
};

static bool is_in_group(const char *api_version, const char *group)
{
	const char *slash = strchr(api_version, '/');
	size_t len = slash != NULL ? (size_t)(slash - api_version) : 0, wanted = strlen(group);

	if (*group == '.')
		return len > wanted && memcmp(slash - wanted, group, wanted) == 0;
	return len == wanted && memcmp(api_version, group, len) == 0;
}

static int check_name(
	const struct place *p, const char *api_version, const char *kind, jv name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(name_rules); i++) {
		const struct name_rule *r = &name_rules[i];

		if (!is_in_group(api_version, r->group) ||
			(r->kind != NULL && strcmp(r->kind, kind) != 0))
			continue;
		if (!r->text(jvx_str(name, "")))
			return place_fail(PLACE(p, "name"), name, err, "%s", r->rule);
		return 0;
	}
	return 0;
}

/* --- the rest of the metadata */

static const struct schema label_value = {
	.type = SCHEMA_STRING,
	.text = text_is_label_value,
	.rule = "at most 63 letters, digits, '-', '_' and '.', a letter or digit first and last",
};
static const struct schema labels = {
	.type = SCHEMA_MAP,
	.of = &label_value,
	.text = text_is_label_key,
	.rule = "[lower-case DNS name/]at most 63 letters, digits, '-', '_' and '.', a letter or "
		"digit first and last",
};
static const struct schema annotations = {
	.type = SCHEMA_MAP,
	.of = &schema_any_string,
	.text = text_is_annotation_key,
	.rule = LABEL_KEY_RULE,
};
static const struct schema namespace = {
	.type = SCHEMA_STRING,
	.text = text_is_dns_label,
	.rule = "a lower-case DNS label of at most 63 characters",
};
static const struct schema finalizer = {
	.type = SCHEMA_STRING,
	.text = text_is_label_key,
	.rule = LABEL_KEY_RULE,
};
static const struct schema finalizers = { .type = SCHEMA_LIST, .of = &finalizer };

static bool is_not_empty(const char *s)
{
	return *s != '\0';
}

static const struct schema some_string = {
	.type = SCHEMA_STRING, .text = is_not_empty, .rule = "not empty"
};
static const struct schema_field owner_fields[] = {
	{ "apiVersion", &some_string, true },
	{ "kind", &some_string, true },
	{ "name", &some_string, true },
	{ "uid", &some_string, true },
	{ "controller", &schema_any_boolean, false },
	{ "blockOwnerDeletion", &schema_any_boolean, false },
	{ NULL, NULL, false },
};
static const struct schema owner = { .type = SCHEMA_STRUCT, .fields = owner_fields };
static const struct schema owners = { .type = SCHEMA_LIST, .of = &owner };

static const struct schema_field metadata_fields[] = {
	{ "name", &schema_any_string, true },
	{ "namespace", &namespace, false },
	{ "labels", &labels, false },
	{ "annotations", &annotations, false },
	{ "finalizers", &finalizers, false },
	{ "ownerReferences", &owners, false },
	{ "generateName", &schema_any_string, false },
	{ NULL, NULL, false },
};
static const struct schema schema_metadata = { .type = SCHEMA_STRUCT, .fields = metadata_fields };

/* What the server writes there, which k8s-apply does not send. */
static jv without_servers_fields(jv metadata)
{
	static const char *const servers[] = { "creationTimestamp", "deletionGracePeriodSeconds",
		"deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink",
		"uid" };
	jv v = jv_copy(metadata);

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++)
		if (has_field(v, servers[i]))
			v = jv_object_delete(v, jv_string(servers[i]));
	return v;
}

static int check_annotations_size(const struct place *p, jv metadata, struct err *err)
{
	cleanup_jv jv map = jvx_get(metadata, "annotations");
	size_t bytes = 0;

	if (!jvx_is(map, JV_KIND_OBJECT))
		return 0;
	for (int i = jv_object_iter(map); jv_object_iter_valid(map, i);
		i = jv_object_iter_next(map, i)) {
		cleanup_jv jv key = jv_object_iter_key(map, i);
		cleanup_jv jv value = jv_object_iter_value(map, i);

		bytes += strlen(jv_string_value(key)) + strlen(jvx_str(value, ""));
	}
	if (bytes > MAX_ANNOTATIONS_BYTES)
		return place_fail_count(PLACE(p, "annotations"), (int)bytes, "bytes", err,
			"at most %d bytes together", MAX_ANNOTATIONS_BYTES);
	return 0;
}

int check_object(jv object, struct err *err)
{
	cleanup_jv jv api_version = jvx_get(object, "apiVersion");
	cleanup_jv jv kind = jvx_get(object, "kind");
	cleanup_jv jv whole = jvx_get(object, "metadata");
	cleanup_jv jv name = jvx_get(whole, "name");
	cleanup_jv jv metadata = jv_invalid();
	const struct place *p = PLACE(NULL, "metadata");
	const char *version_text = jvx_str(api_version, ""), *kind_text = jvx_str(kind, "");

	if (strchr(version_text, '/') == NULL && strcmp(version_text, "v1") != 0)
		return place_fail(
			PLACE(NULL, "apiVersion"), api_version, err, "v1 or GROUP/VERSION");
	if (check_size(object, err) < 0 || check_name(p, version_text, kind_text, name, err) < 0)
		return -1;
	metadata = without_servers_fields(whole);
	if (schema_check(&schema_metadata, p, metadata, err) < 0 ||
		check_annotations_size(p, metadata, err) < 0)
		return -1;
	return check_istio_knows(version_text, kind_text) ? check_istio(kind_text, object, err) : 0;
}
