/*
 * instance: one entry of /v1/health/service/:name to one instance of a record.
 *
 * The shape is that of the `service` record in docs/meshpipe-records.5. Raft
 * indexes, check output and other noise are left out; tags are a sorted set;
 * instances are sorted by node and id: so that equal facts give equal bytes.
 */
#ifndef MESHPIPE_CONSUL_INSTANCE_H
#define MESHPIPE_CONSUL_INSTANCE_H

#include "consul-watch/selection.h"
#include "lib/jvx.h"

/*
 * The instances of an answer's body that are selected. Invalid with a message
 * when the body is no list of health entries.
 */
jv instances_from_health(
	jv body, const char *source, const struct selection *selection, struct err *err) NODISCARD;

/*
 * What is worth knowing of a service when its last instance has gone: {meta,
 * port, ports} of the instance with the lowest port (the first of several),
 * so that its name can keep ports and protocol. Invalid for no instances.
 */
jv instances_last(jv instances) NODISCARD;

/*
 * The worst state of a service's and its node's checks: maintenance, critical,
 * warning, passing. No check at all is passing, an unknown state is critical.
 */
const char *instance_status(jv checks);

#endif
