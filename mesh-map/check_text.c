#include "mesh-map/check_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define MAX_LABEL     63
#define MAX_SUBDOMAIN 253
#define MAX_DOMAIN    255

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z');
}

static bool is_alnum(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* Begins and ends with one of `edge`, and has those and `inner` between. */
static bool is_made_of(const char *s, size_t len, bool (*edge)(char), const char *inner)
{
	if (len == 0 || !edge(s[0]) || !edge(s[len - 1]))
		return false;
	for (size_t i = 1; i + 1 < len; i++)
		if (!edge(s[i]) && strchr(inner, s[i]) == NULL)
			return false;
	return true;
}

/* Labels with dots between, each of any length. */
static bool are_labels(const char *s, size_t len, bool (*edge)(char))
{
	for (;;) {
		const char *dot = memchr(s, '.', len);
		size_t n = dot != NULL ? (size_t)(dot - s) : len;

		if (!is_made_of(s, n, edge, "-"))
			return false;
		if (dot == NULL)
			return true;
		s += n + 1;
		len -= n + 1;
	}
}

size_t text_length(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

bool text_is_dns_label(const char *s)
{
	size_t len = strlen(s);

	return len <= MAX_LABEL && is_made_of(s, len, is_lower, "-");
}

bool text_is_dns_subdomain(const char *s)
{
	size_t len = strlen(s);

	return len <= MAX_SUBDOMAIN && are_labels(s, len, is_lower);
}

static bool is_key(const char *s, bool (*prefix_edge)(char))
{
	const char *slash = strchr(s, '/');
	const char *name = slash != NULL ? slash + 1 : s;
	size_t len = strlen(name);

	if (slash != NULL && ((size_t)(slash - s) > MAX_SUBDOMAIN ||
				     !are_labels(s, (size_t)(slash - s), prefix_edge)))
		return false;
	return len <= MAX_LABEL && is_made_of(name, len, is_alnum, "-_.");
}

bool text_is_label_key(const char *s)
{
	return is_key(s, is_lower);
}

bool text_is_annotation_key(const char *s)
{
	return is_key(s, is_alnum);
}

bool text_is_tag_key(const char *s)
{
	return is_key(s, is_alnum);
}

bool text_is_tag_value(const char *s)
{
	return *s == '\0' || is_made_of(s, strlen(s), is_alnum, "-_.");
}

bool text_is_label_value(const char *s)
{
	return strlen(s) <= MAX_LABEL && text_is_tag_value(s);
}

static bool is_istio_label(const char *s, size_t len)
{
	return len <= MAX_LABEL && is_made_of(s, len, is_alnum, "-");
}

bool text_is_istio_label(const char *s)
{
	return is_istio_label(s, strlen(s));
}

/* Istio asks strconv.Atoi, to which a number of more than 64 bits is none. */
static bool is_number(const char *s)
{
	if (*s == '\0' || s[strspn(s, "0123456789")] != '\0')
		return false;
	errno = 0;
	(void)strtoll(s, NULL, 10);
	return errno == 0;
}

/* ValidateDNS1123Labels: a dot may end it. */
static bool are_istio_labels(const char *s)
{
	const char *last = strrchr(s, '.');

	if (is_number(last != NULL ? last + 1 : s))
		return false;
	for (;;) {
		size_t n = strcspn(s, ".");

		if (s[n] == '\0')
			return n == 0 || is_istio_label(s, n);
		if (!is_istio_label(s, n))
			return false;
		s += n + 1;
	}
}

bool text_is_fqdn(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= MAX_DOMAIN && are_istio_labels(s);
}

/* "*", a label, or one with "*" or "*-" before it. */
static bool is_wildcard_label(const char *s, size_t len)
{
	if (len > MAX_LABEL)
		return false;
	if (len == 1 && *s == '*')
		return true;
	if (len > 0 && *s == '*') {
		s++;
		len--;
		if (*s == '-') {
			s++;
			len--;
		}
	}
	return is_istio_label(s, len);
}

bool text_is_wildcard(const char *s)
{
	size_t len = strlen(s), first = strcspn(s, ".");

	if (len == 0 || len > MAX_DOMAIN || !is_wildcard_label(s, first))
		return false;
	return s[first] == '\0' || are_istio_labels(s + first + 1);
}

/* Without a zone. */
static bool is_plain_ip(const char *s, size_t len, int *ret_bits)
{
	char copy[INET6_ADDRSTRLEN + 1];
	struct in6_addr addr;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, s, len);
	copy[len] = '\0';
	*ret_bits = strchr(copy, ':') != NULL ? 128 : 32;
	return inet_pton(*ret_bits == 128 ? AF_INET6 : AF_INET, copy, &addr) == 1;
}

bool text_is_ip(const char *s)
{
	size_t len = strcspn(s, "%");
	int bits;

	if (s[len] == '\0')
		return is_plain_ip(s, len, &bits);
	return s[len + 1] != '\0' && is_plain_ip(s, len, &bits) && bits == 128;
}

bool text_is_ip_or_network(const char *s)
{
	const char *slash = strchr(s, '/');
	uint64_t n;
	int bits;

	if (slash == NULL || strchr(slash + 1, '/') != NULL)
		return text_is_ip(s);
	if (slash[1] == '0' && slash[2] != '\0')
		return false;
	return is_plain_ip(s, (size_t)(slash - s), &bits) &&
	       parse_u64(slash + 1, (uint64_t)bits, &n);
}

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\u00b5s", 1000 },
	{ "\u03bcs", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60000000000 },
	{ "h", 3600000000000 },
};

static int64_t unit_at(const char **s)
{
	size_t len = strcspn(*s, ".0123456789");

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len && memcmp(*s, units[i].name, len) == 0) {
			*s += len;
			return units[i].ns;
		}
	return 0;
}

/* One "1.5h"; adds it to *total. A fraction below a nanosecond is dropped, as Go does. */
static bool add_part(const char **s, __int128 *total)
{
	const char *start = *s;
	double fraction = 0, scale = 1;
	__int128 whole = 0;
	size_t digits = 0;
	int64_t unit;

	for (; is_digit(**s); (*s)++, digits++)
		if ((whole = whole * 10 + (**s - '0')) > INT64_MAX)
			return false;
	if (**s == '.')
		for ((*s)++; is_digit(**s); (*s)++, digits++)
			if (scale < 1e18) {
				fraction = fraction * 10 + (**s - '0');
				scale *= 10;
			}
	if (*s == start || digits == 0 || (unit = unit_at(s)) == 0)
		return false;
	*total += whole * unit + (int64_t)(fraction * ((double)unit / scale));
	return *total <= INT64_MAX;
}

bool text_duration(const char *s, int64_t *ret_ns)
{
	bool negative = *s == '-';
	__int128 total = 0;

	if (*s == '-' || *s == '+')
		s++;
	if (strcmp(s, "0") == 0) {
		*ret_ns = 0;
		return true;
	}
	if (*s == '\0')
		return false;
	while (*s != '\0')
		if (!add_part(&s, &total))
			return false;
	*ret_ns = (int64_t)(negative ? -total : total);
	return true;
}
