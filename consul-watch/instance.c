#include "consul-watch/instance.h"

#include <string.h>
#include <xxhash.h>

enum health { PASSING, WARNING, CRITICAL, MAINTENANCE };

static const char *const health_names[] = { "passing", "warning", "critical", "maintenance" };

/* Consul marks maintenance by checks of these ids (api/health.go, AggregatedStatus). */
#define NODE_MAINTENANCE    "_node_maintenance"
#define SERVICE_MAINTENANCE "_service_maintenance:"

static enum health check_health(jv check)
{
	cleanup_jv jv id = jvx_get(check, "CheckID");
	cleanup_jv jv status = jvx_get(check, "Status");
	const char *id_text = jvx_str(id, ""), *text = jvx_str(status, "");

	if (strcmp(id_text, NODE_MAINTENANCE) == 0 || str_starts(id_text, SERVICE_MAINTENANCE))
		return MAINTENANCE;
	if (strcmp(text, "passing") == 0)
		return PASSING;
	return strcmp(text, "warning") == 0 ? WARNING : CRITICAL;
}

const char *instance_status(jv checks)
{
	enum health worst = PASSING;

	for (int i = 0; i < jvx_length(checks); i++) {
		cleanup_jv jv check = jvx_at(checks, i);
		enum health health = check_health(check);

		if (health > worst)
			worst = health;
	}
	return health_names[worst];
}

/*
 * Identity is (source, node, id): a service id alone is unique on its node only. A name may hold
 * any character: where the node's holds the newline that ends it, its length tells where it ends.
 */
static jv uid(const char *source, jv node, jv id)
{
	size_t node_len = (size_t)jv_string_length_bytes(jv_copy(node));
	bool ambiguous = memchr(jv_string_value(node), '\n', node_len) != NULL;
	cleanup_jv jv text = jv_string_fmt("%s\n", source);
	XXH64_hash_t hash;

	text = jv_string_concat(text, jv_copy(node));
	text = jv_string_append_str(text, "\n");
	text = jv_string_concat(text, jv_copy(id));
	hash = XXH3_64bits_withSeed(jv_string_value(text),
		(size_t)jv_string_length_bytes(jv_copy(text)), ambiguous ? node_len : 0);
	return jv_string_fmt("%016llx", (unsigned long long)hash);
}

static jv tag_set(jv tags)
{
	cleanup_jv jv sorted = jv_array();
	jv set = jv_array();

	if (jvx_is(tags, JV_KIND_ARRAY)) {
		jv_free(sorted);
		sorted = jv_sort(jv_copy(tags), jv_copy(tags));
	}
	for (int i = 0; i < jvx_length(sorted); i++) {
		jv tag = jvx_at(sorted, i);

		if (!jvx_is(tag, JV_KIND_STRING) ||
			(i > 0 && jv_equal(jv_copy(tag), jvx_at(sorted, i - 1))))
			jv_free(tag);
		else
			jvx_append(&set, tag);
	}
	return set;
}

/* A copy of an object field; {} for null and for anything else. */
static jv object_field(jv from, const char *name)
{
	jv v = jvx_get(from, name);

	if (jvx_is(v, JV_KIND_OBJECT))
		return v;
	jv_free(v);
	return jv_object();
}

static bool has_strings_only(jv object)
{
	bool only = true;

	for (int i = jv_object_iter(object); only && jv_object_iter_valid(object, i);
		i = jv_object_iter_next(object, i)) {
		cleanup_jv jv value = jv_object_iter_value(object, i);

		only = jvx_is(value, JV_KIND_STRING);
	}
	return only;
}

/* A copy of an object of strings; {} for anything else, which Consul has no way to store. */
static jv strings_field(jv from, const char *name)
{
	jv v = object_field(from, name);

	if (has_strings_only(v))
		return v;
	jv_free(v);
	return jv_object();
}

static jv text_field(jv from, const char *name)
{
	jv v = jvx_get(from, name);

	if (jvx_is(v, JV_KIND_STRING))
		return v;
	jv_free(v);
	return jv_string("");
}

static jv weights(jv service)
{
	cleanup_jv jv from = object_field(service, "Weights");
	jv to = jv_object();

	jvx_set(&to, "passing", jv_number(jvx_num_field(from, "Passing", 1)));
	jvx_set(&to, "warning", jv_number(jvx_num_field(from, "Warning", 1)));
	return to;
}

static void set_locality(jv *instance, jv service)
{
	cleanup_jv jv locality = jvx_get(service, "Locality");
	jv to;

	if (!jvx_is(locality, JV_KIND_OBJECT))
		return;
	to = jv_object();
	jvx_set(&to, "region", text_field(locality, "Region"));
	jvx_set(&to, "zone", text_field(locality, "Zone"));
	jvx_set(instance, "locality", to);
}

/* Multi-port services (Consul 1.22): [{name, port, default}]. */
static void set_ports(jv *instance, jv service)
{
	cleanup_jv jv ports = jvx_get(service, "Ports");
	jv to;

	if (!jvx_is(ports, JV_KIND_ARRAY) || jvx_length(ports) == 0)
		return;
	to = jv_array();
	for (int i = 0; i < jvx_length(ports); i++) {
		cleanup_jv jv port = jvx_at(ports, i);
		cleanup_jv jv is_default = jvx_get(port, "Default");
		jv one = jv_object();

		jvx_set(&one, "name", text_field(port, "Name"));
		jvx_set(&one, "port", jv_number(jvx_num_field(port, "Port", 0)));
		if (jvx_is(is_default, JV_KIND_TRUE))
			jvx_set(&one, "default", jv_true());
		jvx_append(&to, one);
	}
	jvx_set(instance, "ports", to);
}

static jv make_instance(jv entry, const char *source)
{
	cleanup_jv jv node = object_field(entry, "Node");
	cleanup_jv jv service = object_field(entry, "Service");
	cleanup_jv jv checks = jvx_get(entry, "Checks");
	cleanup_jv jv tags = jvx_get(service, "Tags");
	cleanup_jv jv node_name = text_field(node, "Node");
	cleanup_jv jv id = text_field(service, "ID");
	cleanup_jv jv address = text_field(service, "Address");
	jv instance = jv_object();

	jvx_set(&instance, "id", jv_copy(id));
	jvx_set(&instance, "uid", uid(source, node_name, id));
	jvx_set(&instance, "node", jv_copy(node_name));
	jvx_set(&instance, "address",
		*jv_string_value(address) != '\0' ? jv_copy(address) : text_field(node, "Address"));
	jvx_set(&instance, "port", jv_number(jvx_num_field(service, "Port", 0)));
	jvx_set(&instance, "tags", tag_set(tags));
	jvx_set(&instance, "meta", strings_field(service, "Meta"));
	jvx_set(&instance, "weights", weights(service));
	jvx_set_str(&instance, "status", instance_status(checks));
	jvx_set(&instance, "datacenter", text_field(node, "Datacenter"));
	jvx_set(&instance, "nodeMeta", strings_field(node, "Meta"));
	jvx_set(&instance, "taggedAddresses", object_field(service, "TaggedAddresses"));
	jvx_set(&instance, "kind", text_field(service, "Kind"));
	set_ports(&instance, service);
	set_locality(&instance, service);
	return instance;
}

static bool is_entry(jv entry)
{
	cleanup_jv jv node = jvx_get(entry, "Node");
	cleanup_jv jv service = jvx_get(entry, "Service");

	return jvx_is(node, JV_KIND_OBJECT) && jvx_is(service, JV_KIND_OBJECT);
}

/* By node, then id, as byte strings. One that is there twice: by all the rest, not by chance. */
static jv sorted_by_identity(jv instances)
{
	jv keys = jv_array();

	for (int i = 0; i < jvx_length(instances); i++) {
		cleanup_jv jv instance = jvx_at(instances, i);
		jv key = JV_ARRAY(
			jvx_get(instance, "node"), jvx_get(instance, "id"), jv_copy(instance));

		jvx_append(&keys, key);
	}
	return jv_sort(jv_copy(instances), keys);
}

jv instances_from_health(
	jv body, const char *source, const struct selection *selection, struct err *err)
{
	cleanup_jv jv instances = jv_array();

	if (!jvx_is(body, JV_KIND_ARRAY)) {
		err_set(err, EXIT_BAD_INPUT, "the answer is no list of instances");
		return jv_invalid();
	}
	for (int i = 0; i < jvx_length(body); i++) {
		cleanup_jv jv entry = jvx_at(body, i);

		if (!is_entry(entry)) {
			err_set(err, EXIT_BAD_INPUT,
				"the answer has an entry without node or service");
			return jv_invalid();
		}
		if (selection_takes_entry(selection, entry))
			jvx_append(&instances, make_instance(entry, source));
	}
	return sorted_by_identity(instances);
}

jv instances_last(jv instances)
{
	static const char *const fields[] = { "meta", "port", "ports" };
	cleanup_jv jv lowest = jv_invalid();
	double lowest_port = 0;
	jv last;

	for (int i = 0; i < jvx_length(instances); i++) {
		jv instance = jvx_at(instances, i);
		double port = jvx_num_field(instance, "port", 0);

		if (!jv_is_valid(lowest) ||
			(port > 0 && (lowest_port <= 0 || port < lowest_port))) {
			lowest_port = port;
			jv_free(lowest);
			lowest = instance;
		} else {
			jv_free(instance);
		}
	}
	if (!jv_is_valid(lowest))
		return jv_invalid();
	last = jv_object();
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		jv value = jvx_get(lowest, fields[i]);

		if (jv_is_valid(value))
			jvx_set(&last, fields[i], value);
		else
			jv_free(value);
	}
	return last;
}
