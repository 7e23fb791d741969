/*
 * selection: which services of a catalogue, and which of their instances, are watched.
 *
 * Names are matched as shell patterns; all else is asked of each entry of
 * /v1/health/service/:name, whose fields are
 * https://developer.hashicorp.com/consul/api-docs/health#list-nodes-for-service
 * Only the filter expression is left to the server.
 */
#ifndef MESHPIPE_CONSUL_SELECTION_H
#define MESHPIPE_CONSUL_SELECTION_H

#include "lib/buf.h"
#include "lib/jvx.h"
#include "lib/opt.h"

struct selection;

struct selection_config {
	struct opt_list services;  /* shell patterns; none: all but `consul` */
	struct opt_list excluded;  /* shell patterns, which go before those of `services` */
	struct opt_list tags;	   /* an instance must have all */
	struct opt_list node_meta; /* KEY=VALUE; its node must have all */
	struct opt_list kinds;	   /* as Consul has them; `typical`: without a kind; `any` */
	const char *filter;	   /* an expression of Consul's, or NULL */
	const char *opt_in;	   /* KEY=VALUE as a tag or in the meta; KEY: KEY=true; or NULL */
	bool from_kubernetes;	   /* also what Kubernetes synced into Consul */
};

/* The config's strings must stay valid, its lists need not. NULL with EXIT_USAGE. */
struct selection *selection_open(const struct selection_config *config, struct err *err) NODISCARD;
void selection_close(struct selection *s);

/* One name of the list of services. */
bool selection_takes_name(const struct selection *s, const char *service);

/* One entry of the answer of /v1/health/service/:name. Allocates nothing. */
bool selection_takes_entry(const struct selection *s, jv entry);

/* The expression that goes with each query on a service; NULL for none. */
const char *selection_filter(const struct selection *s);

/*
 * Appends what is selected, for the `scope` of a record: the same selection
 * gives the same words, in whatever order and how often its options were
 * given, and no other selection does. -1 when the buffer is full.
 */
int selection_describe(const struct selection *s, struct buf *scope) NODISCARD;

#endif
