/*
 * address: where Consul listens, in the forms that its own tools take
 * (hashicorp/consul api/api.go): host:port, http://host:port, https://host:port,
 * unix:///path, each with an optional path prefix behind host:port (since 1.13).
 */
#ifndef MESHPIPE_CONSUL_ADDRESS_H
#define MESHPIPE_CONSUL_ADDRESS_H

#include "lib/err.h"

#define CONSUL_DEFAULT_ADDRESS "127.0.0.1:8500"

struct address {
	char *base_url; /* "http://host:port/prefix", no slash at the end */
	char *socket;	/* path of the Unix socket, or NULL */
	bool tls;
};

/* `force_tls`: CONSUL_HTTP_SSL was true; an explicit http:// does not take it back. */
int address_parse(const char *text, bool force_tls, struct address *ret, struct err *err) NODISCARD;
void address_release(struct address *a);

#endif
