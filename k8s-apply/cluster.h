/*
 * cluster: the target that is a Kubernetes API server.
 *
 * Written with server-side apply only, one request a changed object. The metadata of the
 * objects that carry the set's label is the whole memory; it is listed at start and
 * watched from then on. See ownership.h for what is on an object, parent.h for the set, lease.h
 * for who may write.
 */
#ifndef MESHPIPE_CLUSTER_H
#define MESHPIPE_CLUSTER_H

#include <uv.h>

#include "k8s-apply/kubeconfig.h"
#include "k8s-apply/target.h"

struct cluster_config {
	const struct kubeconfig_request *access;
	const char *namespace; /* of objects without one; NULL: that of the context, or "default" */
	const char *set;       /* name of the set */
	const char *set_namespace; /* where its parent and Lease are; NULL: `namespace` */
	bool lease;		   /* one writer at a time */
	uint64_t qps;		   /* writes of objects a second, with a burst of one; 0: any */
	bool adopt;		   /* take over what is there and nobody's */
	bool force_conflicts;	   /* also fields of it that others have set to something else */
	enum target_use use;
};

/* Handed to target's handler from the loop on. NULL with EXIT_CONFIG when the access is wrong. */
struct target *cluster_open(uv_loop_t *loop, const struct cluster_config *config,
	const struct target_handler *handler, struct err *err) NODISCARD;

/* The namespace of objects that have none. */
const char *cluster_namespace(const struct target *t);

#endif
