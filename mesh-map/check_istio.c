#include "mesh-map/check_istio.h"

#include <string.h>

#include "mesh-map/check_text.h"

#define ISTIO_GROUP "networking.istio.io/"

static const struct {
	const char *kind;
	const struct schema *spec;
	int (*whole)(jv object, jv spec, struct err *err);
} kinds[] = {
	{ "ServiceEntry", &schema_service_entry, check_service_entry },
	{ "WorkloadEntry", &schema_workload_entry, NULL },
	{ "DestinationRule", &schema_destination_rule, check_destination_rule },
};

/* The webhook refuses them: they are Istio's own, or for other kinds. */
static const char *const forbidden[] = { "istio.io/dry-run", "internal.istio.io/parents",
	"internal.istio.io/parent-namespace", "internal.istio.io/webhook-always-reject" };

const struct schema schema_any_string = { .type = SCHEMA_STRING };
const struct schema schema_any_boolean = { .type = SCHEMA_BOOLEAN };
const struct schema schema_uint32 = { .type = SCHEMA_INTEGER, .max = 4294967295.0 };
const struct schema schema_port = { .type = SCHEMA_INTEGER, .min = 1, .max = 65535 };

const struct schema schema_label_value = {
	.type = SCHEMA_STRING,
	.text = text_is_tag_value,
	.rule = "letters, digits, '-', '_' and '.', a letter or digit first and last",
};

const struct schema schema_labels = {
	.type = SCHEMA_MAP,
	.of = &schema_label_value,
	.text = text_is_tag_key,
	.rule = LABEL_KEY_RULE,
};

static bool is_export(const char *s)
{
	return strcmp(s, "*") == 0 || strcmp(s, ".") == 0 || strcmp(s, "~") == 0 ||
	       text_is_istio_label(s);
}

static const struct schema export = {
	.type = SCHEMA_STRING, .text = is_export, .rule = "a namespace, '.', '*' or '~'"
};

const struct schema schema_export_to = { .type = SCHEMA_LIST, .of = &export };

bool has_field(jv object, const char *key)
{
	cleanup_jv jv v = jvx_get(object, key);

	return jv_is_valid(v) && !jvx_is(v, JV_KIND_NULL);
}

/* "." is the object's namespace. */
static const char *export_name(jv item, const char *namespace)
{
	const char *s = jvx_str(item, "");

	return strcmp(s, ".") == 0 && namespace != NULL ? namespace : s;
}

int check_export_to(jv spec, const char *namespace, bool service, struct err *err)
{
	cleanup_jv jv list = jvx_get(spec, "exportTo");
	const struct place *spec_place = PLACE(NULL, "spec"), *p = PLACE(spec_place, "exportTo");
	cleanup_jv jv seen = jv_object();

	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);
		const char *name = export_name(item, namespace);

		if (has_field(seen, name))
			return place_fail(PLACE_AT(p, i), item, err, "no namespace twice");
		jvx_set(&seen, name, jv_true());
		if (!service && strcmp(name, "~") == 0)
			return place_fail(PLACE_AT(p, i), item, err, "'~' is for a ServiceEntry");
	}
	if (jvx_length(list) > 1 && (has_field(seen, "*") || has_field(seen, "~")))
		return place_fail(p, list, err, "'*' and '~' stand alone");
	return 0;
}

static int check_top(jv object, struct err *err)
{
	static const char *const known[] = { "apiVersion", "kind", "metadata", "spec", "status" };

	for (int i = jv_object_iter(object); jv_object_iter_valid(object, i);
		i = jv_object_iter_next(object, i)) {
		cleanup_jv jv key = jv_object_iter_key(object, i);
		cleanup_jv jv value = jv_object_iter_value(object, i);
		bool found = jvx_is(value, JV_KIND_NULL);

		for (size_t n = 0; n < ARRAY_SIZE(known); n++)
			found = found || strcmp(jv_string_value(key), known[n]) == 0;
		if (!found)
			return place_fail(PLACE(NULL, jv_string_value(key)), value, err,
				"a field that is known");
	}
	return 0;
}

static int check_annotations(jv object, struct err *err)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	const struct place *metadata_place = PLACE(NULL, "metadata");

	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		cleanup_jv jv value = jvx_get(annotations, forbidden[i]);

		if (jvx_is(value, JV_KIND_STRING))
			return place_fail(PLACE(PLACE(metadata_place, "annotations"), forbidden[i]),
				value, err, "an annotation that Istio allows here");
	}
	return 0;
}

bool check_istio_knows(const char *api_version, const char *kind)
{
	if (!str_starts(api_version, ISTIO_GROUP))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return true;
	return false;
}

static int check_version(jv object, struct err *err)
{
	static const char *const known[] = { "v1", "v1beta1", "v1alpha3" };
	cleanup_jv jv version = jvx_get(object, "apiVersion");

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(jvx_str(version, "") + strlen(ISTIO_GROUP), known[i]) == 0)
			return 0;
	return place_fail(
		PLACE(NULL, "apiVersion"), version, err, ISTIO_GROUP "v1, v1beta1 or v1alpha3");
}

int check_istio(const char *kind, jv object, struct err *err)
{
	cleanup_jv jv spec = jvx_get(object, "spec");
	const struct place *p = PLACE(NULL, "spec");

	if (check_version(object, err) < 0 || check_top(object, err) < 0 ||
		check_annotations(object, err) < 0)
		return -1;
	if (!has_field(object, "spec"))
		return place_fail(p, jv_null(), err, "required");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		if (schema_check(kinds[i].spec, p, spec, err) < 0)
			return -1;
		return kinds[i].whole != NULL ? kinds[i].whole(object, spec, err) : 0;
	}
	return 0;
}
