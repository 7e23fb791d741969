/*
 * consul: one Consul agent's HTTP API, read only.
 *
 * Knows how to ask (address, token, TLS, blocking queries) and how to judge an
 * answer; what follows from it is decided elsewhere. Facts about the protocol:
 * https://developer.hashicorp.com/consul/api-docs/features/blocking
 *
 * - An error answer carries an X-Consul-Index too (of 1): it is read from 200 only.
 * - Since 1.10 a blocking query on /v1/health/service is answered from a view
 *   that a stream feeds ("streaming"). An empty view that never got its first
 *   snapshot says 200, [] and index 1: that is an error, not data. Streaming
 *   answers always say that there is no known leader: nothing is concluded.
 * - Redirects are answers to odd service names (`a//b`, `..`): not followed.
 */
#ifndef MESHPIPE_CONSUL_H
#define MESHPIPE_CONSUL_H

#include <uv.h>

#include "consul-watch/address.h"
#include "lib/jvx.h"

struct consul;

struct consul_config {
	const char *address;	/* see address.h */
	const char *token;	/* or NULL */
	const char *token_file; /* wins over token; or NULL */
	const char *auth;	/* user:password of HTTP basic authentication, or NULL */
	const char *ca_file, *ca_path;
	const char *client_cert, *client_key;
	const char *tls_server_name;
	const char *datacenter, *namespace, *partition; /* or NULL */
	bool tls;					/* CONSUL_HTTP_SSL */
	bool tls_no_verify;
	long max_connections;
};

enum consul_consistency { CONSUL_STALE, CONSUL_DEFAULT, CONSUL_CONSISTENT };

enum consul_outcome {
	CONSUL_OK,
	CONSUL_UNREACHABLE, /* no HTTP answer */
	CONSUL_FAILED,	    /* an answer that is no data: 5xx, 429, not JSON, no index */
	CONSUL_REFUSED,	    /* 401, 403 */
	CONSUL_IMPOSSIBLE,  /* 3xx, 400: asking again will not help */
};

struct consul_answer {
	enum consul_outcome outcome;
	char error[512]; /* "" when CONSUL_OK */
	jv body;	 /* borrowed; invalid unless CONSUL_OK */
	uint64_t index;
	bool streaming;
	bool no_leader;	  /* said so, and not by a stream */
	bool filtered;	  /* X-Consul-Results-Filtered-By-ACLs */
	bool multiplexed; /* came over HTTP/2 */
	int64_t elapsed_ms;
	int64_t at_ms; /* time of day of the answer */
};

struct consul_query {
	const char *path; /* below the address, escaped: "/v1/catalog/services" */
	uint64_t index;	  /* blocks until the index is higher; 0: answers at once */
	int64_t wait_ms;  /* of a blocking query; the server adds up to a sixteenth */
	enum consul_consistency consistency;
	bool unindexed; /* the endpoint gives no index: /v1/agent and the like */
	void (*on_answer)(void *arg, const struct consul_answer *answer);
	void *arg;
};

/* The config's strings must stay valid. NULL with EXIT_USAGE or EXIT_CONFIG. */
struct consul *consul_open(
	uv_loop_t *loop, const struct consul_config *config, struct err *err) NODISCARD;

/* Drops all queries without their callbacks. */
void consul_close(struct consul *c);

/* Calls on_answer once, later. */
int consul_ask(struct consul *c, const struct consul_query *query, struct err *err) NODISCARD;

/* Reads the token file again. The old token stays when that fails. */
int consul_reload_token(struct consul *c, struct err *err) NODISCARD;

/* The address for messages: no secret in it. */
const char *consul_address(const struct consul *c);

#endif
