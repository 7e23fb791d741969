/*
 * exec_config: what a kubeconfig says of a command that knows the credentials of a user
 * (client.authentication.k8s.io, which the API calls an exec plugin).
 */
#ifndef MESHPIPE_EXEC_CONFIG_H
#define MESHPIPE_EXEC_CONFIG_H

#include "k8s-apply/kubeconfig_merge.h"

struct kubeconfig;

struct exec_config {
	char *api_version;  /* client.authentication.k8s.io/v1 or /v1beta1 */
	char *command;	    /* looked for in PATH if it has no slash */
	char **argv;	    /* the command first; NULL at the end, as in the next one */
	char **env;	    /* all of its environment, "NAME=VALUE"; NULL before it is described */
	char *install_hint; /* NULL: none */
	char *place;	    /* for messages: "user 'x' of '/home/x/.kube/config': 'exec'" */
	bool provide_cluster;
	jv added; /* to the environment: an array of "NAME=VALUE" */
};

/* NULL with EXIT_CONFIG; also when there is no such command. */
struct exec_config *exec_config_read(
	const struct kubeconfig_entry *exec, struct err *err) NODISCARD;

/* NULL is allowed. */
void exec_config_free(struct exec_config *x);

/* Sets `env`, with KUBERNETES_EXEC_INFO; `cluster` is what the kubeconfig says of it. */
void exec_config_describe(struct exec_config *x, jv cluster, const struct kubeconfig *access);

/* What to run now: looked for in our PATH, whatever it is given, as Go does. NULL: not there. */
char *exec_config_file(const struct exec_config *x) NODISCARD;

/* "cannot be run: No such file or directory; install it with ..."; returns -1. */
int exec_config_fail_missing(const struct exec_config *x, int error, struct err *err);

#endif
