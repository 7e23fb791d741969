#include "mesh-map/config_value.h"

#include <arpa/inet.h>
#include <math.h>
#include <string.h>

#define DIGITS	     "0123456789"
#define LOWER	     "abcdefghijklmnopqrstuvwxyz"
#define ALPHANUMERIC DIGITS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* len characters, all in `set`, the first and the last no separator. */
static bool is_word(const char *s, size_t len, size_t max, const char *set)
{
	return len > 0 && len <= max && strspn(s, set) >= len &&
	       strchr(ALPHANUMERIC, s[0]) != NULL && strchr(ALPHANUMERIC, s[len - 1]) != NULL;
}

/* Words of at most 63 characters with dots between them. */
static bool is_dotted(const char *s, const char *set)
{
	if (strlen(s) > 253)
		return false;
	for (;; s++) {
		size_t len = strcspn(s, ".");

		if (!is_word(s, len, 63, set))
			return false;
		s += len;
		if (*s == '\0')
			return true;
	}
}

static bool is_dns_label(const char *s)
{
	return is_word(s, strlen(s), 63, DIGITS LOWER "-");
}

static bool is_dns_name(const char *s)
{
	const char *last = strrchr(s, '.');

	/* Istio takes a name that ends in a number for an address. */
	last = last != NULL ? last + 1 : s;
	return is_dotted(s, ALPHANUMERIC "-") && last[strspn(last, DIGITS)] != '\0';
}

static bool is_service_account(const char *s)
{
	return is_dotted(s, DIGITS LOWER "-");
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static bool is_api_version(const char *s)
{
	static const char *const words[] = { "networking.istio.io/v1",
		"networking.istio.io/v1beta1", "networking.istio.io/v1alpha3", NULL };

	return is_one_of(s, words);
}

static bool is_location(const char *s)
{
	static const char *const words[] = { "MESH_INTERNAL", "MESH_EXTERNAL", NULL };

	return is_one_of(s, words);
}

static bool is_resolution(const char *s)
{
	static const char *const words[] = { "STATIC", "DNS", "DNS_ROUND_ROBIN", "NONE", NULL };

	return is_one_of(s, words);
}

static bool is_health(const char *s)
{
	static const char *const words[] = { "warning", "passing", NULL };

	return is_one_of(s, words);
}

static bool is_tls_mode(const char *s)
{
	static const char *const words[] = { "istio", "disabled", NULL };

	return is_one_of(s, words);
}

/* pkg/config/protocol of Istio, which does not mind the case. */
static bool is_protocol(const char *s)
{
	static const char *const words[] = { "HTTP", "HTTP2", "HTTPS", "GRPC", "GRPC-WEB",
		"HTTP_PROXY", "TLS", "TCP", "UDP", "MONGO", "REDIS", "MYSQL" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

/* The names are keys of a WorkloadEntry's ports, which have to be shorter than 63. */
static bool is_port_name(const char *s)
{
	return strlen(s) <= 62 && is_dns_label(s);
}

static bool is_export_to(const char *s)
{
	return strcmp(s, ".") == 0 || strcmp(s, "*") == 0 || strcmp(s, "~") == 0 || is_dns_label(s);
}

/* An IP address, or one with the length of a prefix behind it. */
static bool is_address(const char *s)
{
	char ip[64];
	unsigned char binary[16];
	size_t len = strcspn(s, "/");
	bool v4;
	uint64_t bits;

	if (len >= sizeof(ip))
		return false;
	memcpy(ip, s, len);
	ip[len] = '\0';
	v4 = inet_pton(AF_INET, ip, binary) == 1;
	if (!v4 && inet_pton(AF_INET6, ip, binary) != 1)
		return false;
	if (s[len] == '\0')
		return true;
	s += len + 1;
	return parse_u64(s, v4 ? 32 : 128, &bits) && !(s[0] == '0' && s[1] != '\0');
}

/* Those of Istio that have a key of their own here, and those that tie objects together. */
static bool is_reserved(const char *key)
{
	return strcmp(key, "security.istio.io/tlsMode") == 0 || str_starts(key, "meshpipe.io/");
}

static bool is_label_key(const char *s)
{
	const char *name = strchr(s, '/');
	cleanup_free char *prefix = name != NULL ? xstrndup(s, (size_t)(name - s)) : NULL;

	if (prefix != NULL && !is_dotted(prefix, DIGITS LOWER "-"))
		return false;
	name = name != NULL ? name + 1 : s;
	return is_word(name, strlen(name), 63, ALPHANUMERIC "-_.") && !is_reserved(s);
}

static bool is_label_value(const char *s)
{
	return *s == '\0' || is_word(s, strlen(s), 63, ALPHANUMERIC "-_.");
}

/* region, region/zone, or region/zone/subzone */
static bool is_locality(const char *s)
{
	int parts = 0;

	if (strlen(s) > 2048)
		return false;
	for (;; s++) {
		size_t len = strcspn(s, "/");

		if (len == 0 || ++parts > 3)
			return false;
		s += len;
		if (*s == '\0')
			return true;
	}
}

#define TEXT(words, predicate)                                                                     \
	{                                                                                          \
		.right = (words), .kind = JV_KIND_STRING, .holds = (predicate)                     \
	}

/* Names without a dot are what consul2istio makes unless it is told otherwise. */
const struct rule rule_host_suffix = { .right = "a DNS name such as service.consul",
	.kind = JV_KIND_STRING,
	.holds = is_dns_name,
	.may_be_empty = true };
const struct rule rule_name = TEXT("a name", NULL);
const struct rule rule_namespace =
	TEXT("a namespace (lower-case letters, digits and dashes, at most 63)", is_dns_label);
const struct rule rule_api_version =
	TEXT("networking.istio.io/v1, networking.istio.io/v1beta1 or networking.istio.io/v1alpha3",
		is_api_version);
const struct rule rule_port = { .right = "a whole number from 1 to 65535",
	.kind = JV_KIND_NUMBER,
	.whole = true,
	.min = 1,
	.max = 65535 };
const struct rule rule_port_name =
	TEXT("lower-case letters, digits and dashes, at most 62", is_port_name);
const struct rule rule_protocol =
	TEXT("http, http2, https, grpc, grpc-web, http_proxy, tls, tcp, udp, mongo, redis or mysql",
		is_protocol);
const struct rule rule_location = TEXT("MESH_INTERNAL or MESH_EXTERNAL", is_location);
const struct rule rule_resolution = TEXT("STATIC, DNS, DNS_ROUND_ROBIN or NONE", is_resolution);
const struct rule rule_address = TEXT("an IP address or a block such as 10.0.0.0/8", is_address);
const struct rule rule_export_to =
	TEXT("a namespace, '.' (its own), '*' (all) or '~' (none)", is_export_to);
const struct rule rule_health = TEXT("warning or passing", is_health);
const struct rule rule_bool = { .right = "true or false", .kind = JV_KIND_TRUE };
const struct rule rule_percent = {
	.right = "a number from 0 to 100", .kind = JV_KIND_NUMBER, .min = 0, .max = 100
};
const struct rule rule_pattern = TEXT("a name, in which * and ? stand for others", NULL);
const struct rule rule_label_key =
	TEXT("a label's key (not meshpipe.io/..., and for security.istio.io/tlsMode there is "
	     "tlsMode)",
		is_label_key);
const struct rule rule_label_value = {
	.right = "a label's value (letters, digits, '-', '_' and '.', at most 63)",
	.kind = JV_KIND_STRING,
	.holds = is_label_value,
	.may_be_empty = true,
};
const struct rule rule_locality = TEXT("region, region/zone or region/zone/subzone", is_locality);
const struct rule rule_service_account = TEXT(
	"a service account's name (lower-case letters, digits, '-' and '.')", is_service_account);
const struct rule rule_tls_mode = TEXT("istio or disabled", is_tls_mode);

bool rule_holds(const struct rule *rule, jv value)
{
	const char *text = jvx_str(value, "");
	double number;

	if (rule->kind == JV_KIND_TRUE)
		return jvx_is(value, JV_KIND_TRUE) || jvx_is(value, JV_KIND_FALSE);
	if (!jvx_is(value, rule->kind))
		return false;
	if (rule->kind == JV_KIND_NUMBER) {
		number = jv_number_value(value);
		return number >= rule->min && number <= rule->max &&
		       !(rule->whole && number != floor(number));
	}
	if (*text == '\0')
		return rule->may_be_empty;
	return rule->holds == NULL || rule->holds(text);
}

const char *rule_hint(const struct rule *rule, jv value)
{
	const char *text = jvx_str(value, "");

	if (jvx_is(value, JV_KIND_STRING) && *text != '\0') {
		if (rule->kind == JV_KIND_NUMBER && text[strspn(text, DIGITS)] == '\0')
			return ", without quotes";
		if (rule->kind == JV_KIND_TRUE &&
			(strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
			return ", without quotes";
	}
	/* ~ without quotes is null. */
	if (rule->kind == JV_KIND_STRING &&
		(jvx_is(value, JV_KIND_NULL) || jvx_is(value, JV_KIND_NUMBER) ||
			jvx_is(value, JV_KIND_TRUE) || jvx_is(value, JV_KIND_FALSE)))
		return ", in quotes";
	return "";
}
