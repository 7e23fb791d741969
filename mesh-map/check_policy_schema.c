#include "mesh-map/check_istio.h"
#include "mesh-map/check_policy.h"
#include "mesh-map/check_text.h"

#define MS INT64_C(1000000)
#define INT32(from)                                                                                \
	{                                                                                          \
		.type = SCHEMA_INTEGER, .min = (from), .max = 2147483647.0                         \
	}
#define END                                                                                        \
	{                                                                                          \
		NULL, NULL, false                                                                  \
	}

static bool is_duration(const char *s)
{
	int64_t ns;

	return text_duration(s, &ns);
}

/* The CRD asks for a millisecond or more, the webhook for whole ones. */
static bool is_wait(const char *s)
{
	int64_t ns;

	return text_duration(s, &ns) && ns >= MS && ns % MS == 0;
}

static bool is_old_wait(const char *s)
{
	int64_t ns;

	return text_duration(s, &ns) && ns >= MS;
}

/* Less than a millisecond stands for none. */
static bool is_wait_or_none(const char *s)
{
	int64_t ns;

	return text_duration(s, &ns) && ((ns > -MS && ns < MS) || (ns >= MS && ns % MS == 0));
}

static bool is_target(const char *s)
{
	return text_is_fqdn(s) || text_is_ip(s);
}

static bool is_not_empty(const char *s)
{
	return *s != '\0';
}

#define WAIT_RULE "a duration of whole milliseconds, as 1.5s"

static const struct schema duration = {
	.type = SCHEMA_STRING, .text = is_duration, .rule = "a duration, as 1.5s"
};
static const struct schema wait = { .type = SCHEMA_STRING, .text = is_wait, .rule = WAIT_RULE };
static const struct schema old_wait = {
	.type = SCHEMA_STRING, .text = is_old_wait, .rule = "a duration of 1ms or more"
};
static const struct schema wait_or_none = {
	.type = SCHEMA_STRING, .text = is_wait_or_none, .rule = WAIT_RULE
};
static const struct schema some_string = {
	.type = SCHEMA_STRING, .text = is_not_empty, .rule = "not empty"
};
static const struct schema any_int32 = INT32(-2147483648.0);
static const struct schema count = INT32(0);
static const struct schema percent = { .type = SCHEMA_INTEGER, .max = 100 };
static const struct schema fraction = { .type = SCHEMA_NUMBER, .max = 100 };
static const struct schema strings = { .type = SCHEMA_LIST, .of = &schema_any_string };

/* --- connectionPool */

static const char *const upgrades[] = { "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE", NULL };
static const struct schema upgrade = {
	.type = SCHEMA_STRING, .words = upgrades, .rule = "DEFAULT, DO_NOT_UPGRADE or UPGRADE"
};
static const struct schema_field http2_fields[] = {
	{ "interval", &wait, true },
	{ "timeout", &wait, true },
	END,
};
static const struct schema http2 = { .type = SCHEMA_STRUCT, .fields = http2_fields };
static const struct schema_field http_fields[] = {
	{ "h2UpgradePolicy", &upgrade, false },
	{ "http1MaxPendingRequests", &count, false },
	{ "http2KeepAlive", &http2, false },
	{ "http2MaxRequests", &count, false },
	{ "idleTimeout", &wait, false },
	{ "maxConcurrentStreams", &count, false },
	{ "maxRequestsPerConnection", &count, false },
	{ "maxRetries", &count, false },
	{ "useClientProtocol", &schema_any_boolean, false },
	END,
};
static const struct schema http = {
	.type = SCHEMA_STRUCT, .fields = http_fields, .whole = check_http_pool
};
static const struct schema_field keepalive_fields[] = {
	{ "interval", &wait, false },
	{ "probes", &schema_uint32, false },
	{ "time", &wait, false },
	END,
};
static const struct schema keepalive = { .type = SCHEMA_STRUCT, .fields = keepalive_fields };
static const struct schema_field tcp_fields[] = {
	{ "connectTimeout", &wait, false },
	{ "idleTimeout", &wait_or_none, false },
	{ "maxConnectionDuration", &wait, false },
	{ "maxConnections", &count, false },
	{ "tcpKeepalive", &keepalive, false },
	END,
};
static const struct schema tcp = { .type = SCHEMA_STRUCT, .fields = tcp_fields };
static const struct schema_field pool_fields[] = {
	{ "http", &http, false },
	{ "tcp", &tcp, false },
	END,
};
static const struct schema pool = {
	.type = SCHEMA_STRUCT, .fields = pool_fields, .whole = check_pool
};

/* --- loadBalancer */

/* 64 bits on the other side; what libjq has exactly is less. */
static const struct schema size = { .type = SCHEMA_INTEGER, .max = 9007199254740991.0 };

static const struct schema_field attribute_fields[] = {
	{ "name", &some_string, true },
	{ "value", &schema_any_string, false },
	END,
};
static const struct schema attribute = { .type = SCHEMA_STRUCT, .fields = attribute_fields };
static const struct schema attributes = { .type = SCHEMA_LIST, .of = &attribute };
static const struct schema_field cookie_fields[] = {
	{ "attributes", &attributes, false },
	{ "name", &some_string, true },
	{ "path", &schema_any_string, false },
	{ "ttl", &duration, false },
	END,
};
static const struct schema cookie = {
	.type = SCHEMA_STRUCT, .fields = cookie_fields, .whole = check_cookie
};
static const struct schema_field maglev_fields[] = { { "tableSize", &size, false }, END };
static const struct schema maglev = {
	.type = SCHEMA_STRUCT, .fields = maglev_fields, .whole = check_maglev
};
static const struct schema_field ring_fields[] = { { "minimumRingSize", &size, false }, END };
static const struct schema ring = { .type = SCHEMA_STRUCT, .fields = ring_fields };
static const struct schema_field hash_fields[] = {
	{ "httpCookie", &cookie, false },
	{ "httpHeaderName", &schema_any_string, false },
	{ "httpQueryParameterName", &schema_any_string, false },
	{ "maglev", &maglev, false },
	{ "minimumRingSize", &size, false },
	{ "ringHash", &ring, false },
	{ "useSourceIp", &schema_any_boolean, false },
	END,
};
static const struct schema hash = {
	.type = SCHEMA_STRUCT, .fields = hash_fields, .whole = check_hash
};

static const struct schema share = { .type = SCHEMA_INTEGER, .min = 1, .max = 100 };
static const struct schema shares = { .type = SCHEMA_MAP, .of = &share };
static const struct schema_field distribute_fields[] = {
	{ "from", &schema_any_string, false },
	{ "to", &shares, false },
	END,
};
static const struct schema distribute = { .type = SCHEMA_STRUCT, .fields = distribute_fields };
static const struct schema distributes = { .type = SCHEMA_LIST, .of = &distribute };
static const struct schema_field failover_fields[] = {
	{ "from", &schema_any_string, false },
	{ "to", &schema_any_string, false },
	END,
};
static const struct schema failover = { .type = SCHEMA_STRUCT, .fields = failover_fields };
static const struct schema failovers = { .type = SCHEMA_LIST, .of = &failover };
static const struct schema_field locality_fields[] = {
	{ "distribute", &distributes, false },
	{ "enabled", &schema_any_boolean, false },
	{ "failover", &failovers, false },
	{ "failoverPriority", &strings, false },
	END,
};
static const struct schema locality = {
	.type = SCHEMA_STRUCT, .fields = locality_fields, .whole = check_locality
};
static const struct schema cluster_size = { .type = SCHEMA_INTEGER, .min = 1, .max = 4294967295.0 };
static const struct schema_field zone_fields[] = {
	{ "enabled", &schema_any_boolean, false },
	{ "failover", &failovers, false },
	{ "failoverPriority", &strings, false },
	{ "minClusterSize", &cluster_size, false },
	END,
};
static const struct schema zone_aware = {
	.type = SCHEMA_STRUCT, .fields = zone_fields, .whole = check_zone_aware
};

static const char *const balancers[] = { "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH",
	"ROUND_ROBIN", "LEAST_REQUEST", NULL };
static const struct schema simple = {
	.type = SCHEMA_STRING,
	.words = balancers,
	.rule = "UNSPECIFIED, LEAST_CONN, RANDOM, PASSTHROUGH, ROUND_ROBIN or LEAST_REQUEST",
};
static const struct schema aggression = {
	.type = SCHEMA_NUMBER, .min = 1e-300, .max = 1e300, .rule = "a number above 0"
};
static const struct schema_field warmup_fields[] = {
	{ "aggression", &aggression, false },
	{ "duration", &wait, true },
	{ "minimumPercent", &fraction, false },
	END,
};
static const struct schema warmup = { .type = SCHEMA_STRUCT, .fields = warmup_fields };
static const struct schema_field balancer_fields[] = {
	{ "consistentHash", &hash, false },
	{ "localityLbSetting", &locality, false },
	{ "simple", &simple, false },
	{ "warmup", &warmup, false },
	{ "warmupDurationSecs", &old_wait, false },
	{ "zoneAwareLbSetting", &zone_aware, false },
	END,
};
static const struct schema balancer = {
	.type = SCHEMA_STRUCT, .fields = balancer_fields, .whole = check_balancer
};

/* --- outlierDetection, tls */

static const struct schema code = { .type = SCHEMA_INTEGER, .min = 100, .max = 599 };
static const struct schema codes = { .type = SCHEMA_LIST, .of = &code };
static const struct schema_field outlier_fields[] = {
	{ "baseEjectionTime", &wait, false },
	{ "consecutive5xxErrors", &schema_uint32, false },
	{ "consecutiveErrors", &any_int32, false },
	{ "consecutiveGatewayErrors", &schema_uint32, false },
	{ "consecutiveLocalOriginFailures", &schema_uint32, false },
	{ "interval", &wait, false },
	{ "maxEjectionPercent", &percent, false },
	{ "minHealthPercent", &percent, false },
	{ "outlierDetectionHttpErrorCodes", &codes, false },
	{ "splitExternalLocalOriginErrors", &schema_any_boolean, false },
	END,
};
static const struct schema outlier = {
	.type = SCHEMA_STRUCT, .fields = outlier_fields, .whole = check_outlier
};

static const char *const modes[] = { "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", NULL };
static const struct schema mode = {
	.type = SCHEMA_STRING, .words = modes, .rule = "DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL"
};
static const struct schema_field tls_fields[] = {
	{ "caCertificates", &schema_any_string, false },
	{ "caCrl", &schema_any_string, false },
	{ "clientCertificate", &schema_any_string, false },
	{ "credentialName", &schema_any_string, false },
	{ "insecureSkipVerify", &schema_any_boolean, false },
	{ "mode", &mode, false },
	{ "privateKey", &schema_any_string, false },
	{ "sni", &schema_any_string, false },
	{ "subjectAltNames", &strings, false },
	END,
};
static const struct schema tls = {
	.type = SCHEMA_STRUCT, .fields = tls_fields, .whole = check_client_tls
};

/* --- the policy itself */

static const struct schema_field number_fields[] = { { "number", &schema_uint32, false }, END };
static const struct schema number = { .type = SCHEMA_STRUCT, .fields = number_fields };
static const struct schema_field port_policy_fields[] = {
	{ "connectionPool", &pool, false },
	{ "loadBalancer", &balancer, false },
	{ "outlierDetection", &outlier, false },
	{ "port", &number, true },
	{ "tls", &tls, false },
	END,
};
static const struct schema port_policy = {
	.type = SCHEMA_STRUCT, .fields = port_policy_fields, .whole = check_port_policy
};
static const struct schema port_policies = {
	.type = SCHEMA_LIST, .most = 4096, .of = &port_policy
};

static const char *const proxies[] = { "V1", "V2", NULL };
static const struct schema proxy = { .type = SCHEMA_STRING, .words = proxies, .rule = "V1 or V2" };
static const struct schema_field proxy_fields[] = { { "version", &proxy, false }, END };
static const struct schema proxy_protocol = { .type = SCHEMA_STRUCT, .fields = proxy_fields };

static const struct schema_field budget_fields[] = {
	{ "budgetInterval", &duration, false },
	{ "minRetryConcurrency", &schema_uint32, false },
	{ "percent", &fraction, false },
	END,
};
static const struct schema budget = { .type = SCHEMA_STRUCT, .fields = budget_fields };

static const char *const tunnels[] = { "", "CONNECT", "POST", NULL };
static const struct schema tunnel_protocol = {
	.type = SCHEMA_STRING, .words = tunnels, .rule = "CONNECT or POST"
};
static const struct schema tunnel_host = {
	.type = SCHEMA_STRING, .text = is_target, .rule = "a DNS name or an IP address"
};
static const struct schema_field tunnel_fields[] = {
	{ "protocol", &tunnel_protocol, false },
	{ "targetHost", &tunnel_host, true },
	{ "targetPort", &schema_port, true },
	END,
};
static const struct schema tunnel = { .type = SCHEMA_STRUCT, .fields = tunnel_fields };

static const struct schema_field policy_fields[] = {
	{ "connectionPool", &pool, false },
	{ "loadBalancer", &balancer, false },
	{ "outlierDetection", &outlier, false },
	{ "portLevelSettings", &port_policies, false },
	{ "proxyProtocol", &proxy_protocol, false },
	{ "retryBudget", &budget, false },
	{ "tls", &tls, false },
	{ "tunnel", &tunnel, false },
	END,
};
const struct schema schema_policy = {
	.type = SCHEMA_STRUCT, .fields = policy_fields, .whole = check_policy
};
