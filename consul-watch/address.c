#include "consul-watch/address.h"

#include <arpa/inet.h>
#include <string.h>

/* What stands before an '@' may be a password. */
static int fail(const char *text, struct err *err)
{
	const char *at = strrchr(text, '@');

	if (at != NULL)
		return err_set(err, EXIT_USAGE,
			"'...%s' is no address of consul (write no user into it but into "
			"CONSUL_HTTP_AUTH)",
			at);
	return err_set(err, EXIT_USAGE,
		"'%s' is no address of consul (write host:port, http://host:port, "
		"https://host:port or unix:///path)",
		text);
}

static bool is_loopback(const char *host)
{
	struct in_addr in;
	struct in6_addr in6;
	char bare[64]; /* longer than any such name */

	snprintf(bare, sizeof(bare), "%s", host + (*host == '['));
	bare[strcspn(bare, "]")] = '\0';
	if (inet_pton(AF_INET, bare, &in) == 1)
		return ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET;
	if (inet_pton(AF_INET6, bare, &in6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&in6);
	return strcasecmp(bare, "localhost") == 0;
}

/* A port that is none would otherwise look like an agent that is away, for ever. */
static bool is_url(const char *text, bool *ret_local)
{
	CURLU *url = curl_url();
	char *host = NULL;
	bool good = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
		    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;

	*ret_local = good && is_loopback(host);
	curl_free(host);
	curl_url_cleanup(url);
	return good;
}

static int parse_socket(const char *text, bool tls, struct address *ret, struct err *err)
{
	const char *path = text + strlen("unix://");

	if (*path != '/')
		return fail(text, err);
	/* The host is never looked up; Consul's own client sends the same. */
	*ret = (struct address){
		.base_url = xasprintf("%s://127.0.0.1", tls ? "https" : "http"),
		.socket = xstrdup(path),
		.tls = tls,
		.local = true,
	};
	return 0;
}

static void address_release(struct address *a)
{
	free(a->base_url);
	free(a->socket);
	free(a->url);
	curl_slist_free_all(a->connect_to);
	*a = (struct address){ .base_url = NULL };
}

static int parse_one(const char *text, bool tls, struct address *ret, struct err *err)
{
	const char *rest = text;
	size_t len;

	if (str_starts(text, "unix://"))
		return parse_socket(text, tls, ret, err);
	if (strstr(text, "://") != NULL) {
		if (!str_starts(text, "http://") && !str_starts(text, "https://"))
			return fail(text, err);
		rest = strstr(text, "://") + 3;
	}
	tls = tls || str_starts(text, "https://");
	len = strlen(rest);
	while (len > 0 && rest[len - 1] == '/')
		len--;
	if (len == 0 || strpbrk(rest, " \t\r\n?#@") != NULL || *rest == '/')
		return fail(text, err);
	*ret = (struct address){
		.base_url = xasprintf("%s://%.*s", tls ? "https" : "http", (int)len, rest),
		.tls = tls,
	};
	if (is_url(ret->base_url, &ret->local))
		return 0;
	address_release(ret);
	return fail(text, err);
}

int address_list_parse(const char *text, bool force_tls, struct address_list *ret, struct err *err)
{
	struct address_list list = { .item = NULL };
	cleanup_free char *copy = xstrdup(text);
	char *rest = copy, *one;

	while ((one = strsep(&rest, ",")) != NULL) {
		struct address *a;

		list.item = xrealloc(list.item, list.count + 1, sizeof(*list.item));
		a = &list.item[list.count];
		if (parse_one(str_trim(one), force_tls, a, err) < 0) {
			address_list_release(&list);
			return -1;
		}
		a->url = xstrdup(a->base_url);
		list.count++;
	}
	*ret = list;
	return 0;
}

void address_list_release(struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		address_release(&list->item[i]);
	free(list->item);
	*list = (struct address_list){ .item = NULL };
}

/*
 * libcurl checks the certificate against the host of the URL, so the server
 * name goes there and CURLOPT_CONNECT_TO leads back to the real host.
 */
static int set_server_name(struct address *a, const char *name, struct err *err)
{
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL, *text = NULL;
	int rc = -1;

	if (url != NULL && curl_url_set(url, CURLUPART_URL, a->base_url, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
		cleanup_free char *to = xasprintf("::%s:%s", host, port);

		a->connect_to = curl_slist_append(NULL, to);
		free(a->url);
		a->url = xstrdup(text);
		if (str_ends(a->url, "/"))
			a->url[strlen(a->url) - 1] = '\0';
		rc = 0;
	} else {
		err_set(err, EXIT_CONFIG, "'%s' cannot stand as TLS server name", name);
	}
	curl_free(host);
	curl_free(port);
	curl_free(text);
	curl_url_cleanup(url);
	return rc;
}

int address_list_set_server_name(struct address_list *list, const char *name, struct err *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->item[i].tls && set_server_name(&list->item[i], name, err) < 0)
			return -1;
	return 0;
}
