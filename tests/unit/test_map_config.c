#include "mesh-map/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"

/* The object, or the error. */
static char *parse(const char *text)
{
	struct err err = ERR_INIT;
	cleanup_jv jv config = config_parse(text, strlen(text), "c", &err);

	if (jv_is_valid(config))
		return jvx_dump(config);
	assert_int_equal(err.status, EXIT_CONFIG);
	assert_null(strchr(err.msg, '\n'));
	return xstrdup(err.msg);
}

static void check(const char *text, const char *expected)
{
	cleanup_free char *got = parse(text);

	assert_string_equal(got, expected);
}

static void it_is_exactly_what_the_file_says(void **state UNUSED)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{ "", "{}" },
		{ "# nothing\n", "{}" },
		{ "---\n", "{}" },
		{ "{}", "{}" },
		{ "hostSuffix: no\n", "{\"hostSuffix\":\"no\"}" },
		{ "port: null\nservices: {redis: null, web: {port: null}}\n",
			"{\"port\":null,\"services\":{\"redis\":null,\"web\":{\"port\":null}}}" },
		{ "custom: {any: [thing, {at: all}]}",
			"{\"custom\":{\"any\":[\"thing\",{\"at\":\"all\"}]}}" },
		{ "ports: [{number: 80, protocol: ~, name: ~}]",
			"{\"ports\":[{\"name\":null,\"number\":80,\"protocol\":null}]}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(rows[i].yaml, rows[i].json);
}

/* `key: value` alone, and within services where it may stand there. */
static void values_of_every_key_that_are_right(void **state UNUSED)
{
	static const char *const rows[] = {
		"hostSuffix: service.consul",
		"hostSuffix: ''",
		"hostSuffix: Mesh",
		"namespace: my-ns",
		"apiVersion: networking.istio.io/v1",
		"apiVersion: networking.istio.io/v1beta1",
		"apiVersion: networking.istio.io/v1alpha3",
		"location: MESH_EXTERNAL",
		"exportTo: []",
		"exportTo: ['*']",
		"exportTo: ['~']",
		"exportTo: [., other, istio-system]",
		"ports: []",
		"ports: [{number: 1}, {number: 65535, protocol: gRPC-Web, name: a-1}]",
		"port: 1",
		"port: 0x1F90",
		"protocol: http_proxy",
		"protocol: MySQL",
		"addresses: []",
		"addresses: [10.0.0.1, 10.1.0.0/16, 0.0.0.0/0]",
		"addresses: ['::1', 'fd00::/8', '2001:db8::1/128']",
		"resolution: DNS_ROUND_ROBIN",
		"taggedAddress: lan_ipv4",
		"allowLoopback: true",
		"health: passing",
		"weights: false",
		"panicThreshold: 0",
		"panicThreshold: 100",
		"panicThreshold: 33.3",
		"metaLabels: []",
		"metaLabels: ['*', version, 'team-?']",
		"metaLabels: {release: version, Owner: example.com/owner}",
		"tagLabels: false",
		"tagLabels: [version, 'example.com/*']",
		"labels: {a: '', example.com/A_b.c: V-1_2.x, topology.istio.io/network: n}",
		"localities: {dc1: eu-west-1/a/r1, dc2: us}",
		"tlsMode: disabled",
		"serviceAccount: my.account-1",
		"subjectAltNames: ['spiffe://cluster.local/ns/a/sa/b', web.example.com]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *inner = xasprintf("services:\n  'w*b?':\n    %s\n", rows[i]);
		cleanup_free char *alone = parse(rows[i]);
		cleanup_free char *single = parse(inner);

		if (alone[0] != '{' || single[0] != '{')
			fail_msg("%s\n%s\n%s", rows[i], alone, single);
	}
	check("mainSource: dc1", "{\"mainSource\":\"dc1\"}");
}

/* The value stands at line 3, column 5 + the length of the key and ": ". */
static void values_of_every_key_that_are_wrong(void **state UNUSED)
{
	static const struct {
		const char *key, *value, *message; /* after the key's path */
	} rows[] = {
		{ "hostSuffix", "a_b",
			"\"a_b\" is not valid: give a DNS name such as service.consul" },
		{ "hostSuffix", "a..b", "\"a..b\" is not valid: give a DNS name" },
		{ "hostSuffix", ".a", "\".a\" is not valid: give a DNS name" },
		{ "hostSuffix", "a.1", "\"a.1\" is not valid: give a DNS name" },
		{ "hostSuffix", "1.0",
			"1 is not valid: give a DNS name such as service.consul, in quotes" },
		{ "hostSuffix", "[a]", "a list is not valid: give a DNS name" },
		{ "namespace", "My", "\"My\" is not valid: give a namespace" },
		{ "namespace", "a.b", "\"a.b\" is not valid: give a namespace" },
		{ "apiVersion", "v1", "\"v1\" is not valid: give networking.istio.io/v1, " },
		{ "location", "mesh_internal",
			"\"mesh_internal\" is not valid: give MESH_INTERNAL" },
		{ "exportTo", "all",
			"\"all\" is not valid: give a list, each item a namespace, '.'" },
		{ "ports", "80", "80 is not valid: give a list of mappings with number, and" },
		{ "ports", "{number: 80}", "a mapping is not valid: give a list of mappings" },
		{ "port", "0", "0 is not valid: give a whole number from 1 to 65535" },
		{ "port", "65536", "65536 is not valid: " },
		{ "port", "80.5", "80.5 is not valid: " },
		{ "port", "-1", "-1 is not valid: " },
		{ "port", "\"80\"",
			"\"80\" is not valid: give a whole number from 1 to 65535, without "
			"quotes" },
		{ "port", "12345678901234567890",
			"\"12345678901234567890\" is not valid: give a whole number from 1" },
		{ "protocol", "quic", "\"quic\" is not valid: give http, http2, https, grpc, " },
		{ "addresses", "10.0.0.1",
			"\"10.0.0.1\" is not valid: give a list, each item an IP" },
		{ "resolution", "dns", "\"dns\" is not valid: give STATIC, DNS, DNS_ROUND_ROBIN" },
		{ "taggedAddress", "''", "\"\" is not valid: give a name" },
		{ "allowLoopback", "no", "\"no\" is not valid: give true or false" },
		{ "allowLoopback", "'true'",
			"\"true\" is not valid: give true or false, without quotes" },
		{ "health", "critical", "\"critical\" is not valid: give warning or passing" },
		{ "weights", "1", "1 is not valid: give true or false" },
		{ "panicThreshold", "101", "101 is not valid: give a number from 0 to 100" },
		{ "panicThreshold", "50%", "\"50%\" is not valid: give a number from 0 to 100" },
		{ "metaLabels", "version",
			"\"version\" is not valid: give a list of meta keys, or" },
		{ "tagLabels", "version", "\"version\" is not valid: give true, false, or a list" },
		{ "labels", "[a]", "a list is not valid: give a mapping, each value a label's" },
		{ "localities", "dc1", "\"dc1\" is not valid: give a mapping, each value region" },
		{ "tlsMode", "ISTIO", "\"ISTIO\" is not valid: give istio or disabled" },
		{ "serviceAccount", "a/b", "\"a/b\" is not valid: give a service account's name" },
		{ "subjectAltNames", "a", "\"a\" is not valid: give a list, each item a name" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = xasprintf("# here\nservices:\n  web: {port: 1}\n  db:\n"
						    "    %s: %s\n",
			rows[i].key, rows[i].value);
		cleanup_free char *expected = xasprintf("c:5:%zu: services.db.%s: %s",
			strlen(rows[i].key) + 7, rows[i].key, rows[i].message);
		cleanup_free char *got = parse(text);

		if (strncmp(got, expected, strlen(expected)) != 0)
			assert_string_equal(got, expected);
	}
}

static void parts_of_values_that_are_wrong(void **state UNUSED)
{
	static const struct {
		const char *yaml, *message;
	} rows[] = {
		{ "ports:\n- number: 80\n- protocol: http\n",
			"c:3:3: ports[1]: 'number' is missing: give a whole number from 1 to "
			"65535" },
		{ "ports:\n- number: ~\n", "c:2:3: ports[0]: 'number' is missing: " },
		{ "ports: [80]", "c:1:9: ports[0]: 80 is not valid: give a mapping with number" },
		{ "ports: [{number: 80}, {number: 81, protocol: x}]",
			"c:1:46: ports[1].protocol: \"x\" is not valid: give http, " },
		{ "ports: [{number: 80, name: A}]", "c:1:28: ports[0].name: \"A\" is not valid: " },
		{ "ports: [{number: 80, port: 1}]",
			"c:1:22: ports[0].port: unknown key: see CONFIGURATION in mesh-map(1)" },
		{ "ports: [{number: 80, Name: a}]",
			"c:1:22: ports[0].Name: unknown key: did you mean 'name'?" },
		{ "ports: [{number: 80}, {number: 80.0}]",
			"c:1:32: ports[1].number: 80 is there already: give each once" },
		{ "ports: [{number: 80, name: a}, {number: 81, name: a}]",
			"c:1:51: ports[1].name: \"a\" is there already: give each once" },
		{ "exportTo: [a, b, a]", "c:1:18: exportTo[2]: \"a\" is there already: " },
		{ "exportTo: [a, '*']",
			"c:1:15: exportTo[1]: '*' is not valid beside others: give it alone" },
		{ "exportTo: ['~', a]", "c:1:12: exportTo[0]: '~' is not valid beside others: " },
		{ "exportTo: [~]", "c:1:12: exportTo[0]: null is not valid: give a namespace, '.' "
				   "(its own), '*' (all) or '~' (none), in quotes" },
		{ "addresses: [10.0.0.0/33]", "c:1:13: addresses[0]: \"10.0.0.0/33\" is not" },
		{ "addresses: ['::/129']", "c:1:13: addresses[0]: \"::/129\" is not valid: " },
		{ "addresses: [10.0.0.0/]", "c:1:13: addresses[0]: \"10.0.0.0/\" is not valid: " },
		{ "addresses: [10.0.0.0/08]", "c:1:13: addresses[0]: \"10.0.0.0/08\" is not" },
		{ "addresses: [10.0.0.256]",
			"c:1:13: addresses[0]: \"10.0.0.256\" is not valid: " },
		{ "addresses: [db.example.com]",
			"c:1:13: addresses[0]: \"db.example.com\" is not" },
		{ "metaLabels: ['']", "c:1:14: metaLabels[0]: \"\" is not valid: give a name, in" },
		{ "metaLabels: [a, 1]", "c:1:17: metaLabels[1]: 1 is not valid: give a name, in "
					"which * and ? stand for others, in quotes" },
		{ "metaLabels: {a: 'b c'}", "c:1:17: metaLabels.a: \"b c\" is not valid: give a" },
		{ "metaLabels: {a: security.istio.io/tlsMode}",
			"c:1:17: metaLabels.a: \"security.istio.io/tlsMode\" is not valid: give a "
			"label's key (not meshpipe.io/..., and for security.istio.io/tlsMode there "
			"is tlsMode)" },
		{ "labels: {version: 1.0}", "c:1:19: labels.version: 1 is not valid: give a "
					    "label's value (letters, digits, '-', '_' and '.', at "
					    "most 63), in quotes" },
		{ "labels: {version: '-a'}", "c:1:19: labels.version: \"-a\" is not valid: " },
		{ "labels: {'a b': c}",
			"c:1:10: labels.\"a b\": the key is not valid: give a label's key" },
		{ "labels: {meshpipe.io/service: c}",
			"c:1:10: labels.\"meshpipe.io/service\": the key is not valid: " },
		{ "labels: {/a: c}", "c:1:10: labels.\"/a\": the key is not valid: " },
		{ "labels: {A/a: c}", "c:1:10: labels.\"A/a\": the key is not valid: " },
		{ "labels: {a/: c}", "c:1:10: labels.\"a/\": the key is not valid: " },
		{ "localities: {dc1: a//b}", "c:1:19: localities.dc1: \"a//b\" is not valid: " },
		{ "localities: {dc1: a/b/c/d}", "c:1:19: localities.dc1: \"a/b/c/d\" is not" },
		{ "localities: {'': a}", "c:1:14: localities.\"\": the key is not valid: " },
		{ "services: [a]", "c:1:11: services: a list is not valid: give a mapping of" },
		{ "services: {'': {}}",
			"c:1:12: services.\"\": the key is not valid: give a name" },
		{ "services: {a: 80}", "c:1:15: services.a: 80 is not valid: give a mapping of" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = parse(rows[i].yaml);

		if (strncmp(got, rows[i].message, strlen(rows[i].message)) != 0)
			assert_string_equal(got, rows[i].message);
	}
}

static void keys_that_are_not_known(void **state UNUSED)
{
	static const struct {
		const char *yaml, *message;
	} rows[] = {
		{ "a: 1",
			"c:1:1: a: unknown key: what your own programs read goes under 'custom'" },
		{ "port: 1\nhostSufix: x\n",
			"c:2:1: hostSufix: unknown key: did you mean 'hostSuffix'?" },
		{ "host_suffix: x", "c:1:1: host_suffix: unknown key: did you mean 'hostSuffix'?" },
		{ "HOSTSUFFIX: x", "c:1:1: HOSTSUFFIX: unknown key: did you mean 'hostSuffix'?" },
		{ "export-to: x", "c:1:1: export-to: unknown key: did you mean 'exportTo'?" },
		{ "prot: 1", "c:1:1: prot: unknown key: did you mean 'port'?" },
		{ "locality: x", "c:1:1: locality: unknown key: did you mean 'localities'?" },
		{ "redis: {}", "c:1:1: redis: unknown key: what your own programs read goes" },
		{ "services:\n  a:\n    prt: 1\n",
			"c:3:5: services.a.prt: unknown key: did you mean 'port'?" },
		{ "services:\n  a:\n    x: 1\n",
			"c:3:5: services.a.x: unknown key: see CONFIGURATION in mesh-map(1)" },
		{ "services:\n  a:\n    mainSource: b\n", "c:3:5: services.a.mainSource: not for "
							  "single services: give it at the top" },
		{ "services: {a: {services: {}}}", "c:1:16: services.a.services: not for single "
						   "services: give it at the top" },
		{ "services: {a: {custom: 1}}",
			"c:1:16: services.a.custom: not for single services: give it at the top" },
		{ "\"a\\nb\": 1", "c:1:1: \"a\\nb\": unknown key: " },
		{ "'': 1", "c:1:1: \"\": unknown key: " },
		{ "<<: {port: 1}", "c:1:1: \"<<\": unknown key: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *got = parse(rows[i].yaml);

		if (strncmp(got, rows[i].message, strlen(rows[i].message)) != 0)
			assert_string_equal(got, rows[i].message);
	}
}

static void what_is_no_mapping(void **state UNUSED)
{
	static const char message[] =
		"c: the configuration must be one YAML document with a mapping at its top";

	check("[]", message);
	check("port", message);
	check("port: 1\n---\nport: 2\n", message);
	check("port: [", "c:2:1: did not find expected node content, while parsing a flow node");
	check("port: 1\nport: 2\n", "c:2:1: a key that is there already");
}

/* The place is that where the wrong value is written, also where it is used by an alias. */
static void an_alias_leads_to_what_it_stands_for(void **state UNUSED)
{
	check("custom: &web {port: 1}\nservices: {a: *web}\n",
		"{\"custom\":{\"port\":1},\"services\":{\"a\":{\"port\":1}}}");
	check("custom: &web\n  port: 0\nservices: {a: *web}\n",
		"c:2:9: services.a.port: 0 is not valid: give a whole number from 1 to 65535");
	check("custom: &web\n  prt: 0\nservices: {a: *web}\n",
		"c:2:3: services.a.prt: unknown key: did you mean 'port'?");
}

/* `before`, `one` so many times, and `behind`. */
static char *repeat(const char *before, const char *one, int count, const char *behind)
{
	cleanup_buf struct buf text;

	buf_init(&text, 1u << 20);
	assert_int_equal(buf_adds(&text, before), 0);
	for (int i = 0; i < count; i++)
		assert_int_equal(buf_adds(&text, one), 0);
	assert_int_equal(buf_adds(&text, behind), 0);
	return xstrdup(buf_str(&text));
}

static void long_things_are_shown_short(void **state UNUSED)
{
	cleanup_free char *value = repeat("health: ", "\xc3\xa9", 1000, "");
	cleanup_free char *key = repeat("", "k", 1000, ": 1");
	cleanup_free char *got = parse(value);

	assert_true(strlen(got) < 150);
	assert_true(str_ends(got, "\xc3\xa9... is not valid: give warning or passing"));
	free(TAKE(got));
	got = parse(key);
	assert_true(strlen(got) < 200);
}

static void lists_have_a_limit(void **state UNUSED)
{
	cleanup_free char *text = repeat("addresses: [", "10.0.0.1,", 257, "]");

	check(text, "c:1:12: addresses: 257 are too many: give at most 256");
}

static void a_file_is_read_as_its_text(void **state UNUSED)
{
	struct err err = ERR_INIT;
	cleanup_jv jv none = config_load(NULL, &err);
	cleanup_jv jv gone = config_load("/nonexistent/c.yaml", &err);

	assert_true(jvx_is(none, JV_KIND_OBJECT) && jvx_length(none) == 0);
	assert_false(jv_is_valid(gone));
	assert_string_equal(
		err.msg, "cannot read '/nonexistent/c.yaml': No such file or directory");
	assert_int_equal(err.status, EXIT_CONFIG);
	gone = config_load("/dev/zero", &err);
	assert_false(jv_is_valid(gone));
	assert_string_equal(err.msg, "/dev/zero: larger than 1 MiB, the most that is read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_exactly_what_the_file_says),
		cmocka_unit_test(values_of_every_key_that_are_right),
		cmocka_unit_test(values_of_every_key_that_are_wrong),
		cmocka_unit_test(parts_of_values_that_are_wrong),
		cmocka_unit_test(keys_that_are_not_known),
		cmocka_unit_test(what_is_no_mapping),
		cmocka_unit_test(an_alias_leads_to_what_it_stands_for),
		cmocka_unit_test(long_things_are_shown_short),
		cmocka_unit_test(lists_have_a_limit),
		cmocka_unit_test(a_file_is_read_as_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
