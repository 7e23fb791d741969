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
		/* An agent can listen for HTTPS on a socket (addresses.https). */
		{ "unix:///run/a b", true, true, "https://127.0.0.1", "/run/a b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address_list list = { .item = NULL };
		struct err err = ERR_INIT;
		const struct address *a;

		assert_int_equal(
			address_list_parse(rows[i].text, rows[i].force_tls, &list, &err), 0);
		assert_int_equal(list.count, 1);
		a = list.item;
		assert_string_equal(a->base_url, rows[i].base_url);
		assert_string_equal(a->url, rows[i].base_url);
		if (rows[i].socket == NULL)
			assert_null(a->socket);
		else
			assert_string_equal(a->socket, rows[i].socket);
		assert_int_equal(a->tls, rows[i].tls);
		address_list_release(&list);
		address_list_release(&list);
	}
}

static void several_addresses_keep_their_order(void **state UNUSED)
{
	struct address_list list = { .item = NULL };
	struct err err = ERR_INIT;

	assert_int_equal(address_list_parse(
				 "a:1, https://b:2/p ,unix:///run/s,http://c", false, &list, &err),
		0);
	assert_int_equal(list.count, 4);
	assert_string_equal(list.item[0].base_url, "http://a:1");
	assert_string_equal(list.item[1].base_url, "https://b:2/p");
	assert_string_equal(list.item[2].socket, "/run/s");
	assert_string_equal(list.item[3].base_url, "http://c");
	/* The certificates are those of one cluster, and so is the name in them. */
	assert_int_equal(address_list_set_server_name(&list, "server.dc1.consul", &err), 0);
	assert_string_equal(list.item[0].url, "http://a:1");
	assert_null(list.item[0].connect_to);
	assert_string_equal(list.item[1].url, "https://server.dc1.consul:2/p");
	assert_string_equal(list.item[1].connect_to->data, "::b:2");
	assert_string_equal(list.item[1].base_url, "https://b:2/p");
	address_list_release(&list);
	assert_int_equal(address_list_parse("https://b:2", false, &list, &err), 0);
	assert_int_equal(address_list_set_server_name(&list, "a b", &err), -1);
	assert_int_equal(err.status, EXIT_CONFIG);
	address_list_release(&list);
}

static void what_is_on_this_machine(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool local;
	} rows[] = {
		{ "127.0.0.1:8500", true },
		{ "127.9.8.7", true },
		{ "https://127.0.0.1:8501/prefix", true },
		{ "localhost:8500", true },
		{ "http://LOCALHOST", true },
		{ "[::1]:8500", true },
		{ "unix:///run/consul.sock", true },
		{ "10.0.0.127:8500", false },
		{ "128.0.0.1", false },
		{ "consul:8500", false },
		{ "localhost.example.com", false },
		{ "127.0.0.1.example.com", false },
		{ "[fe80::1]:8500", false },
		{ "[::ffff:10.0.0.1]", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct address_list list = { .item = NULL };
		struct err err = ERR_INIT;

		assert_int_equal(address_list_parse(rows[i].text, false, &list, &err), 0);
		if (list.item->local != rows[i].local)
			fail_msg("'%s': local is %d", rows[i].text, list.item->local);
		address_list_release(&list);
	}
}

static void what_is_no_address(void **state UNUSED)
{
	static const char *const texts[] = { "", "http://", "https://", "http:///v1", "/v1", "///",
		"ftp://consul", "consul://x", "://x", "HTTP://consul", "unix://", "unix://run/x",
		"a b", "a\tb", "a\nb", "host?x=1", "host#x", "host:port", "host:99999", "host:-1",
		"[::1", "::1:8500:x", ",", "a,", ",a", "a,,b", "a, ,b", "a,ftp://b", "a b,c" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct address_list list = { .item = NULL };
		struct err err = ERR_INIT;

		if (address_list_parse(texts[i], false, &list, &err) == 0)
			fail_msg("taken: '%s' as %s", texts[i], list.item->base_url);
		assert_int_equal(err.status, EXIT_USAGE);
		assert_non_null(strstr(err.msg, "is no address of consul (write "));
		assert_null(list.item);
	}
}

static void a_password_in_an_address_is_refused_and_not_shown(void **state UNUSED)
{
	static const char *const texts[] = { "user:secret@host", "http://user:secret@host:8500",
		"http://secret@host", "a,https://u:secret@b,c", "u:secret@with@host",
		"ftp://u:secret@host", "unix://u:secret@host" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct address_list list = { .item = NULL };
		struct err err = ERR_INIT;

		assert_int_equal(address_list_parse(texts[i], false, &list, &err), -1);
		assert_int_equal(err.status, EXIT_USAGE);
		assert_null(strstr(err.msg, "secret"));
		assert_non_null(strstr(err.msg, "is no address of consul"));
		assert_non_null(strstr(err.msg, "CONSUL_HTTP_AUTH"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_in_every_form),
		cmocka_unit_test(several_addresses_keep_their_order),
		cmocka_unit_test(what_is_on_this_machine),
		cmocka_unit_test(what_is_no_address),
		cmocka_unit_test(a_password_in_an_address_is_refused_and_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
