/*
 * watch: follows one Consul catalogue and says what it holds.
 *
 * One blocking query stands on the list of services and one on each service,
 * as long as they fit the connection budget; beyond it a few queries on the whole
 * catalogue tell that, and often where, something changed. A service is said when its content differs from what was said
 * last, and again in each snapshot.
 *
 * Nothing is believed to be gone on one answer: a service without instances is
 * said only after a consistent read of the list, itself above suspicion, lacks
 * it and a consistent read of the service agrees, with an index that moved. A
 * list without anything, or one that lost `consul`, is a lost token.
 */
#ifndef MESHPIPE_CONSUL_WATCH_H
#define MESHPIPE_CONSUL_WATCH_H

#include <uv.h>

#include "consul-watch/consul.h"
#include "consul-watch/selection.h"
#include "lib/out.h"

/* The list, a confirming read and one read of a service must fit beside the blocking queries. */
#define WATCH_MIN_CONNECTIONS CONSUL_MIN_CONNECTIONS

struct watch;

struct watch_config {
	const char *source; /* name in the records; NULL: the datacenter */
	struct consul_catalog catalog;
	const struct selection *selection;
	enum consul_consistency consistency;
	size_t sources;	 /* that share the connections of `consul` */
	int64_t wait_ms; /* of a blocking query; 0: as the connection allows */
	int64_t gone_after_ms;
	int64_t resync_ms;
	bool once;
	int64_t timeout_ms; /* with once: 0 ends at the first failure */
};

/* Called once, when a `once` is done (err NULL) or failed. */
typedef void (*watch_end_fn)(void *arg, const struct err *err);

/* `consul`, and the config's strings and selection, stay the caller's; output is set by watch_set_output. */
struct watch *watch_open(uv_loop_t *loop, struct consul *consul, const struct watch_config *config,
	watch_end_fn on_end, void *arg) NODISCARD;
void watch_close(struct watch *w);

/* Where records go. Call it before the loop runs. */
void watch_set_output(struct watch *w, struct out *out);

/* Writes what waits, as far as the output has room. */
void watch_flush(struct watch *w);

/* Reads everything and says it all again, as a new snapshot. */
void watch_refresh(struct watch *w);

#endif
