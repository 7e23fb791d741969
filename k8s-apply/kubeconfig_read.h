/*
 * kubeconfig_read: from an entry of a kubeconfig to what we need of it. For kubeconfig*.c only.
 */
#ifndef MESHPIPE_KUBECONFIG_READ_H
#define MESHPIPE_KUBECONFIG_READ_H

#include "k8s-apply/kubeconfig.h"
#include "k8s-apply/kubeconfig_merge.h"

/* `field`-data inline, else the file `field`. Leaves both NULL when neither is given. */
int kubeconfig_read_pem(const struct kubeconfig_entry *e, const char *field, char **ret_pem,
	char **ret_path, struct err *err) NODISCARD;

/* Credentials, and as whom they act. */
int kubeconfig_read_user(
	const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err) NODISCARD;

#endif
