#include "mesh-map/config.h"

#include <errno.h>
#include <string.h>

#include "lib/yaml.h"
#include "mesh-map/config_error.h"
#include "mesh-map/config_value.h"

struct key {
	const char *name;
	int (*check)(struct config_text *c, const struct key *key, jv value);
	const struct rule *rule;  /* for the value, or each one of a list or mapping */
	const struct rule *names; /* for the keys of a mapping */
	int max;		  /* how many a list or mapping may have; 0 for any number */
	bool whole_only;	  /* not for single services */
	bool needed;
};

/* ---- One value, a list, a mapping ---- */

static int check_value(struct config_text *c, const struct rule *rule, jv value)
{
	cleanup_free char *shown = NULL;

	if (rule_holds(rule, value))
		return 0;
	shown = config_show(value);
	return config_fail(
		c, "%s is not valid: give %s%s", shown, rule->right, rule_hint(rule, value));
}

static int check_one(struct config_text *c, const struct key *key, jv value)
{
	return check_value(c, key->rule, value);
}

static int check_kind(struct config_text *c, jv value, jv_kind kind, const char *right, int max)
{
	cleanup_free char *shown = NULL;

	if (!jvx_is(value, kind)) {
		shown = config_show(value);
		return config_fail(c, "%s is not valid: give %s", shown, right);
	}
	if (max > 0 && jvx_length(value) > max)
		return config_fail(c, "%d are too many: give at most %d", jvx_length(value), max);
	return 0;
}

/* The item at the path, number i of the list, or its `field`, must not be there before. */
static int check_new(struct config_text *c, jv list, int i, const char *field)
{
	cleanup_jv jv item = jvx_at(list, i);
	cleanup_jv jv value = field != NULL ? jvx_get(item, field) : jv_copy(item);

	if (!jv_is_valid(value) || jvx_is(value, JV_KIND_NULL))
		return 0;
	for (int k = 0; k < i; k++) {
		cleanup_jv jv earlier = jvx_at(list, k);
		cleanup_jv jv before = field != NULL ? jvx_get(earlier, field) : jv_copy(earlier);

		if (jv_equal(jv_copy(before), jv_copy(value))) {
			cleanup_free char *shown = config_show(value);

			if (field != NULL)
				config_enter(c, jv_string(field));
			return config_fail(c, "%s is there already: give each once", shown);
		}
	}
	return 0;
}

static int check_list(struct config_text *c, const struct key *key, jv value)
{
	cleanup_free char *right = xasprintf("a list, each item %s", key->rule->right);

	if (check_kind(c, value, JV_KIND_ARRAY, right, key->max) < 0)
		return -1;
	for (int i = 0; i < jvx_length(value); i++) {
		cleanup_jv jv item = jvx_at(value, i);

		config_enter(c, jv_number(i));
		if (check_value(c, key->rule, item) < 0 || check_new(c, value, i, NULL) < 0)
			return -1;
		config_leave(c);
	}
	return 0;
}

static int check_mapping(struct config_text *c, const struct key *key, jv value)
{
	cleanup_free char *right = xasprintf("a mapping, each value %s", key->rule->right);
	cleanup_jv jv names = jvx_keys(value);

	if (check_kind(c, value, JV_KIND_OBJECT, right, key->max) < 0)
		return -1;
	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv one = jvx_get(value, jvx_str(name, ""));

		config_enter(c, jv_copy(name));
		if (!rule_holds(key->names, name))
			return config_fail_key(
				c, "the key is not valid: give %s", key->names->right);
		if (check_value(c, key->rule, one) < 0)
			return -1;
		config_leave(c);
	}
	return 0;
}

/* ---- Keys with a form of their own ---- */

static const struct key *find_key(const struct key *keys, const char *name)
{
	for (; keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static jv key_names(const struct key *keys, bool single)
{
	cleanup_jv jv names = jv_array();

	for (; keys->name != NULL; keys++)
		if (!(single && keys->whole_only))
			jvx_append(&names, jv_string(keys->name));
	return jvx_take(&names);
}

static int fail_unknown(
	struct config_text *c, const struct key *keys, const char *name, bool single)
{
	cleanup_jv jv names = key_names(keys, single);
	cleanup_free char *nearest = config_nearest(names, name);

	if (find_key(keys, name) != NULL)
		return config_fail_key(c, "not for single services: give it at the top");
	if (nearest != NULL)
		return config_fail_key(c, "unknown key: did you mean '%s'?", nearest);
	return config_fail_key(c, "unknown key: %s",
		single || jvx_length(c->path) > 1
			? "see CONFIGURATION in mesh-map(1)"
			: "what your own programs read goes under 'custom'");
}

/* An object that may have these keys; `single` when it is for single services. */
static int check_keys(struct config_text *c, const struct key *keys, jv object, bool single)
{
	cleanup_jv jv names = jvx_keys(object);

	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv value = jvx_get(object, jvx_str(name, ""));
		const struct key *key = find_key(keys, jvx_str(name, ""));

		config_enter(c, jv_copy(name));
		if (key == NULL || (single && key->whole_only))
			return fail_unknown(c, keys, jvx_str(name, ""), single);
		if (!jvx_is(value, JV_KIND_NULL) && key->check(c, key, value) < 0)
			return -1;
		config_leave(c);
	}
	for (; keys->name != NULL; keys++) {
		cleanup_jv jv value = jvx_get(object, keys->name);

		if (keys->needed && (!jv_is_valid(value) || jvx_is(value, JV_KIND_NULL)))
			return config_fail(
				c, "'%s' is missing: give %s", keys->name, keys->rule->right);
	}
	return 0;
}

static const struct key port_keys[] = {
	{ "number", check_one, .rule = &rule_port, .needed = true },
	{ "protocol", check_one, .rule = &rule_protocol },
	{ "name", check_one, .rule = &rule_port_name },
	{ .name = NULL },
};

static int check_ports(struct config_text *c, const struct key *key, jv value)
{
	if (check_kind(c, value, JV_KIND_ARRAY,
		    "a list of mappings with number, and optionally protocol and name",
		    key->max) < 0)
		return -1;
	for (int i = 0; i < jvx_length(value); i++) {
		cleanup_jv jv item = jvx_at(value, i);

		config_enter(c, jv_number(i));
		if (check_kind(c, item, JV_KIND_OBJECT,
			    "a mapping with number, and optionally protocol and name", 0) < 0 ||
			check_keys(c, port_keys, item, false) < 0 ||
			check_new(c, value, i, "number") < 0 || check_new(c, value, i, "name") < 0)
			return -1;
		config_leave(c);
	}
	return 0;
}

/* '*' and '~' leave nothing to say for others. */
static int check_export_to(struct config_text *c, const struct key *key, jv value)
{
	if (check_list(c, key, value) < 0)
		return -1;
	for (int i = 0; i < jvx_length(value) && jvx_length(value) > 1; i++) {
		cleanup_jv jv item = jvx_at(value, i);
		const char *text = jvx_str(item, "");

		if (strcmp(text, "*") != 0 && strcmp(text, "~") != 0)
			continue;
		config_enter(c, jv_number(i));
		return config_fail(c, "'%s' is not valid beside others: give it alone", text);
	}
	return 0;
}

static int check_meta_labels(struct config_text *c, const struct key *key, jv value)
{
	static const struct key mapping = { .rule = &rule_label_key, .names = &rule_name };

	if (jvx_is(value, JV_KIND_OBJECT))
		return check_mapping(c, &mapping, value);
	if (jvx_is(value, JV_KIND_ARRAY))
		return check_list(c, key, value);
	return check_kind(c, value, JV_KIND_ARRAY,
		"a list of meta keys, or a mapping of meta keys to keys of labels", 0);
}

static int check_tag_labels(struct config_text *c, const struct key *key, jv value)
{
	if (rule_holds(&rule_bool, value))
		return 0;
	if (jvx_is(value, JV_KIND_ARRAY))
		return check_list(c, key, value);
	return check_kind(c, value, JV_KIND_ARRAY, "true, false, or a list of keys of labels", 0);
}

static int check_anything(
	struct config_text *c UNUSED, const struct key *key UNUSED, jv value UNUSED)
{
	return 0;
}

static int check_services(struct config_text *c, const struct key *key, jv value);

/* ---- The keys ---- */

static const struct key keys[] = {
	/* names and hosts */
	{ "hostSuffix", check_one, .rule = &rule_host_suffix },
	{ "mainSource", check_one, .rule = &rule_name, .whole_only = true },
	{ "namespace", check_one, .rule = &rule_namespace },
	{ "apiVersion", check_one, .rule = &rule_api_version },
	{ "location", check_one, .rule = &rule_location },
	{ "exportTo", check_export_to, .rule = &rule_export_to },
	/* ports and addresses; a WorkloadEntry takes 128 ports, one of which is the service's own */
	{ "ports", check_ports, .max = 127 },
	{ "port", check_one, .rule = &rule_port },
	{ "protocol", check_one, .rule = &rule_protocol },
	{ "addresses", check_list, .rule = &rule_address, .max = 256 },
	{ "resolution", check_one, .rule = &rule_resolution },
	{ "taggedAddress", check_one, .rule = &rule_name },
	{ "allowLoopback", check_one, .rule = &rule_bool },
	/* health */
	{ "health", check_one, .rule = &rule_health },
	{ "weights", check_one, .rule = &rule_bool },
	{ "panicThreshold", check_one, .rule = &rule_percent },
	/* labels and places; a WorkloadEntry takes 256 labels: one is ours, one is tlsMode */
	{ "metaLabels", check_meta_labels, .rule = &rule_pattern },
	{ "tagLabels", check_tag_labels, .rule = &rule_pattern },
	{ "labels", check_mapping, .rule = &rule_label_value, .names = &rule_label_key,
		.max = 254 },
	{ "localities", check_mapping, .rule = &rule_locality, .names = &rule_name },
	/* security */
	{ "tlsMode", check_one, .rule = &rule_tls_mode },
	{ "serviceAccount", check_one, .rule = &rule_service_account },
	{ "subjectAltNames", check_list, .rule = &rule_name },
	/* single services, and others' business */
	{ "services", check_services, .whole_only = true },
	{ "custom", check_anything, .whole_only = true },
	{ .name = NULL },
};

static int check_services(struct config_text *c, const struct key *key UNUSED, jv value)
{
	cleanup_jv jv names = jvx_keys(value);

	if (check_kind(c, value, JV_KIND_OBJECT,
		    "a mapping of names or patterns of services to mappings", 0) < 0)
		return -1;
	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv service = jvx_get(value, jvx_str(name, ""));

		config_enter(c, jv_copy(name));
		if (!rule_holds(&rule_pattern, name))
			return config_fail_key(
				c, "the key is not valid: give %s", rule_pattern.right);
		if (!jvx_is(service, JV_KIND_NULL) &&
			(check_kind(c, service, JV_KIND_OBJECT, "a mapping of keys", 0) < 0 ||
				check_keys(c, keys, service, true) < 0))
			return -1;
		config_leave(c);
	}
	return 0;
}

jv config_keys(void)
{
	return key_names(keys, false);
}

/* ---- Texts and files ---- */

jv config_parse(const char *text, size_t len, const char *name, struct err *err)
{
	struct config_text c = { .name = name, .text = text, .len = len, .err = err };
	cleanup_jv jv docs = yaml_parse(text, len, name, err);
	cleanup_jv jv config = jvx_at(docs, 0);
	int rc;

	if (!jv_is_valid(docs))
		return jv_invalid();
	if (jvx_length(docs) == 0 || (jvx_length(docs) == 1 && jvx_is(config, JV_KIND_NULL)))
		return jv_object();
	if (jvx_length(docs) > 1 || !jvx_is(config, JV_KIND_OBJECT)) {
		err_set(err, EXIT_CONFIG,
			"%s: the configuration must be one YAML document with a mapping at its top",
			name);
		return jv_invalid();
	}
	c.path = jv_array();
	rc = check_keys(&c, keys, config, false);
	jv_free(c.path);
	return rc == 0 ? jvx_take(&config) : jv_invalid();
}

jv config_load(const char *path, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len = 0;

	if (path == NULL)
		return jv_object();
	text = read_whole_file(path, CONFIG_MAX_BYTES, &len);
	if (text != NULL)
		return config_parse(text, len, path, err);
	if (errno == EFBIG)
		err_set(err, EXIT_CONFIG, "%s: larger than 1 MiB, the most that is read", path);
	else
		err_errno(err, EXIT_CONFIG, "cannot read '%s'", path);
	return jv_invalid();
}
