/* DestinationRule, by the rules of Istio 1.31: see check_istio.h. */
#include <string.h>

#include "mesh-map/check_istio.h"
#include "mesh-map/check_policy.h"
#include "mesh-map/check_text.h"

static const struct schema host = {
	.type = SCHEMA_STRING,
	.text = text_is_wildcard,
	.rule = "a DNS name of at most 255 characters, labels of at most 63 letters, digits and "
		"'-', the last not all digits, '*' only to begin it",
};

static const struct schema subset_name = {
	.type = SCHEMA_STRING,
	.text = text_is_istio_label,
	.rule = "a DNS label of at most 63 characters",
};
static const struct schema_field subset_fields[] = {
	{ "name", &subset_name, true },
	{ "labels", &schema_labels, false },
	{ "trafficPolicy", &schema_policy, false },
	{ NULL, NULL, false },
};
static const struct schema subset = { .type = SCHEMA_STRUCT, .fields = subset_fields };
static const struct schema subsets = { .type = SCHEMA_LIST, .of = &subset };

static bool is_selector_key(const char *s)
{
	return *s != '\0' && strchr(s, '*') == NULL;
}

static bool has_no_star(const char *s)
{
	return strchr(s, '*') == NULL;
}

static const struct schema selected_value = {
	.type = SCHEMA_STRING, .most = 63, .text = has_no_star, .rule = "no '*'"
};
static const struct schema selected = {
	.type = SCHEMA_MAP,
	.most = 4096,
	.of = &selected_value,
	.text = is_selector_key,
	.rule = "not empty, no '*'",
};
static const struct schema_field selector_fields[] = {
	{ "matchLabels", &selected, false },
	{ NULL, NULL, false },
};
static const struct schema selector = { .type = SCHEMA_STRUCT, .fields = selector_fields };

static const struct schema_field rule_fields[] = {
	{ "host", &host, true },
	{ "trafficPolicy", &schema_policy, false },
	{ "subsets", &subsets, false },
	{ "exportTo", &schema_export_to, false },
	{ "workloadSelector", &selector, false },
	{ NULL, NULL, false },
};

const struct schema schema_destination_rule = { .type = SCHEMA_STRUCT, .fields = rule_fields };

static int check_subsets(
	const struct place *spec_place, jv spec, const char *namespace, struct err *err)
{
	const struct place *p = PLACE(spec_place, "subsets");
	cleanup_jv jv list = jvx_get(spec, "subsets");
	cleanup_jv jv seen = jv_object();

	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);
		cleanup_jv jv name = jvx_get(item, "name");
		cleanup_jv jv policy = jvx_get(item, "trafficPolicy");

		if (has_field(seen, jv_string_value(name)))
			return place_fail(
				PLACE(PLACE_AT(p, i), "name"), name, err, "no name twice");
		jvx_set(&seen, jv_string_value(name), jv_true());
		if (check_policy_namespace(
			    PLACE(PLACE_AT(p, i), "trafficPolicy"), policy, namespace, err) < 0)
			return -1;
	}
	return 0;
}

/* A rule for some workloads is for those of its namespace. */
static int check_selector_export(
	const struct place *spec_place, jv spec, const char *namespace, struct err *err)
{
	cleanup_jv jv list = jvx_get(spec, "exportTo");
	cleanup_jv jv first = jvx_at(list, 0);
	const char *s = jvx_str(first, ".");

	if (!has_field(spec, "workloadSelector") || jvx_length(list) == 0)
		return 0;
	if (jvx_length(list) > 1 ||
		(strcmp(s, ".") != 0 && (namespace == NULL || strcmp(s, namespace) != 0)))
		return place_fail(PLACE(spec_place, "exportTo"), list, err,
			"its own namespace where there is a workloadSelector");
	return 0;
}

int check_destination_rule(jv object, jv spec, struct err *err)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv namespace_field = jvx_get(metadata, "namespace");
	cleanup_jv jv policy = jvx_get(spec, "trafficPolicy");
	const char *namespace = jvx_str(namespace_field, NULL);
	const struct place *p = PLACE(NULL, "spec");

	if (check_policy_namespace(PLACE(p, "trafficPolicy"), policy, namespace, err) < 0 ||
		check_subsets(p, spec, namespace, err) < 0 ||
		check_export_to(spec, namespace, false, err) < 0)
		return -1;
	return check_selector_export(p, spec, namespace, err);
}
