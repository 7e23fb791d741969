#include "mesh-map/product.h"

#include <string.h>

#define MAX_NAME 253

static bool is_text(jv v)
{
	return jvx_is(v, JV_KIND_STRING) && *jv_string_value(v) != '\0';
}

/* The group of "group/version"; the core group has no name. */
static int group_len(const char *api_version)
{
	const char *slash = strchr(api_version, '/');

	return slash != NULL ? (int)(slash - api_version) : 0;
}

char *product_identity(jv value, struct err *err)
{
	cleanup_jv jv api_version = jvx_get(value, "apiVersion");
	cleanup_jv jv kind = jvx_get(value, "kind");
	cleanup_jv jv metadata = jvx_get(value, "metadata");
	cleanup_jv jv name = jvx_get(metadata, "name");
	cleanup_jv jv namespace = jvx_get(metadata, "namespace");
	const char *missing = NULL;

	if (!jvx_is(value, JV_KIND_OBJECT)) {
		err_set(err, EXIT_SOME_FAILED, "the program made %s %s, not a Kubernetes object",
			jvx_is(value, JV_KIND_ARRAY) ? "an" : "a",
			jv_kind_name(jv_get_kind(value)));
		return NULL;
	}
	if (!is_text(api_version))
		missing = "apiVersion";
	else if (!is_text(kind))
		missing = "kind";
	else if (!is_text(name))
		missing = "metadata.name";
	if (missing != NULL) {
		err_set(err, EXIT_SOME_FAILED, "the program made an object without '%s'", missing);
		return NULL;
	}
	return xasprintf("%.*s/%s/%s/%s", group_len(jv_string_value(api_version)),
		jv_string_value(api_version), jv_string_value(kind), jvx_str(namespace, ""),
		jv_string_value(name));
}

/* What k8s-apply takes for a name, whatever the kind: printable, and nothing that could change a path. */
static bool is_path_segment(jv v)
{
	const char *s = jvx_str(v, "");
	size_t len = strlen(s);

	if (len == 0 || len > MAX_NAME || len != (size_t)jv_string_length_bytes(jv_copy(v)) ||
		strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~' || *s == '/' || *s == '%')
			return false;
	return true;
}

/* A map of strings, or nothing. k8s-apply leaves out what is null. */
static int check_strings(jv metadata, const char *field, struct err *err)
{
	cleanup_jv jv map = jvx_get(metadata, field);
	cleanup_jv jv keys = jvx_keys(map);

	if (!jv_is_valid(map) || jvx_is(map, JV_KIND_NULL))
		return 0;
	if (!jvx_is(map, JV_KIND_OBJECT))
		return err_set(err, EXIT_SOME_FAILED, "metadata.%s is not a map", field);
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jvx_get(map, jv_string_value(key));

		if (!jvx_is(value, JV_KIND_STRING) && !jvx_is(value, JV_KIND_NULL))
			return err_set(err, EXIT_SOME_FAILED,
				"metadata.%s: the value of '%s' is not a string", field,
				jv_string_value(key));
	}
	return 0;
}

static int check_fields(jv metadata, struct err *err)
{
	cleanup_jv jv name = jvx_get(metadata, "name");
	cleanup_jv jv namespace = jvx_get(metadata, "namespace");

	if (!is_path_segment(name))
		return err_set(err, EXIT_SOME_FAILED, "metadata.name is not a valid name");
	if (jv_is_valid(namespace) && !jvx_is(namespace, JV_KIND_NULL) &&
		!is_path_segment(namespace))
		return err_set(err, EXIT_SOME_FAILED, "metadata.namespace is not a valid name");
	if (check_strings(metadata, "labels", err) < 0)
		return -1;
	return check_strings(metadata, "annotations", err);
}

int product_check(jv value, struct err *err)
{
	cleanup_jv jv metadata = jvx_get(value, "metadata");

	return check_fields(metadata, err);
}

jv product_keep(jv value, const char *error)
{
	static const char *const outer[] = { "apiVersion", "kind" };
	static const char *const inner[] = { "namespace", "name" };
	cleanup_jv jv metadata = jvx_get(value, "metadata");
	cleanup_jv jv entry = jv_object();

	for (size_t i = 0; i < ARRAY_SIZE(outer); i++)
		jvx_set(&entry, outer[i], jvx_get(value, outer[i]));
	for (size_t i = 0; i < ARRAY_SIZE(inner); i++) {
		cleanup_jv jv field = jvx_get(metadata, inner[i]);

		if (jvx_is(field, JV_KIND_STRING))
			jvx_set(&entry, inner[i], jv_copy(field));
	}
	jvx_set_str(&entry, "error", error);
	return jvx_take(&entry);
}
