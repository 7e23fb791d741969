#include "mesh-map/check_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TEN   "aaaaaaaaaa"
#define SIXTY TEN TEN TEN TEN TEN TEN

struct row {
	bool (*is)(const char *s);
	const char *yes[16], *no[16];
};

static const struct row rows[] = {
	{ text_is_dns_label, { "a", "0", "a-b", SIXTY "aaa" },
		{ "", "A", "-a", "a-", "a_b", "a.b", "\u00e9", "a\n", SIXTY "aaaa" } },
	{ text_is_dns_subdomain,
		{ "a", "a.b", "0.1", SIXTY SIXTY, SIXTY SIXTY SIXTY SIXTY TEN "aaa" },
		{ "", ".", "a.", ".a", "a..b", "A.b", "a.-b", "a_b",
			SIXTY SIXTY SIXTY SIXTY TEN "aaaa" } },
	{ text_is_label_key, { "a", "A_b.c-d", "x.io/A", SIXTY "aaa", "a/" SIXTY "aaa" },
		{ "", "/a", "a/", "a/b/c", "X.io/a", "_a", "a_", SIXTY "aaaa", "x/" SIXTY "aaaa",
			"a b", "\u00e9" } },
	{ text_is_annotation_key, { "X.io/A" }, { "X_y/a", "" } },
	{ text_is_label_value, { "", "A_b.c", SIXTY "aaa" }, { "-", "a b", "a/b", SIXTY "aaaa" } },
	{ text_is_tag_key, { "X.io/A", "a" }, { "x_y/a", "/a", "a/b/c" } },
	{ text_is_tag_value, { "", SIXTY SIXTY }, { "a b", "a:", "_a" } },
	{ text_is_istio_label, { "A", "0", SIXTY "aaa" }, { "", "-", "a.b", SIXTY "aaaa" } },
	{ text_is_fqdn,
		{ "a", "A.b", "a.b.", "1.a", "a.99999999999999999999", SIXTY "aaa." SIXTY "aaa",
			SIXTY "." SIXTY "." SIXTY "." SIXTY "." TEN "a" },
		{ "", ".", "..", "a..", "a..b", "1", "a.1", "-a.b", "a_b.c", "*.a", SIXTY "aaaa",
			SIXTY "." SIXTY "." SIXTY "." SIXTY "." TEN "aa" } },
	{ text_is_wildcard, { "*", "*.a", "*a.b", "*-a.b", "a.b.", "1", "a" },
		{ "", "**", "*-", "a.*", "a*.b", "*.1", "a.b*" } },
	{ text_is_ip,
		{ "10.0.0.1", "::", "::1", "2001:DB8::1", "fe80::1%eth0", "::ffff:10.0.0.1",
			"1:2:3:4:5:6:7:8", "1::8" },
		{ "", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1%a", "fe80::1%", "[::1]",
			"10.0.0.1/8", "1:2:3:4:5:6:7:8:9", "::1::", "12345::", "10.0.0.1\n" } },
	{ text_is_ip_or_network, { "10.0.0.1", "10.0.0.0/8", "10.1.2.3/0", "::/0", "::1/128" },
		{ "", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/+8",
			"10.0.0.0/8/8", "fe80::%a/8", "/8", "10.0.0.0/a" } },
};

static void texts_are_told_apart(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (const char *const *s = rows[i].yes; *s != NULL; s++)
			if (!rows[i].is(*s))
				fail_msg("row %zu: '%s' is refused", i, *s);
		for (const char *const *s = rows[i].no; *s != NULL; s++)
			if (rows[i].is(*s))
				fail_msg("row %zu: '%s' is accepted", i, *s);
	}
}

static void length_counts_characters(void **state UNUSED)
{
	assert_int_equal(text_length(""), 0);
	assert_int_equal(text_length("a\u00e9\u5b66\U0001f642"), 4);
}

static void durations_are_read_as_go_does(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "1s", 1000000000 },
		{ "1.5s", 1500000000 },
		{ ".5s", 500000000 },
		{ "1.s", 1000000000 },
		{ "-1ms", -1000000 },
		{ "+1us", 1000 },
		{ "1\u00b5s", 1000 },
		{ "1h2m3s", 3723000000000 },
		{ "1.0000000001s", 1000000000 },
		{ "2562047h", 2562047LL * 3600000000000LL },
	};
	static const char *const bad[] = { "", "1", "s", ".s", "1.2.3s", "1 s", "1d", "-", "1s2",
		"2562048h", "99999999999999999999s" };
	int64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(text_duration(good[i].text, &ns));
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(text_duration(bad[i], &ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_told_apart),
		cmocka_unit_test(length_counts_characters),
		cmocka_unit_test(durations_are_read_as_go_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
