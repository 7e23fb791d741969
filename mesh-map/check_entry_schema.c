/* ServiceEntry and WorkloadEntry, by the rules of Istio 1.31: see check_istio.h. */
#include <string.h>
#include <strings.h>

#include "mesh-map/check_istio.h"
#include "mesh-map/check_text.h"

/* --- what an endpoint of a ServiceEntry and a WorkloadEntry are alike in */

static bool is_port_key(const char *s)
{
	return strlen(s) < 63 && text_is_istio_label(s);
}

/* A socket's path, or "@" and the name of an abstract one. */
static bool is_address(const char *s)
{
	size_t n = strlen(UNIX_ADDRESS);

	if (!str_starts(s, UNIX_ADDRESS))
		return true;
	return (s[n] == '/' || s[n] == '@') && !str_ends(s, "/");
}

static int check_workload(const struct place *p, jv workload, struct err *err)
{
	cleanup_jv jv address = jvx_get(workload, "address");
	cleanup_jv jv network = jvx_get(workload, "network");

	if (*jvx_str(address, "") == '\0' && *jvx_str(network, "") == '\0')
		return place_fail(PLACE(p, "address"), address, err, "required without a network");
	if (str_starts(jvx_str(address, ""), UNIX_ADDRESS) && has_field(workload, "ports"))
		return place_fail(p, address, err, "a socket has no ports");
	return 0;
}

/* Not known whether a ServiceEntry takes it for STATIC or DNS: it may be of any kind. */
static int check_workload_entry(const struct place *p, jv workload, struct err *err)
{
	cleanup_jv jv address = jvx_get(workload, "address");
	const char *s = jvx_str(address, "");

	if (check_workload(p, workload, err) < 0)
		return -1;
	if (*s != '\0' && !str_starts(s, UNIX_ADDRESS) && !text_is_ip(s) && !text_is_fqdn(s))
		return place_fail(PLACE(p, "address"), address, err,
			"an IP address, a DNS name or " UNIX_ADDRESS "...");
	return 0;
}

static const struct schema address = {
	.type = SCHEMA_STRING,
	.most = 256,
	.text = is_address,
	.rule = UNIX_ADDRESS " and a path to a file, or '@' and a name",
};
static const struct schema target_ports = {
	.type = SCHEMA_MAP,
	.most = 128,
	.of = &schema_port,
	.text = is_port_key,
	.rule = "a DNS label of at most 62 characters",
};
static const struct schema labels = {
	.type = SCHEMA_MAP,
	.most = 256,
	.of = &schema_label_value,
	.text = text_is_tag_key,
	.rule = LABEL_KEY_RULE,
};
static const struct schema long_string = { .type = SCHEMA_STRING, .most = 2048 };
static const struct schema account = { .type = SCHEMA_STRING, .most = 253 };

static const struct schema_field workload_fields[] = {
	{ "address", &address, false },
	{ "ports", &target_ports, false },
	{ "labels", &labels, false },
	{ "locality", &long_string, false },
	{ "network", &long_string, false },
	{ "serviceAccount", &account, false },
	{ "weight", &schema_uint32, false },
	{ NULL, NULL, false },
};

const struct schema schema_workload_entry = {
	.type = SCHEMA_STRUCT,
	.fields = workload_fields,
	.whole = check_workload_entry,
};

/* --- ServiceEntry */

static bool is_host(const char *s)
{
	return strcmp(s, "*") != 0 && text_is_wildcard(s);
}

enum protocol protocol_of(const char *s)
{
	static const struct {
		const char *name;
		enum protocol protocol;
	} known[] = {
		{ "", PROTOCOL_UNSET },
		{ "http", PROTOCOL_HTTP },
		{ "http2", PROTOCOL_HTTP },
		{ "grpc", PROTOCOL_HTTP },
		{ "grpc-web", PROTOCOL_HTTP },
		{ "http_proxy", PROTOCOL_HTTP },
		{ "https", PROTOCOL_TLS },
		{ "tls", PROTOCOL_TLS },
		{ "tcp", PROTOCOL_TCP },
		{ "udp", PROTOCOL_TCP },
		{ "mongo", PROTOCOL_TCP },
		{ "redis", PROTOCOL_TCP },
		{ "mysql", PROTOCOL_TCP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcasecmp(s, known[i].name) == 0)
			return known[i].protocol;
	return PROTOCOL_UNKNOWN;
}

static bool is_protocol(const char *s)
{
	return protocol_of(s) != PROTOCOL_UNKNOWN;
}

static bool has_no_star(const char *s)
{
	return strchr(s, '*') == NULL;
}

static bool is_selector_key(const char *s)
{
	return *s != '\0' && has_no_star(s);
}

static const struct schema host = {
	.type = SCHEMA_STRING,
	.text = is_host,
	.rule = "a DNS name of at most 255 characters, labels of at most 63 letters, digits and "
		"'-', the last not all digits, '*' only to begin it",
};
static const struct schema hosts = { .type = SCHEMA_LIST, .least = 1, .most = 256, .of = &host };

static const struct schema service_address = {
	.type = SCHEMA_STRING,
	.most = 64,
	.text = text_is_ip_or_network,
	.rule = "an IP address or a network as 10.0.0.0/8",
};
static const struct schema addresses = { .type = SCHEMA_LIST, .most = 256, .of = &service_address };

static const struct schema port_name = {
	.type = SCHEMA_STRING,
	.text = text_is_istio_label,
	.rule = "a DNS label of at most 63 characters",
};
static const struct schema protocol = {
	.type = SCHEMA_STRING,
	.text = is_protocol,
	.rule = "a protocol that Istio knows",
};
static const struct schema_field port_fields[] = {
	{ "name", &port_name, true },
	{ "number", &schema_port, true },
	{ "protocol", &protocol, false },
	{ "targetPort", &schema_port, false },
	{ NULL, NULL, false },
};
static const struct schema port = { .type = SCHEMA_STRUCT, .fields = port_fields };
static const struct schema ports = { .type = SCHEMA_LIST, .most = 256, .of = &port };

static const struct schema endpoint = {
	.type = SCHEMA_STRUCT,
	.fields = workload_fields,
	.whole = check_workload,
};
static const struct schema endpoints = { .type = SCHEMA_LIST, .most = 4096, .of = &endpoint };

static const char *const locations[] = { "MESH_EXTERNAL", "MESH_INTERNAL", NULL };
static const struct schema location = {
	.type = SCHEMA_STRING, .words = locations, .rule = "MESH_INTERNAL or MESH_EXTERNAL"
};
static const char *const resolutions[] = { "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN",
	"DYNAMIC_DNS", NULL };
static const struct schema resolution = {
	.type = SCHEMA_STRING,
	.words = resolutions,
	.rule = "NONE, STATIC, DNS, DNS_ROUND_ROBIN or DYNAMIC_DNS",
};

static const struct schema selected_value = {
	.type = SCHEMA_STRING, .most = 63, .text = has_no_star, .rule = "no '*'"
};
static const struct schema selected = {
	.type = SCHEMA_MAP,
	.most = 256,
	.of = &selected_value,
	.text = is_selector_key,
	.rule = "not empty, no '*'",
};
static const struct schema_field selector_fields[] = {
	{ "labels", &selected, false },
	{ NULL, NULL, false },
};
static const struct schema selector = { .type = SCHEMA_STRUCT, .fields = selector_fields };
static const struct schema strings = { .type = SCHEMA_LIST, .of = &schema_any_string };

static const struct schema_field entry_fields[] = {
	{ "hosts", &hosts, true },
	{ "addresses", &addresses, false },
	{ "ports", &ports, false },
	{ "location", &location, false },
	{ "resolution", &resolution, false },
	{ "endpoints", &endpoints, false },
	{ "workloadSelector", &selector, false },
	{ "exportTo", &schema_export_to, false },
	{ "subjectAltNames", &strings, false },
	{ NULL, NULL, false },
};

const struct schema schema_service_entry = { .type = SCHEMA_STRUCT, .fields = entry_fields };
