#include "mesh-map/check_policy.h"

#include <string.h>

#include "mesh-map/check_istio.h"

/* How many of the fields, whose names end in NULL, an object has. */
static int count_fields(jv v, const char *const *names)
{
	int n = 0;

	for (; *names != NULL; names++)
		n += has_field(v, *names);
	return n;
}

static bool is_true(jv object, const char *field)
{
	cleanup_jv jv v = jvx_get(object, field);

	return jvx_is(v, JV_KIND_TRUE);
}

static bool has_text(jv object, const char *field)
{
	cleanup_jv jv v = jvx_get(object, field);

	return *jvx_str(v, "") != '\0';
}

int check_pool(const struct place *p, jv pool, struct err *err)
{
	if (!has_field(pool, "http") && !has_field(pool, "tcp"))
		return place_fail(p, pool, err, "with http or tcp");
	return 0;
}

int check_http_pool(const struct place *p, jv pool, struct err *err)
{
	if (jvx_field_is(pool, "h2UpgradePolicy", "UPGRADE") && is_true(pool, "useClientProtocol"))
		return place_fail(PLACE(p, "useClientProtocol"), jv_true(), err,
			"false where h2UpgradePolicy is UPGRADE");
	return 0;
}

int check_outlier(const struct place *p, jv outlier, struct err *err)
{
	const char *field = "consecutiveLocalOriginFailures";
	double n = jvx_num_field(outlier, field, 0);

	if (n > 0 && !is_true(outlier, "splitExternalLocalOriginErrors"))
		return place_fail(PLACE(p, field), jv_number(n), err,
			"only with splitExternalLocalOriginErrors: true");
	return 0;
}

/* --- loadBalancer */

int check_balancer(const struct place *p, jv balancer, struct err *err)
{
	if (has_field(balancer, "simple") && has_field(balancer, "consistentHash"))
		return place_fail(p, balancer, err, "simple or consistentHash");
	if (has_field(balancer, "localityLbSetting") && has_field(balancer, "zoneAwareLbSetting"))
		return place_fail(p, balancer, err, "localityLbSetting or zoneAwareLbSetting");
	return 0;
}

int check_hash(const struct place *p, jv hash, struct err *err)
{
	static const char *const what[] = { "httpHeaderName", "httpCookie", "useSourceIp",
		"httpQueryParameterName", NULL };
	static const char *const how[] = { "ringHash", "maglev", NULL };

	if (count_fields(hash, what) > 1)
		return place_fail(p, hash, err,
			"one of httpHeaderName, httpCookie, useSourceIp and "
			"httpQueryParameterName");
	if (count_fields(hash, how) > 1)
		return place_fail(p, hash, err, "ringHash or maglev");
	if (count_fields(hash, how) > 0 && jvx_num_field(hash, "minimumRingSize", 0) != 0)
		return place_fail(p, hash, err, "minimumRingSize, ringHash or maglev");
	return 0;
}

int check_cookie(const struct place *p, jv cookie, struct err *err)
{
	cleanup_jv jv attributes = jvx_get(cookie, "attributes");
	cleanup_jv jv seen = jv_object();

	for (int i = 0; i < jvx_length(attributes); i++) {
		cleanup_jv jv attribute = jvx_at(attributes, i);
		cleanup_jv jv name = jvx_get(attribute, "name");

		if (has_field(seen, jv_string_value(name)))
			return place_fail(
				PLACE_AT(PLACE(p, "attributes"), i), name, err, "no name twice");
		jvx_set(&seen, jv_string_value(name), jv_true());
	}
	return 0;
}

/* As Envoy and Istio ask: 1 is one to them. */
static bool is_prime(unsigned x)
{
	if (x == 0)
		return false;
	for (unsigned i = 2; i * i <= x; i++)
		if (x % i == 0)
			return false;
	return true;
}

int check_maglev(const struct place *p, jv maglev, struct err *err)
{
	double n = jvx_num_field(maglev, "tableSize", 0);

	if (n >= 5000011 || !is_prime((unsigned)n))
		return place_fail(
			PLACE(p, "tableSize"), jv_number(n), err, "a prime number below 5000011");
	return 0;
}

/* --- localities: "region/zone/subzone", the last part may be "*" */

struct locality {
	const char *part[3];
	size_t len[3];
	int parts;
};

static bool split_locality(const char *s, struct locality *l)
{
	const char *star = strchr(s, '*');

	l->parts = 0;
	if (star != NULL && star[1] != '\0')
		return false;
	while (l->parts < 3) {
		size_t len = l->parts < 2 ? strcspn(s, "/") : strlen(s);

		if (len == 0)
			return false;
		l->part[l->parts] = s;
		l->len[l->parts++] = len;
		if (s[len] == '\0')
			return true;
		s += len + 1;
	}
	return true;
}

static bool is_star(const struct locality *l, int part)
{
	return part < l->parts && l->len[part] == 1 && *l->part[part] == '*';
}

static bool is_same(const struct locality *a, const struct locality *b, int part)
{
	return a->len[part] == b->len[part] &&
	       memcmp(a->part[part], b->part[part], a->len[part]) == 0;
}

/* As istiod compares one with those before it (validateLocalities). */
static bool overlaps(const struct locality *before, const struct locality *l)
{
	if (is_star(before, 0))
		return true;
	if (!is_same(before, l, 0))
		return false;
	if (before->parts == 1 || l->parts == 1 || is_star(before, 1))
		return true;
	if (!is_same(before, l, 1))
		return false;
	if (before->parts == 2 || l->parts == 2 || is_star(before, 2))
		return true;
	return is_same(before, l, 2);
}

/* A list of texts. */
static int check_localities(const struct place *p, jv list, struct err *err)
{
	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);
		struct locality l, before;

		if (!split_locality(jvx_str(item, ""), &l))
			return place_fail(p, item, err,
				"region/zone/subzone, none of them empty, '*' only at the end");
		for (int n = 0; n < i; n++) {
			cleanup_jv jv other = jvx_at(list, n);

			if (split_locality(jvx_str(other, ""), &before) && overlaps(&before, &l))
				return place_fail(p, item, err, "localities that do not overlap");
		}
	}
	return 0;
}

static int check_shares(const struct place *p, jv shares, struct err *err)
{
	cleanup_jv jv keys = jvx_keys(shares);
	cleanup_jv jv names = jv_array();
	double sum = 0;

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv share = jvx_get(shares, jv_string_value(key));

		if (jvx_is(share, JV_KIND_NULL))
			continue;
		sum += jv_number_value(share);
		jvx_append(&names, jv_copy(key));
	}
	if (sum != 100)
		return place_fail(p, shares, err, "100 in sum");
	return check_localities(p, names, err);
}

static int check_distribute(const struct place *p, jv list, struct err *err)
{
	cleanup_jv jv sources = jv_array();

	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);
		cleanup_jv jv from = jvx_get(item, "from");
		cleanup_jv jv to = jvx_get(item, "to");

		if (check_shares(PLACE(PLACE_AT(p, i), "to"), to, err) < 0)
			return -1;
		jvx_append(&sources, jv_string(jvx_str(from, "")));
	}
	return check_localities(p, sources, err);
}

static int check_failover(const struct place *p, jv list, struct err *err)
{
	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);
		cleanup_jv jv from = jvx_get(item, "from");
		cleanup_jv jv to = jvx_get(item, "to");

		if (strcmp(jvx_str(from, ""), jvx_str(to, "")) == 0)
			return place_fail(PLACE_AT(p, i), item, err, "two different regions");
		if (strpbrk(jvx_str(from, ""), "/*") != NULL ||
			strpbrk(jvx_str(to, ""), "/*") != NULL)
			return place_fail(
				PLACE_AT(p, i), item, err, "regions, without '/' and '*'");
	}
	return 0;
}

static int check_priority(const struct place *p, jv setting, struct err *err)
{
	static const char *const topology[] = { "topology.kubernetes.io/region",
		"topology.kubernetes.io/zone", "topology.istio.io/subzone" };
	cleanup_jv jv list = jvx_get(setting, "failoverPriority");

	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv item = jvx_at(list, i);

		for (size_t n = 0; n < ARRAY_SIZE(topology); n++)
			if (strcmp(jvx_str(item, ""), topology[n]) == 0)
				return place_fail(PLACE_AT(PLACE(p, "failoverPriority"), i), item,
					err, "no label of the topology here");
	}
	return 0;
}

int check_locality(const struct place *p, jv setting, struct err *err)
{
	cleanup_jv jv distribute = jvx_get(setting, "distribute");
	cleanup_jv jv failover = jvx_get(setting, "failover");

	if (jvx_length(distribute) > 0 && jvx_length(failover) > 0)
		return place_fail(p, setting, err, "distribute or failover");
	if (jvx_length(failover) > 0 && check_priority(p, setting, err) < 0)
		return -1;
	if (check_distribute(PLACE(p, "distribute"), distribute, err) < 0)
		return -1;
	return check_failover(PLACE(p, "failover"), failover, err);
}

int check_zone_aware(const struct place *p, jv setting, struct err *err)
{
	cleanup_jv jv failover = jvx_get(setting, "failover");

	if (check_priority(p, setting, err) < 0)
		return -1;
	return check_failover(PLACE(p, "failover"), failover, err);
}

/* --- tls */

static int check_unverified(const struct place *p, jv tls, struct err *err)
{
	cleanup_jv jv names = jvx_get(tls, "subjectAltNames");
	bool simple = jvx_field_is(tls, "mode", "SIMPLE");

	if (!is_true(tls, "insecureSkipVerify") || !(simple || jvx_field_is(tls, "mode", "MUTUAL")))
		return 0;
	if (has_text(tls, "caCertificates") || jvx_length(names) > 0 ||
		(simple && has_text(tls, "credentialName")))
		return place_fail(PLACE(p, "insecureSkipVerify"), jv_true(), err,
			"false where something is to be verified by");
	return 0;
}

int check_client_tls(const struct place *p, jv tls, struct err *err)
{
	static const char *const files[] = { "clientCertificate", "caCertificates", "privateKey",
		"caCrl" };
	cleanup_jv jv credential = jvx_get(tls, "credentialName");
	bool mutual = jvx_field_is(tls, "mode", "MUTUAL");

	if (check_unverified(p, tls, err) < 0)
		return -1;
	if ((mutual || jvx_field_is(tls, "mode", "SIMPLE")) && has_text(tls, "credentialName")) {
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			if (has_text(tls, files[i]))
				return place_fail(PLACE(p, "credentialName"), credential, err,
					"nothing where there is %s", files[i]);
		return 0;
	}
	if (mutual && !(has_text(tls, "clientCertificate") && has_text(tls, "privateKey")))
		return place_fail(
			p, tls, err, "with clientCertificate and privateKey where it is MUTUAL");
	return 0;
}

/* "configmap://NAMESPACE/NAME" */
static int check_credentials(
	const struct place *p, jv policy, const char *namespace, struct err *err)
{
	static const char scheme[] = "configmap://";
	cleanup_jv jv tls = jvx_get(policy, "tls");
	cleanup_jv jv field = jvx_get(tls, "credentialName");
	const char *s = jvx_str(field, "");
	size_t len;

	if (!str_starts(s, scheme))
		return 0;
	s += strlen(scheme);
	len = strcspn(s, "/");
	if (len == 0 || s[len] == '\0' || s[len + 1] == '\0' || s[len + 1] == '/' ||
		(namespace != NULL && (strlen(namespace) != len || memcmp(s, namespace, len) != 0)))
		return place_fail(PLACE(PLACE(p, "tls"), "credentialName"), field, err,
			"configmap://NAMESPACE/NAME of its own namespace");
	return 0;
}

int check_policy_namespace(const struct place *p, jv policy, const char *namespace, struct err *err)
{
	const struct place *ports_place = PLACE(p, "portLevelSettings");
	cleanup_jv jv ports = jvx_get(policy, "portLevelSettings");

	if (check_credentials(p, policy, namespace, err) < 0)
		return -1;
	for (int i = 0; i < jvx_length(ports); i++) {
		cleanup_jv jv item = jvx_at(ports, i);

		if (check_credentials(PLACE_AT(ports_place, i), item, namespace, err) < 0)
			return -1;
	}
	return 0;
}

/* --- the policy itself */

int check_policy(const struct place *p, jv policy, struct err *err)
{
	static const char *const parts[] = { "outlierDetection", "connectionPool", "loadBalancer",
		"tls", "tunnel", "proxyProtocol", "retryBudget", NULL };
	cleanup_jv jv ports = jvx_get(policy, "portLevelSettings");

	if (count_fields(policy, parts) == 0 && jvx_length(ports) == 0)
		return place_fail(p, policy, err, "with at least one field");
	if (has_field(policy, "tunnel") && has_field(policy, "proxyProtocol"))
		return place_fail(p, policy, err, "tunnel or proxyProtocol");
	return 0;
}

int check_port_policy(const struct place *p, jv policy, struct err *err)
{
	static const char *const parts[] = { "outlierDetection", "connectionPool", "loadBalancer",
		"tls", NULL };

	if (count_fields(policy, parts) == 0)
		return place_fail(p, policy, err, "with at least one field besides the port");
	return 0;
}
