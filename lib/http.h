/*
 * http: many HTTP requests at once, on libcurl's multi interface and a libuv
 * loop (curl_multi_socket_action; curl_multi_poll is 25 times dearer at 4,000
 * idle requests).
 *
 * Redirects are never followed and paths are sent as they are written: Consul
 * answers odd service names with a redirect to another service. Only http and
 * https are spoken. The answer's body is bounded by max_body, or handed on as it comes.
 */
#ifndef MESHPIPE_HTTP_H
#define MESHPIPE_HTTP_H

#include <curl/curl.h>
#include <uv.h>

#include "lib/base.h"
#include "lib/err.h"

struct http;
struct http_call;

struct http_config {
	long max_connections; /* to one host; requests beyond it wait in libcurl; 0: no limit */
	/*
	 * Over HTTP/2 too, instead of as many as requests need of 250 streams each: for few requests
	 * that last, to a server that may allow fewer streams.
	 */
	bool keep_limit;
	long connect_timeout_ms;
	/* Called once for each new easy handle: TLS files, socket path, user agent. May be NULL. */
	void (*on_new_handle)(CURL *easy, void *arg);
	void *arg;
};

struct http_reply {
	CURLcode result;   /* CURLE_OK: there is a status */
	const char *error; /* what went wrong below HTTP, "" when nothing did */
	long status;
	long http_version; /* CURL_HTTP_VERSION_2_0 when multiplexed */
	bool fresh;	   /* a connection was made for it */
	const char *body;  /* NUL-terminated, valid during the callback */
	size_t body_len;
	int64_t elapsed_ms;
	CURL *easy; /* for http_header only */
};

struct http_request {
	const char *method; /* NULL: GET */
	const char *url;
	struct curl_slist *headers; /* stays the caller's, until the call is done */
	const char *body;	    /* the same; NULL: none */
	long timeout_ms;	    /* of the whole call; 0 for none */
	size_t max_body;
	long buffer_bytes; /* held all the time until the call is done; 0: 16 KB */
	/*
	 * Where it is set, it gets the body of an answer of status 200 piece by piece, and
	 * max_body is for the others. False ends the call with CURLE_WRITE_ERROR. It must
	 * not start, cancel or close anything of `http`.
	 */
	bool (*on_data)(void *arg, const char *data, size_t len);
	/* Called once, never from inside http_send or http_cancel. */
	void (*on_done)(void *arg, const struct http_reply *reply);
	void *arg;
};

struct http *http_open(
	uv_loop_t *loop, const struct http_config *config, struct err *err) NODISCARD;

/* Drops all calls without their callbacks. Memory goes when the loop ran its close callbacks. */
void http_close(struct http *h);

/* Starts a request. The url is copied. Owned by `h`; valid until on_done. NULL on failure. */
struct http_call *http_send(
	struct http *h, const struct http_request *request, struct err *err) NODISCARD;

/* Drops a call without its callback. */
void http_cancel(struct http_call *call);

/* Of the answer whose headers have come; 0 before. */
long http_status(const struct http_call *call);

/* Sets the config's max_connections anew. Connections that stand are left alone. */
void http_limit(struct http *h, long max_connections);

/* Connections that carry a request now. */
unsigned http_connections(const struct http *h);

/* The settings of on_new_handle have changed: handles that were made before are not used again. */
void http_refresh(struct http *h);

/* Text of a header of the reply, names in any case; NULL when absent. Valid during the callback. */
const char *http_header(const struct http_reply *reply, const char *name);

/* The same of the one with this number, from 0 on, where there are several. */
const char *http_header_at(const struct http_reply *reply, const char *name, size_t number);

/* Percent-encodes everything but the unreserved characters of RFC 3986. */
char *http_escape(const char *text) NODISCARD;

#endif
