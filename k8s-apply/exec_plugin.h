/*
 * exec_plugin: runs the command of an exec_config when its credential is needed, and keeps that
 * until shortly before it expires.
 *
 * It runs on the loop: nothing waits for it but who asked. There is no shell, standard input is
 * empty, output and time are limited; it and what it has started is killed beyond that. After a
 * failure it is left alone for a growing pause. What has expired already, by our clock, is used for
 * some seconds, as the server may know better.
 */
#ifndef MESHPIPE_EXEC_PLUGIN_H
#define MESHPIPE_EXEC_PLUGIN_H

#include <uv.h>

#include "k8s-apply/exec_config.h"
#include "k8s-apply/exec_credential.h"

struct exec_plugin;

struct exec_plugin_handler {
	/*
	 * After each run, from the loop: exec_plugin_get knows more now. NULL: it went well. It may
	 * close the plugin.
	 */
	void (*on_end)(void *arg, const struct err *failure);
	void *arg;
};

/* `config` (described) stays the caller's. */
struct exec_plugin *exec_plugin_open(uv_loop_t *loop, const struct exec_config *config,
	int64_t timeout_ms, const struct exec_plugin_handler *handler) NODISCARD;

/* Kills what runs, without on_end. Memory goes when the loop has seen its end. NULL is allowed. */
void exec_plugin_close(struct exec_plugin *p);

/*
 * 1: *ret is what to send now, the plugin's, until the next on_end; 0: on_end will follow; -1: it
 * has failed and its pause lasts. Near the expiry the next run starts while the old one serves.
 */
int exec_plugin_get(
	struct exec_plugin *p, const struct exec_credential **ret, struct err *err) NODISCARD;

/*
 * The server refuses the credential: it will be asked for anew. False when that is too young for
 * another to be any better.
 */
bool exec_plugin_drop(struct exec_plugin *p);

#endif
