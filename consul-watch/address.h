/*
 * address: where Consul listens, in the forms that its own tools take
 * (hashicorp/consul api/api.go): host:port, http://host:port, https://host:port,
 * unix:///path, each with an optional path prefix behind host:port (since 1.13).
 * Several, separated by commas, are agents of the same catalogue.
 */
#ifndef MESHPIPE_CONSUL_ADDRESS_H
#define MESHPIPE_CONSUL_ADDRESS_H

#include <curl/curl.h>

#include "lib/err.h"

#define CONSUL_DEFAULT_ADDRESS "127.0.0.1:8500"

struct address {
	char *base_url; /* "http://host:port/prefix", no slash at the end; for messages too */
	char *socket;	/* path of the Unix socket, or NULL */
	bool tls;
	bool local; /* this machine: a Unix socket, localhost, 127.0.0.0/8, ::1 */
	/* What requests are made with: base_url, unless the certificate has another name. */
	char *url;
	struct curl_slist *connect_to; /* of CURLOPT_CONNECT_TO, or NULL */
};

struct address_list {
	struct address *item;
	size_t count; /* at least 1 */
};

/*
 * `force_tls`: CONSUL_HTTP_SSL was true; neither http:// nor unix:// takes it back. EXIT_USAGE;
 * the message shows no user and no password.
 */
int address_list_parse(
	const char *text, bool force_tls, struct address_list *ret, struct err *err) NODISCARD;
void address_list_release(struct address_list *list);

/* The certificates of all servers are for `name`, not for the hosts of their addresses. */
int address_list_set_server_name(
	struct address_list *list, const char *name, struct err *err) NODISCARD;

#endif
