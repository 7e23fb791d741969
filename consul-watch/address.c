#include "consul-watch/address.h"

#include <curl/curl.h>
#include <string.h>

static int fail(const char *text, struct err *err)
{
	return err_set(err, EXIT_USAGE,
		"'%s' is no address of consul (write host:port, http://host:port, "
		"https://host:port or unix:///path)",
		text);
}

/* A port that is none would otherwise look like an agent that is away, for ever. */
static bool is_url(const char *text)
{
	CURLU *url = curl_url();
	bool good = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

	curl_url_cleanup(url);
	return good;
}

int address_parse(const char *text, bool force_tls, struct address *ret, struct err *err)
{
	const char *rest = text;
	size_t len;

	if (str_starts(text, "unix://")) {
		rest += strlen("unix://");
		if (*rest != '/')
			return fail(text, err);
		/* The host is never looked up; Consul's own client sends the same. */
		*ret = (struct address){ .base_url = xstrdup("http://127.0.0.1"),
			.socket = xstrdup(rest) };
		return 0;
	}
	if (str_starts(text, "https://"))
		force_tls = true;
	if (strstr(text, "://") != NULL) {
		if (!str_starts(text, "http://") && !str_starts(text, "https://"))
			return fail(text, err);
		rest = strstr(text, "://") + 3;
	}
	len = strlen(rest);
	while (len > 0 && rest[len - 1] == '/')
		len--;
	if (len == 0 || strpbrk(rest, " \t\r\n?#@") != NULL || *rest == '/')
		return fail(text, err);
	*ret = (struct address){
		.base_url = xasprintf("%s://%.*s", force_tls ? "https" : "http", (int)len, rest),
		.tls = force_tls,
	};
	if (is_url(ret->base_url))
		return 0;
	address_release(ret);
	return fail(text, err);
}

void address_release(struct address *a)
{
	free(a->base_url);
	free(a->socket);
	*a = (struct address){ .base_url = NULL };
}
