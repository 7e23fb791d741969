/*
 * applier_state: what applier.c (loop, inputs, end) and applier_work.c (plan
 * and target) share. For these two only.
 */
#ifndef MESHPIPE_APPLIER_STATE_H
#define MESHPIPE_APPLIER_STATE_H

#include <uv.h>

#include "k8s-apply/applier.h"
#include "k8s-apply/dir.h"
#include "k8s-apply/input.h"
#include "lib/out.h"

struct applier_file {
	int fd;
	const char *name;
};

struct applier {
	const struct applier_config *config;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t signals[3];
	struct plan *plan;
	struct dir *dir;
	struct out *out;
	struct input *input;
	struct applier_file *files;
	size_t file_count, next_file;
	bool open;	  /* the handles of the loop */
	bool ending;	  /* nothing is read any more */
	bool told_to_end; /* by a signal */
	bool frozen;
	bool saw_record; /* other than manifests */
	bool unreadable, prune_failed, prune_done;
	bool not_pruned;  /* the last snapshot was not complete, or is of another scope */
	size_t held_said; /* keys, when that was last said */
	size_t created, configured, deleted; /* since the last snapshot */
	char *synced;			     /* source that has just been */
	char *warned;			     /* the last problem that went to the log */
	struct err fatal;
};

/* applier.c: reads no more; what was read is done and said, then the loop runs out. */
void applier_end(struct applier *a);

/* The same soon, and with an error; also from inside what the plan, the target or out calls. */
void applier_fail(struct applier *a, const struct err *err);

/* applier_work.c */
void applier_open_plan(struct applier *a);
int applier_open_target(struct applier *a, struct err *err) NODISCARD;

/* A record or manifest to the plan, and all that follows from it done. */
int applier_take(struct applier *a, jv v, struct err *err) NODISCARD;

/* Does all that the plan has to do now, and sees to it that it is called again in time. */
void applier_pump(struct applier *a);
void applier_on_timer(uv_timer_t *timer);

/* How much is held, if that is not what was last said. */
void applier_say_held(struct applier *a);

/* Once: when a source has spoken, or never will. */
void applier_prune_named_sources(struct applier *a);

#endif
