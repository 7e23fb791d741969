/* The rules between the fields of a ServiceEntry. */
#include <string.h>
#include <strings.h>

#include "mesh-map/check_istio.h"
#include "mesh-map/check_text.h"

struct entry {
	struct place spec_place;
	jv spec, hosts, ports, endpoints;
	jv port_names; /* an object */
	const char *resolution;
};

static bool resolves(const struct entry *e, const char *how)
{
	return strcmp(e->resolution, how) == 0;
}

/* Fails with the value of that field. */
static int fail_field(const struct entry *e, const char *field, struct err *err, const char *rule)
{
	cleanup_jv jv v = jvx_get(e->spec, field);

	return place_fail(PLACE(&e->spec_place, field), v, err, "%s", rule);
}

static int check_ports(struct entry *e, struct err *err)
{
	const struct place *p = PLACE(&e->spec_place, "ports");
	uint64_t numbers[65536 / 64] = { 0 };

	for (int i = 0; i < jvx_length(e->ports); i++) {
		cleanup_jv jv item = jvx_at(e->ports, i);
		cleanup_jv jv name = jvx_get(item, "name");
		cleanup_jv jv number = jvx_get(item, "number");
		unsigned n = (unsigned)jv_number_value(number);

		if (has_field(e->port_names, jv_string_value(name)))
			return place_fail(
				PLACE(PLACE_AT(p, i), "name"), name, err, "no name twice");
		jvx_set(&e->port_names, jv_string_value(name), jv_true());
		if (numbers[n / 64] & 1ULL << n % 64)
			return place_fail(
				PLACE(PLACE_AT(p, i), "number"), number, err, "no number twice");
		numbers[n / 64] |= 1ULL << n % 64;
	}
	return 0;
}

/* Hosts of plain TCP cannot be told apart. */
static int check_hosts(const struct entry *e, struct err *err)
{
	const struct place *p = PLACE(&e->spec_place, "ports");

	for (int i = 0; i < jvx_length(e->ports); i++) {
		cleanup_jv jv item = jvx_at(e->ports, i);
		cleanup_jv jv value = jvx_get(item, "protocol");
		enum protocol what = protocol_of(jvx_str(value, ""));

		if (jvx_length(e->hosts) > 1 && !resolves(e, "NONE") && what != PROTOCOL_HTTP &&
			what != PROTOCOL_TLS)
			return place_fail(PLACE(PLACE_AT(p, i), "protocol"), value, err,
				"HTTP or TLS where there are several hosts");
	}
	return 0;
}

static int check_endpoint_ports(
	const struct entry *e, const struct place *p, jv endpoint_ports, struct err *err)
{
	if (!jvx_is(endpoint_ports, JV_KIND_OBJECT))
		return 0;
	for (int i = jv_object_iter(endpoint_ports); jv_object_iter_valid(endpoint_ports, i);
		i = jv_object_iter_next(endpoint_ports, i)) {
		cleanup_jv jv key = jv_object_iter_key(endpoint_ports, i);
		cleanup_jv jv value = jv_object_iter_value(endpoint_ports, i);

		if (!jvx_is(value, JV_KIND_NULL) && !has_field(e->port_names, jv_string_value(key)))
			return place_fail(
				PLACE(p, "ports"), key, err, "names of ports of the entry");
	}
	return 0;
}

static int check_endpoint(const struct entry *e, const struct place *p, jv item, struct err *err)
{
	cleanup_jv jv value = jvx_get(item, "address");
	cleanup_jv jv endpoint_ports = jvx_get(item, "ports");
	const char *s = jvx_str(value, "");
	bool is_static = resolves(e, "STATIC"), is_unix = str_starts(s, UNIX_ADDRESS);

	if (is_static && *s != '\0' && !is_unix && !text_is_ip(s))
		return place_fail(PLACE(p, "address"), value, err,
			"an IP address or " UNIX_ADDRESS "... where the resolution is STATIC");
	if (!is_static && !text_is_ip(s) && !text_is_fqdn(s))
		return place_fail(PLACE(p, "address"), value, err, "an IP address or a DNS name");
	if (is_unix && jvx_length(e->ports) != 1)
		return place_fail(PLACE(p, "address"), value, err,
			"a socket where the entry has one port only");
	return check_endpoint_ports(e, p, endpoint_ports, err);
}

static int check_endpoints(const struct entry *e, struct err *err)
{
	const struct place *p = PLACE(&e->spec_place, "endpoints");
	int n = jvx_length(e->endpoints);

	if (resolves(e, "NONE") && has_field(e->spec, "endpoints"))
		return place_fail_count(
			p, n, "endpoints", err, "none where the resolution is NONE (or missing)");
	if (resolves(e, "DYNAMIC_DNS") && n > 0)
		return place_fail_count(
			p, n, "endpoints", err, "none where the resolution is DYNAMIC_DNS");
	if (resolves(e, "DNS_ROUND_ROBIN") && n > 1)
		return place_fail_count(
			p, n, "endpoints", err, "one where the resolution is DNS_ROUND_ROBIN");
	if (has_field(e->spec, "endpoints") && has_field(e->spec, "workloadSelector"))
		return place_fail_count(p, n, "endpoints", err, "none beside a workloadSelector");
	for (int i = 0; i < n; i++) {
		cleanup_jv jv item = jvx_at(e->endpoints, i);

		if (check_endpoint(e, PLACE_AT(p, i), item, err) < 0)
			return -1;
	}
	return 0;
}

/* Istio asks DNS for the host itself. */
static int check_dns(const struct entry *e, struct err *err)
{
	const struct place *p = PLACE(&e->spec_place, "hosts");

	for (int i = 0; i < jvx_length(e->hosts) && jvx_length(e->endpoints) == 0; i++) {
		cleanup_jv jv item = jvx_at(e->hosts, i);

		if (!text_is_fqdn(jv_string_value(item)))
			return place_fail(PLACE_AT(p, i), item, err,
				"a DNS name without '*' where there are no endpoints");
	}
	return 0;
}

static bool uses_waypoint(jv object)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv object_labels = jvx_get(metadata, "labels");
	cleanup_jv jv waypoint = jvx_get(object_labels, "istio.io/use-waypoint");
	const char *s = jvx_str(waypoint, "");

	return *s != '\0' && strcasecmp(s, "none") != 0;
}

static int check_dynamic_dns(const struct entry *e, jv object, struct err *err)
{
	static const char *const proxied[] = { "http", "http2", "grpc", "tls" };
	cleanup_jv jv list = jvx_get(e->spec, "addresses");
	bool fits = false;

	for (int i = 0; i < jvx_length(e->hosts); i++) {
		cleanup_jv jv item = jvx_at(e->hosts, i);

		if (*jv_string_value(item) != '*')
			return place_fail(PLACE_AT(PLACE(&e->spec_place, "hosts"), i), item, err,
				"'*' first where the resolution is DYNAMIC_DNS");
	}
	if (jvx_length(list) > 0)
		return fail_field(e, "addresses", err, "none where the resolution is DYNAMIC_DNS");
	for (int i = 0; i < jvx_length(e->ports); i++) {
		cleanup_jv jv item = jvx_at(e->ports, i);
		cleanup_jv jv value = jvx_get(item, "protocol");

		fits = false;
		for (size_t n = 0; n < ARRAY_SIZE(proxied); n++)
			fits = fits || strcasecmp(jvx_str(value, ""), proxied[n]) == 0;
		if (!fits)
			return place_fail(
				PLACE(PLACE_AT(PLACE(&e->spec_place, "ports"), i), "protocol"),
				value, err,
				"HTTP, HTTP2, GRPC or TLS where the resolution is DYNAMIC_DNS");
	}
	if (jvx_field_is(e->spec, "location", "MESH_INTERNAL") && uses_waypoint(object))
		return fail_field(e, "location", err,
			"MESH_EXTERNAL where a waypoint is used and the resolution is "
			"DYNAMIC_DNS");
	return 0;
}

static int check_networks(const struct entry *e, struct err *err)
{
	cleanup_jv jv list = jvx_get(e->spec, "addresses");
	const struct place *p = PLACE(&e->spec_place, "addresses");

	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);

		if (strchr(jv_string_value(item), '/') != NULL && !resolves(e, "NONE") &&
			!resolves(e, "STATIC"))
			return place_fail(PLACE_AT(p, i), item, err,
				"networks only where the resolution is STATIC or NONE");
	}
	return 0;
}

static int check_entry(struct entry *e, jv object, struct err *err)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv namespace = jvx_get(metadata, "namespace");
	int rc = 0;

	if (check_ports(e, err) < 0 || check_hosts(e, err) < 0 || check_networks(e, err) < 0 ||
		check_endpoints(e, err) < 0)
		return -1;
	if (resolves(e, "DNS") || resolves(e, "DNS_ROUND_ROBIN"))
		rc = check_dns(e, err);
	else if (resolves(e, "DYNAMIC_DNS"))
		rc = check_dynamic_dns(e, object, err);
	return rc < 0 ? rc : check_export_to(e->spec, jvx_str(namespace, NULL), true, err);
}

int check_service_entry(jv object, jv spec, struct err *err)
{
	cleanup_jv jv how = jvx_get(spec, "resolution");
	cleanup_jv jv all_hosts = jvx_get(spec, "hosts");
	cleanup_jv jv all_ports = jvx_get(spec, "ports");
	cleanup_jv jv all_endpoints = jvx_get(spec, "endpoints");
	struct entry e = {
		.spec_place = { .key = "spec" },
		.spec = spec,
		.hosts = all_hosts,
		.ports = all_ports,
		.endpoints = all_endpoints,
		.port_names = jv_object(),
		.resolution = jvx_str(how, "NONE"),
	};
	int rc = check_entry(&e, object, err);

	jv_free(e.port_names);
	return rc;
}
