/* Checks of Istio's kinds: each rule with what it takes and what it refuses. */
#include "mesh-map/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PORTS "\"ports\":[{\"name\":\"http\",\"number\":80,\"protocol\":\"HTTP\"}]"
#define SE(spec)                                                                                   \
	"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"ServiceEntry\",\"metadata\":"       \
	"{\"name\":\"n\",\"namespace\":\"mesh\"},\"spec\":{" spec "}}"
#define WE(spec)                                                                                   \
	"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"WorkloadEntry\",\"metadata\":"      \
	"{\"name\":\"n\"},\"spec\":{" spec "}}"
#define DR(spec)                                                                                   \
	"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"DestinationRule\",\"metadata\":"    \
	"{\"name\":\"n\",\"namespace\":\"mesh\"},\"spec\":{\"host\":\"a.b\"," spec "}}"
#define POLICY(policy) DR("\"trafficPolicy\":{" policy "}")
#define STATIC(spec)   SE("\"hosts\":[\"a.b\"],\"resolution\":\"STATIC\"," PORTS "," spec)
#define DNS(spec)      SE("\"hosts\":[\"a.b\"],\"resolution\":\"DNS\"," PORTS "," spec)
#define EXPORT(list)   STATIC("\"exportTo\":" list)

/* What is accepted, what is refused, and where the error begins. */
struct row {
	const char *yes, *no, *error;
};

static const struct row objects[] = {
	{ SE("\"hosts\":[\"a.b\"]"), SE("\"hosts\":[]"), "spec.hosts: at least 1: 0 entries" },
	{ SE("\"hosts\":[\"a.b\"]"), SE(""), "spec.hosts: required: missing" },
	{ WE("\"address\":\"1.2.3.4\""),
		"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"WorkloadEntry\","
		"\"metadata\":{\"name\":\"n\"}}",
		"spec: required: missing" },
	{ WE("\"network\":\"n\""),
		"{\"apiVersion\":\"networking.istio.io/v2\",\"kind\":\"WorkloadEntry\","
		"\"metadata\":{\"name\":\"n\"},\"spec\":{\"network\":\"n\"}}",
		"apiVersion: networking.istio.io/v1, v1beta1 or v1alpha3: "
		"'networking.istio.io/v2'" },
	{ "{\"apiVersion\":\"networking.istio.io/v1beta1\",\"kind\":\"WorkloadEntry\","
	  "\"metadata\":{\"name\":\"n\"},\"spec\":{\"network\":\"n\"},\"status\":{},\"x\":null}",
		"{\"apiVersion\":\"networking.istio.io/v1beta1\",\"kind\":\"WorkloadEntry\","
		"\"metadata\":{\"name\":\"n\"},\"spec\":{\"network\":\"n\"},\"x\":1}",
		"x: a field that is known: 1" },
	{ "{\"apiVersion\":\"networking.istio.io/v1alpha3\",\"kind\":\"WorkloadEntry\","
	  "\"metadata\":{\"name\":\"n\",\"annotations\":{\"istio.io/x\":\"\"}},"
	  "\"spec\":{\"network\":\"n\"}}",
		"{\"apiVersion\":\"networking.istio.io/v1alpha3\",\"kind\":\"WorkloadEntry\","
		"\"metadata\":{\"name\":\"n\",\"annotations\":{\"istio.io/dry-run\":\"\"}},"
		"\"spec\":{\"network\":\"n\"}}",
		"metadata.annotations['istio.io/dry-run']: an annotation that Istio allows" },
	/* A kind of which nothing is known here. */
	{ "{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Sidecar\",\"metadata\":"
	  "{\"name\":\"n\"},\"spec\":{\"x\":1}}",
		WE("\"network\":\"n\",\"x\":1"), "spec.x: a field that is known: 1" },
};

static const struct row entries[] = {
	{ SE("\"hosts\":[\"*.a\"]"), SE("\"hosts\":[\"*\"]"), "spec.hosts[0]: a DNS name" },
	{ SE("\"hosts\":[\"a.b\"]"), SE("\"hosts\":[\"a_b.c\"]"), "spec.hosts[0]: a DNS name" },
	{ SE("\"hosts\":[\"a.b\"],\"addresses\":[\"10.0.0.0/8\"]"),
		SE("\"hosts\":[\"a.b\"],\"addresses\":[\"10.0.0.0/33\"]"),
		"spec.addresses[0]: an IP address or a network as 10.0.0.0/8: '10.0.0.0/33'" },
	{ STATIC("\"addresses\":[\"10.0.0.0/8\"]"), DNS("\"addresses\":[\"10.0.0.0/8\"]"),
		"spec.addresses[0]: networks only where the resolution is STATIC or NONE" },
	{ SE("\"hosts\":[\"a.b\"]," PORTS),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a_b\",\"number\":1}]"),
		"spec.ports[0].name: a DNS label of at most 63 characters: 'a_b'" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":65535}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":65536}]"),
		"spec.ports[0].number: from 1 to 65535: 65536" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1.0}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1.5}]"),
		"spec.ports[0].number: a whole number: 1.5" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1,\"protocol\":null}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":\"1\"}]"),
		"spec.ports[0].number: a whole number: '1'" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1,\"targetPort\":1}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1,"
		   "\"targetPort\":0}]"),
		"spec.ports[0].targetPort: from 1 to 65535: 0" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1,"
	     "\"protocol\":\"grpc-WEB\"}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1,"
		   "\"protocol\":\"grpc_web\"}]"),
		"spec.ports[0].protocol: a protocol that Istio knows: 'grpc_web'" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1},{\"name\":\"A\","
	     "\"number\":2}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1},{\"name\":\"a\","
		   "\"number\":2}]"),
		"spec.ports[1].name: no name twice: 'a'" },
	{ SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1},{\"name\":\"b\","
	     "\"number\":2}]"),
		SE("\"hosts\":[\"a.b\"],\"ports\":[{\"name\":\"a\",\"number\":1},{\"name\":\"b\","
		   "\"number\":1}]"),
		"spec.ports[1].number: no number twice: 1" },
	{ SE("\"hosts\":[\"a.b\",\"c.d\"],\"resolution\":\"STATIC\"," PORTS),
		SE("\"hosts\":[\"a.b\",\"c.d\"],\"resolution\":\"STATIC\",\"ports\":[{\"name\":"
		   "\"a\",\"number\":1}]"),
		"spec.ports[0].protocol: HTTP or TLS where there are several hosts: missing" },
	{ STATIC("\"location\":\"MESH_INTERNAL\""), STATIC("\"location\":\"mesh\""),
		"spec.location: MESH_INTERNAL or MESH_EXTERNAL: 'mesh'" },
	{ SE("\"hosts\":[\"a.b\"],\"resolution\":\"NONE\""),
		SE("\"hosts\":[\"a.b\"],\"resolution\":\"static\""),
		"spec.resolution: NONE, STATIC, DNS, DNS_ROUND_ROBIN or DYNAMIC_DNS: 'static'" },
	{ STATIC("\"endpoints\":[]"), SE("\"hosts\":[\"a.b\"],\"endpoints\":[]"),
		"spec.endpoints: none where the resolution is NONE (or missing): 0 endpoints" },
	{ STATIC("\"workloadSelector\":{}"), STATIC("\"workloadSelector\":{},\"endpoints\":[]"),
		"spec.endpoints: none beside a workloadSelector: 0 endpoints" },
	{ STATIC("\"workloadSelector\":{\"labels\":{\"a b\":\"c d\"}}"),
		STATIC("\"workloadSelector\":{\"labels\":{\"a\":\"*\"}}"),
		"spec.workloadSelector.labels.a: no '*': '*'" },
	{ SE("\"hosts\":[\"a.b\"],\"resolution\":\"DNS\""),
		SE("\"hosts\":[\"*.b\"],\"resolution\":\"DNS\""),
		"spec.hosts[0]: a DNS name without '*' where there are no endpoints: '*.b'" },
	{ SE("\"hosts\":[\"*.b\"],\"resolution\":\"DYNAMIC_DNS\"," PORTS),
		SE("\"hosts\":[\"a.b\"],\"resolution\":\"DYNAMIC_DNS\"," PORTS),
		"spec.hosts[0]: '*' first where the resolution is DYNAMIC_DNS: 'a.b'" },
	{ SE("\"hosts\":[\"*.b\"],\"resolution\":\"DYNAMIC_DNS\",\"addresses\":[]"),
		SE("\"hosts\":[\"*.b\"],\"resolution\":\"DYNAMIC_DNS\",\"addresses\":[\"::1\"]"),
		"spec.addresses: none where the resolution is DYNAMIC_DNS: [\"::1\"]" },
	{ SE("\"hosts\":[\"*.b\"],\"resolution\":\"DYNAMIC_DNS\"," PORTS),
		SE("\"hosts\":[\"*.b\"],\"resolution\":\"DYNAMIC_DNS\",\"ports\":[{\"name\":\"a\","
		   "\"number\":1,\"protocol\":\"HTTPS\"}]"),
		"spec.ports[0].protocol: HTTP, HTTP2, GRPC or TLS where the resolution is" },
	{ EXPORT("[\"a\",\"b\"]"), EXPORT("[\"a\",\"a\"]"),
		"spec.exportTo[1]: no namespace twice: 'a'" },
	{ EXPORT("[\".\",\"a\"]"), EXPORT("[\".\",\"mesh\"]"),
		"spec.exportTo[1]: no namespace twice: 'mesh'" },
	{ EXPORT("[\"*\"]"), EXPORT("[\"*\",\"a\"]"), "spec.exportTo: '*' and '~' stand alone" },
	{ EXPORT("[\"~\"]"), EXPORT("[\"~\",\"a\"]"), "spec.exportTo: '*' and '~' stand alone" },
	{ EXPORT("[\"A\"]"), EXPORT("[\"a.b\"]"),
		"spec.exportTo[0]: a namespace, '.', '*' or '~': 'a.b'" },
	{ STATIC("\"subjectAltNames\":[\"\"]"), STATIC("\"subjectAltNames\":[1]"),
		"spec.subjectAltNames[0]: a string: 1" },
};

static const struct row endpoints[] = {
	{ STATIC("\"endpoints\":[{\"address\":\"fe80::1%a\"}]"),
		STATIC("\"endpoints\":[{\"address\":\"a.b\"}]"),
		"spec.endpoints[0].address: an IP address or unix://... where the resolution is "
		"STATIC: 'a.b'" },
	{ DNS("\"endpoints\":[{\"address\":\"a.b\"},{\"address\":\"::1\"}]"),
		DNS("\"endpoints\":[{\"address\":\"a.b\"},{\"address\":\"unix:///a\"}]"),
		"spec.endpoints[1].address: an IP address or a DNS name: 'unix:///a'" },
	{ STATIC("\"endpoints\":[{\"address\":\"unix:///a\"}]"),
		SE("\"hosts\":[\"a.b\"],\"resolution\":\"STATIC\",\"endpoints\":[{\"address\":"
		   "\"unix:///a\"}]"),
		"spec.endpoints[0].address: a socket where the entry has one port only" },
	{ STATIC("\"endpoints\":[{\"address\":\"::1\",\"ports\":{\"http\":1}}]"),
		STATIC("\"endpoints\":[{\"address\":\"::1\",\"ports\":{\"other\":1}}]"),
		"spec.endpoints[0].ports: names of ports of the entry: 'other'" },
	{ SE("\"hosts\":[\"a.b\"],\"resolution\":\"DNS_ROUND_ROBIN\",\"endpoints\":[{\"address\":"
	     "\"a\"}]"),
		SE("\"hosts\":[\"a.b\"],\"resolution\":\"DNS_ROUND_ROBIN\",\"endpoints\":["
		   "{\"address\":\"a\"},{\"address\":\"b\"}]"),
		"spec.endpoints: one where the resolution is DNS_ROUND_ROBIN: 2 endpoints" },
	{ WE("\"address\":\"\",\"network\":\"n\""), WE("\"address\":\"\""),
		"spec.address: required without a network: ''" },
	{ WE("\"address\":\"a.b\""), WE("\"address\":\"a_b\""),
		"spec.address: an IP address, a DNS name or unix://...: 'a_b'" },
	{ WE("\"address\":\"unix://@a\""), WE("\"address\":\"unix://a\""),
		"spec.address: unix:// and a path to a file, or '@' and a name: 'unix://a'" },
	{ WE("\"address\":\"unix:///a\""), WE("\"address\":\"unix:///a\",\"ports\":{}"),
		"spec: a socket has no ports: 'unix:///a'" },
	{ WE("\"address\":\"::1\",\"ports\":{\"a\":1}"),
		WE("\"address\":\"::1\",\"ports\":{\"a\":0}"), "spec.ports.a: from 1 to 65535: 0" },
	{ WE("\"address\":\"::1\",\"labels\":{\"X.io/a\":\"\"}"),
		WE("\"address\":\"::1\",\"labels\":{\"a b\":\"\"}"), "spec.labels: keys: " },
	{ WE("\"address\":\"::1\",\"labels\":{\"a\":\"b_c\"}"),
		WE("\"address\":\"::1\",\"labels\":{\"a\":\"b c\"}"),
		"spec.labels.a: letters, digits, '-', '_' and '.', a letter or digit first and "
		"last: 'b c'" },
	{ WE("\"address\":\"::1\",\"weight\":4294967295"),
		WE("\"address\":\"::1\",\"weight\":4294967296"),
		"spec.weight: from 0 to 4294967295: 4294967296" },
	{ WE("\"address\":\"::1\",\"weight\":0"), WE("\"address\":\"::1\",\"weight\":-1"),
		"spec.weight: from 0 to 4294967295: -1" },
	{ WE("\"address\":\"::1\",\"locality\":\"\""), WE("\"address\":\"::1\",\"locality\":1"),
		"spec.locality: a string: 1" },
};

static const struct row rules[] = {
	{ DR("\"subsets\":[{\"name\":\"a\"},{\"name\":\"b\"}]"),
		DR("\"subsets\":[{\"name\":\"a\"},{\"name\":\"a\"}]"),
		"spec.subsets[1].name: no name twice: 'a'" },
	{ DR("\"subsets\":[{\"name\":\"v1\",\"labels\":{}}]"),
		DR("\"subsets\":[{\"name\":\"v_1\"}]"),
		"spec.subsets[0].name: a DNS label of at most 63 characters: 'v_1'" },
	{ DR("\"exportTo\":[\".\"]"), DR("\"exportTo\":[\"~\"]"),
		"spec.exportTo[0]: '~' is for a ServiceEntry: '~'" },
	{ DR("\"workloadSelector\":{},\"exportTo\":[\"mesh\"]"),
		DR("\"workloadSelector\":{},\"exportTo\":[\"other\"]"),
		"spec.exportTo: its own namespace where there is a workloadSelector" },
	{ DR("\"workloadSelector\":{\"matchLabels\":{\"a\":\"b\"}}"),
		DR("\"workloadSelector\":{\"matchLabels\":{\"*\":\"b\"}}"),
		"spec.workloadSelector.matchLabels: keys: not empty, no '*': '*'" },
	{ POLICY("\"tls\":{}"), POLICY(""), "spec.trafficPolicy: with at least one field: {}" },
	{ POLICY("\"tunnel\":{\"targetHost\":\"a.b\",\"targetPort\":1}"),
		POLICY("\"tunnel\":{\"targetHost\":\"a.b\",\"targetPort\":1},"
		       "\"proxyProtocol\":{}"),
		"spec.trafficPolicy: tunnel or proxyProtocol: " },
	{ POLICY("\"connectionPool\":{\"tcp\":{}}"), POLICY("\"connectionPool\":{}"),
		"spec.trafficPolicy.connectionPool: with http or tcp: {}" },
	{ POLICY("\"connectionPool\":{\"http\":{\"useClientProtocol\":true}}"),
		POLICY("\"connectionPool\":{\"http\":{\"useClientProtocol\":true,"
		       "\"h2UpgradePolicy\":\"UPGRADE\"}}"),
		"spec.trafficPolicy.connectionPool.http.useClientProtocol: false where" },
	{ POLICY("\"connectionPool\":{\"tcp\":{\"connectTimeout\":\"1ms\"}}"),
		POLICY("\"connectionPool\":{\"tcp\":{\"connectTimeout\":\"1us\"}}"),
		"spec.trafficPolicy.connectionPool.tcp.connectTimeout: a duration of whole" },
	{ POLICY("\"connectionPool\":{\"tcp\":{\"idleTimeout\":\"0s\"}}"),
		POLICY("\"connectionPool\":{\"tcp\":{\"idleTimeout\":\"-1s\"}}"),
		"spec.trafficPolicy.connectionPool.tcp.idleTimeout: a duration" },
	{ POLICY("\"connectionPool\":{\"tcp\":{\"maxConnections\":0}}"),
		POLICY("\"connectionPool\":{\"tcp\":{\"maxConnections\":-1}}"),
		"spec.trafficPolicy.connectionPool.tcp.maxConnections: from 0 to 2147483647: -1" },
	{ POLICY("\"outlierDetection\":{\"consecutiveLocalOriginFailures\":1,"
		 "\"splitExternalLocalOriginErrors\":true}"),
		POLICY("\"outlierDetection\":{\"consecutiveLocalOriginFailures\":1}"),
		"spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures: only with" },
	{ POLICY("\"outlierDetection\":{\"maxEjectionPercent\":100}"),
		POLICY("\"outlierDetection\":{\"maxEjectionPercent\":101}"),
		"spec.trafficPolicy.outlierDetection.maxEjectionPercent: from 0 to 100: 101" },
	{ POLICY("\"loadBalancer\":{\"simple\":\"RANDOM\"}"),
		POLICY("\"loadBalancer\":{\"simple\":\"RANDOM\",\"consistentHash\":{}}"),
		"spec.trafficPolicy.loadBalancer: simple or consistentHash" },
	{ POLICY("\"loadBalancer\":{\"consistentHash\":{\"maglev\":{\"tableSize\":7}}}"),
		POLICY("\"loadBalancer\":{\"consistentHash\":{\"maglev\":{\"tableSize\":9}}}"),
		"spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: a prime number" },
	{ POLICY("\"loadBalancer\":{\"localityLbSetting\":{\"distribute\":[{\"from\":\"a/*\","
		 "\"to\":{\"b\":40,\"c\":60}}]}}"),
		POLICY("\"loadBalancer\":{\"localityLbSetting\":{\"distribute\":[{\"from\":"
		       "\"a/*\",\"to\":{\"b\":40,\"c\":61}}]}}"),
		"spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: 100 in sum" },
	{ POLICY("\"loadBalancer\":{\"localityLbSetting\":{\"distribute\":[{\"from\":\"a/b\","
		 "\"to\":{\"b\":100}},{\"from\":\"a/c\",\"to\":{\"b\":100}}]}}"),
		POLICY("\"loadBalancer\":{\"localityLbSetting\":{\"distribute\":[{\"from\":"
		       "\"a/b\",\"to\":{\"b\":100}},{\"from\":\"a/b/c\",\"to\":{\"b\":100}}]}}"),
		"spec.trafficPolicy.loadBalancer.localityLbSetting.distribute: localities that" },
	{ POLICY("\"loadBalancer\":{\"zoneAwareLbSetting\":{\"failover\":[{\"from\":\"a\",\"to\":"
		 "\"b\"}]}}"),
		POLICY("\"loadBalancer\":{\"zoneAwareLbSetting\":{\"failover\":[{\"from\":\"a\","
		       "\"to\":\"a\"}]}}"),
		"spec.trafficPolicy.loadBalancer.zoneAwareLbSetting.failover[0]: two different" },
	{ POLICY("\"tls\":{\"mode\":\"MUTUAL\",\"clientCertificate\":\"a\",\"privateKey\":\"b\"}"),
		POLICY("\"tls\":{\"mode\":\"MUTUAL\"}"),
		"spec.trafficPolicy.tls: with clientCertificate and privateKey" },
	{ POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"credentialName\":\"configmap://mesh/a\"}"),
		POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"credentialName\":\"configmap://x/a\"}"),
		"spec.trafficPolicy.tls.credentialName: configmap://NAMESPACE/NAME of its own" },
	{ POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"credentialName\":\"a\"}"),
		POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"credentialName\":\"a\",\"caCrl\":\"b\"}"),
		"spec.trafficPolicy.tls.credentialName: nothing where there is caCrl: 'a'" },
	{ POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"insecureSkipVerify\":true}"),
		POLICY("\"tls\":{\"mode\":\"SIMPLE\",\"insecureSkipVerify\":true,"
		       "\"caCertificates\":\"a\"}"),
		"spec.trafficPolicy.tls.insecureSkipVerify: false where" },
	{ POLICY("\"portLevelSettings\":[{\"port\":{\"number\":1},\"tls\":{}}]"),
		POLICY("\"portLevelSettings\":[{\"tls\":{}}]"),
		"spec.trafficPolicy.portLevelSettings[0].port: required: missing" },
	{ POLICY("\"portLevelSettings\":[{\"port\":{},\"tls\":{}}]"),
		POLICY("\"portLevelSettings\":[{\"port\":{\"number\":1}}]"),
		"spec.trafficPolicy.portLevelSettings[0]: with at least one field besides" },
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_jv jv yes = jv_parse(rows[i].yes);
		cleanup_jv jv no = jv_parse(rows[i].no);
		struct err err = ERR_INIT;

		if (!jv_is_valid(yes) || !jv_is_valid(no))
			fail_msg("row %zu is no JSON", i);
		if (check_object(yes, &err) < 0)
			fail_msg("row %zu is refused: %s", i, err.msg);
		if (check_object(no, &err) == 0)
			fail_msg("row %zu is accepted, instead of: %s", i, rows[i].error);
		if (!str_starts(err.msg, rows[i].error))
			fail_msg("row %zu: %s, instead of: %s", i, err.msg, rows[i].error);
	}
}

static void objects_have_a_version_a_spec_and_no_more(void **state UNUSED)
{
	check_rows(objects, ARRAY_SIZE(objects));
}

static void service_entries_are_checked(void **state UNUSED)
{
	check_rows(entries, ARRAY_SIZE(entries));
}

static void endpoints_are_checked(void **state UNUSED)
{
	check_rows(endpoints, ARRAY_SIZE(endpoints));
}

static void destination_rules_are_checked(void **state UNUSED)
{
	check_rows(rules, ARRAY_SIZE(rules));
}

/* An element is these with its number after the first, and again after the second if there is one. */
struct element {
	const char *before, *between, *after;
};

/* A ServiceEntry with so many of the elements in a list. */
static jv with_many(const char *field, const struct element *e, int n)
{
	cleanup_jv jv object = jv_parse(STATIC("\"location\":\"MESH_INTERNAL\""));
	cleanup_jv jv spec = jvx_get(object, "spec");
	cleanup_jv jv list = jv_array();

	for (int i = 1; i <= n; i++) {
		cleanup_free char *text =
			e->between == NULL
				? xasprintf("%s%d%s", e->before, i, e->after)
				: xasprintf("%s%d%s%d%s", e->before, i, e->between, i, e->after);

		jvx_append(&list, jv_parse(text));
	}
	jvx_set(&spec, field, jv_copy(list));
	jvx_set(&object, "spec", jv_copy(spec));
	return jvx_take(&object);
}

static void lists_have_a_length(void **state UNUSED)
{
	static const struct {
		const char *field;
		struct element element;
		int most;
	} rows[] = {
		{ "hosts", { "\"h", NULL, ".a\"" }, 256 },
		{ "ports", { "{\"name\":\"p", "\",\"number\":", "}" }, 256 },
		{ "addresses", { "\"::", NULL, "\"" }, 256 },
		{ "endpoints", { "{\"address\":\"::", NULL, "\"}" }, 4096 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv most = with_many(rows[i].field, &rows[i].element, rows[i].most);
		cleanup_jv jv more = with_many(rows[i].field, &rows[i].element, rows[i].most + 1);
		cleanup_free char *error = xasprintf("spec.%s: at most %d: %d entries",
			rows[i].field, rows[i].most, rows[i].most + 1);
		struct err err = ERR_INIT;

		assert_int_equal(check_object(most, &err), 0);
		assert_int_equal(check_object(more, &err), -1);
		assert_string_equal(err.msg, error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_have_a_version_a_spec_and_no_more),
		cmocka_unit_test(service_entries_are_checked),
		cmocka_unit_test(endpoints_are_checked),
		cmocka_unit_test(destination_rules_are_checked),
		cmocka_unit_test(lists_have_a_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
