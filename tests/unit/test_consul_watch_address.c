#include "consul-watch/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void addresses_in_every_form(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool force_tls;
		const char *base_url, *socket;
		bool tls;
	} rows[] = {
		{ "127.0.0.1:8500", false, "http://127.0.0.1:8500", NULL, false },
		{ "127.0.0.1:8500", true, "https://127.0.0.1:8500", NULL, true },
		{ "consul", false, "http://consul", NULL, false },
		{ "http://consul:8500", false, "http://consul:8500", NULL, false },
		/* Consul's own client: the scheme does not take CONSUL_HTTP_SSL back. */
		{ "http://consul:8500", true, "https://consul:8500", NULL, true },
		{ "https://consul:8501", false, "https://consul:8501", NULL, true },
		{ "https://consul", true, "https://consul", NULL, true },
		{ "[::1]:8500", false, "http://[::1]:8500", NULL, false },
		{ "http://consul:8500/", false, "http://consul:8500", NULL, false },
		{ "http://proxy/some/prefix//", false, "http://proxy/some/prefix", NULL, false },
		{ "proxy:80/prefix", false, "http://proxy:80/prefix", NULL, false },
		{ "unix:///run/consul.sock", false, "http://127.0.0.1", "/run/consul.sock", false },
		{ "unix:///run/a b", true, "http://127.0.0.1", "/run/a b", false },
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
