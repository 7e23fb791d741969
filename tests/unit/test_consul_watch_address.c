#include "consul-watch/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void addresses_in_every_form(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool force_tls, tls;
		const char *base_url, *socket;
	} rows[] = {
		{ "127.0.0.1:8500", false, false, "http://127.0.0.1:8500", NULL },
		{ "127.0.0.1:8500", true, true, "https://127.0.0.1:8500", NULL },
		{ "consul", false, false, "http://consul", NULL },
		{ "http://consul:8500", false, false, "http://consul:8500", NULL },
		/* Consul's own client: the scheme does not take CONSUL_HTTP_SSL back. */
		{ "http://consul:8500", true, true, "https://consul:8500", NULL },
		{ "https://consul:8501", false, true, "https://consul:8501", NULL },
		{ "https://consul", true, true, "https://consul", NULL },
		{ "[::1]:8500", false, false, "http://[::1]:8500", NULL },
		{ "http://consul:8500/", false, false, "http://consul:8500", NULL },
		{ "http://proxy/some/prefix//", false, false, "http://proxy/some/prefix", NULL },
		{ "proxy:80/prefix", false, false, "http://proxy:80/prefix", NULL },
		{ "unix:///run/consul.sock", false, false, "http://127.0.0.1", "/run/consul.sock" },
		{ "unix:///run/a b", true, false, "http://127.0.0.1", "/run/a b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address a = { .base_url = NULL };
		struct err err = ERR_INIT;

		assert_int_equal(address_parse(rows[i].text, rows[i].force_tls, &a, &err), 0);
		assert_string_equal(a.base_url, rows[i].base_url);
		if (rows[i].socket == NULL)
			assert_null(a.socket);
		else
			assert_string_equal(a.socket, rows[i].socket);
		assert_int_equal(a.tls, rows[i].tls);
		address_release(&a);
		address_release(&a);
	}
}

static void what_is_no_address(void **state UNUSED)
{
	static const char *const texts[] = { "", "http://", "https://", "http:///v1", "/v1", "///",
		"ftp://consul", "consul://x", "://x", "HTTP://consul", "unix://", "unix://run/x",
		"a b", "a\tb", "a\nb", "host?x=1", "host#x", "user:pw@host",
		"http://user@host:8500", "host:port", "host:99999", "host:-1", "[::1",
		"::1:8500:x" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct address a = { .base_url = NULL };
		struct err err = ERR_INIT;

		if (address_parse(texts[i], false, &a, &err) == 0)
			fail_msg("taken: '%s' as %s", texts[i], a.base_url);
		assert_int_equal(err.status, EXIT_USAGE);
		assert_non_null(strstr(err.msg, "is no address of consul (write "));
		address_release(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_in_every_form),
		cmocka_unit_test(what_is_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
