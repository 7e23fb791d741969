/*
 * kubeconfig_override: what the command line says in place of fields of a cluster and of a user.
 * For kubeconfig.c only.
 */
#ifndef MESHPIPE_KUBECONFIG_OVERRIDE_H
#define MESHPIPE_KUBECONFIG_OVERRIDE_H

#include <jv.h>

#include "k8s-apply/kubeconfig.h"

/* In place. An authority, and that none is asked, replace each other. */
void kubeconfig_override_cluster(const struct kubeconfig_request *request, jv *body);

/* A certificate or a token takes the place of all that says the same. -1: EXIT_USAGE. */
int kubeconfig_override_user(
	const struct kubeconfig_request *request, jv *body, struct err *err) NODISCARD;

#endif
