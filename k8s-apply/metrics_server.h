/*
 * metrics_server: what monitoring asks over HTTP, answered from the loop: /metrics, /healthz
 * and /readyz. That /healthz is answered at all shows that the loop turns.
 */
#ifndef MESHPIPE_METRICS_SERVER_H
#define MESHPIPE_METRICS_SERVER_H

#include <uv.h>

#include "lib/err.h"

struct metrics_server;

struct metrics_server_handler {
	/* The text of /metrics; NULL: there is none. Owned by the caller. */
	char *(*on_metrics)(void *arg);
	/* Why it is not ready, in words; NULL: it is. Owned by the caller. */
	char *(*on_ready)(void *arg);
	void *arg;
};

/* `address` as listen.h has it; the log says where it listens. */
struct metrics_server *metrics_server_open(uv_loop_t *loop, const char *address,
	const struct metrics_server_handler *handler, struct err *err) NODISCARD;

/* Nobody is answered any more. NULL is allowed. */
void metrics_server_close(struct metrics_server *s);

#endif
