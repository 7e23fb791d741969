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
 *
 * Of several addresses one is in use. Files of tokens and certificates are read again when
 * they change, see credentials.h. No proxy comes between us and an agent of this machine.
 */
#ifndef MESHPIPE_CONSUL_H
#define MESHPIPE_CONSUL_H

#include <uv.h>

#include "consul-watch/address.h"
#include "consul-watch/credentials.h"
#include "lib/jvx.h"

struct consul;

struct consul_config {
	const char *addresses; /* see address.h */
	struct credentials_config credentials;
	const char *auth; /* user:password of HTTP basic authentication, or NULL */
	const char *tls_server_name;
	bool tls; /* CONSUL_HTTP_SSL */
	bool tls_no_verify;
	long max_connections;
};

/* As few as a watcher can do with. */
#define CONSUL_MIN_CONNECTIONS 4

/* Which of the catalogues behind the address; each NULL for the agent's own. */
struct consul_catalog {
	const char *datacenter;
	const char *namespace; /* of Consul Enterprise, as is the partition */
	const char *partition;
	const char *peer;
};

enum consul_consistency { CONSUL_STALE, CONSUL_DEFAULT, CONSUL_CONSISTENT };

enum consul_outcome {
	CONSUL_OK,
	CONSUL_UNREACHABLE, /* no HTTP answer */
	CONSUL_CROWDED,	    /* the agent allows this address no more connections */
	CONSUL_LIMITED,	    /* 429: too many requests */
	CONSUL_FAILED,	    /* an answer that is no data: 5xx, not JSON, no index */
	CONSUL_REFUSED,	    /* 401, 403 */
	CONSUL_IMPOSSIBLE,  /* 3xx, 400: asking again will not help */
};

struct consul_answer {
	enum consul_outcome outcome;
	char error[512]; /* "" when CONSUL_OK */
	jv body;	 /* borrowed; invalid unless CONSUL_OK, and when unchanged */
	bool unchanged;	 /* the body has the known_hash of the query */
	uint64_t body_hash;
	uint64_t index;
	bool early; /* a blocking query that ended well before its wait */
	bool streaming;
	bool no_leader;	  /* said so, and not by a stream */
	bool filtered;	  /* X-Consul-Results-Filtered-By-ACLs */
	bool multiplexed; /* came over HTTP/2 */
	int64_t elapsed_ms;
	int64_t at_ms;		/* time of day of the answer */
	int64_t retry_after_ms; /* of a 429 or 503: not before; at most 5 minutes; 0: not said */
	const char *from;	/* the address, for messages */
	unsigned era;		/* for consul_is_current and consul_fail_over */
};

struct consul_query {
	const char *path; /* below the address, escaped: "/v1/catalog/services" */
	const struct consul_catalog *catalog; /* NULL: the agent's own */
	const char *filter;		      /* an expression of Consul's, or NULL */
	const char *tag;		      /* only instances with it, or NULL */
	uint64_t index;	 /* blocks until the index is higher; 0: answers at once */
	int64_t wait_ms; /* of a blocking query; the server adds up to a sixteenth */
	enum consul_consistency consistency;
	bool unindexed; /* the endpoint gives no index: /v1/agent and the like */
	/* body_hash of an earlier answer: the same bytes are not parsed again. 0: none. */
	uint64_t known_hash;
	void (*on_answer)(void *arg, const struct consul_answer *answer);
	void *arg;
};

/* The config's strings must stay valid. NULL with EXIT_USAGE or EXIT_CONFIG. */
struct consul *consul_open(
	uv_loop_t *loop, const struct consul_config *config, struct err *err) NODISCARD;

/* Drops all queries without their callbacks. Memory goes when the loop ran its close callbacks. */
void consul_close(struct consul *c);

/* Calls on_answer once, later. */
int consul_ask(struct consul *c, const struct consul_query *query, struct err *err) NODISCARD;

/* How many connections there may be now: as configured, or fewer, see crowd.h. */
long consul_connections(const struct consul *c);
bool consul_is_crowded(const struct consul *c);

/* Reads the token file again. The old token stays when that fails. */
int consul_reload_token(struct consul *c, struct err *err) NODISCARD;

/*
 * Was it asked of the address that is in use now, with the token in use now? What was not ends
 * soon, as unreachable: an agent that hangs is not waited for, and a view that a deleted token
 * has opened shows the same for ever.
 */
bool consul_is_current(const struct consul *c, const struct consul_answer *answer);

/*
 * The catalogue could not be read, see `answer`: goes on to the next address, unless it is
 * the only one, or another one is in use already, or the server's answer would be the same
 * anywhere. True when the address in use was never tried before: worth asking at once.
 */
bool consul_fail_over(struct consul *c, const struct consul_answer *answer);

/* The address in use, for messages: no secret in it. */
const char *consul_address(const struct consul *c);

#endif
