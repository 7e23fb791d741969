/*
 * applier_state: what the files of the applier share:
 *
 *   applier.c         the loop, the inputs one after the other, the end
 *   applier_work.c    from the plan to the target, and when to look at what
 *   applier_input.c   from the input to the plan
 *   applier_target.c  opening the target; from the target to the plan
 *   applier_modes.c   --prune, diff and delete
 *   applier_tell.c    answers to who asks how it is
 */
#ifndef MESHPIPE_APPLIER_STATE_H
#define MESHPIPE_APPLIER_STATE_H

#include <uv.h>

#include "k8s-apply/applier.h"
#include "k8s-apply/cluster.h"
#include "k8s-apply/difference.h"
#include "k8s-apply/dir.h"
#include "k8s-apply/files.h"
#include "k8s-apply/freshness.h"
#include "k8s-apply/input.h"
#include "k8s-apply/metrics.h"
#include "k8s-apply/metrics_server.h"
#include "k8s-apply/progress.h"
#include "lib/lines.h"
#include "lib/out.h"

struct applier {
	const struct applier_config *config;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t signals[3];
	struct plan *plan;
	struct freshness freshness;
	struct target *target;
	const char *namespace; /* of objects without one; NULL */
	struct out *out;
	struct input *input;
	struct metrics *metrics;
	struct metrics_server *metrics_server; /* NULL: not asked for */
	struct files files;
	size_t next_file;
	int fd; /* of the file that is read, when it is ours to close; else -1 */
	struct differences *differences;	/* NULL: none are shown */
	struct progress *progress;		/* NULL: nobody looks */
	struct lines *answer;			/* a person's, while it is waited for */
	bool manifests_begun, manifests_synced; /* with --prune */
	bool deletes;				/* the whole set, and that is meant */
	enum target_gate gate;			/* as it was last */
	bool open;				/* the handles of the loop */
	bool ending;				/* nothing is read any more */
	bool told_to_end;			/* by a signal */
	bool frozen;				/* by a person */
	bool stale;		/* no source says what is the present: nothing is written */
	bool ready;		/* the target has told all that it has */
	bool stopping, stopped; /* the target */
	char *trouble;		/* of the target, when it was stopped; NULL: none */
	bool pumping, pump_again;
	bool busy;   /* the target takes no more until it says that it does */
	bool wanted; /* the target knows that there is something to write */
	int64_t started_ms, heard_ms, ended_ms; /* steady: start, last input, end of it */
	int64_t wrote_ms;			/* the last success of the target */
	bool heard;				/* something has come from the input */
	int64_t fresh_ms;			/* when it was last not stale */
	bool saw_record;			/* other than manifests */
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

/* applier_target.c */
int applier_open_target(struct applier *a, struct err *err) NODISCARD;

/* applier.c: the target is ready, the input can begin. */
void applier_begin(struct applier *a);

/* applier.c: after each change, once nothing is read any more: is all done? */
void applier_check_end(struct applier *a);

/* The end of the loop, once the target has stopped and every result has been read. */
void applier_close_when_said(struct applier *a);

/* What is waited for is waited for until then; INT64_MAX: for ever. */
int64_t applier_deadline_ms(const struct applier *a);

/* applier_input.c: a record or manifest to the plan, and all that follows from it done. */
int applier_take(struct applier *a, jv v, struct err *err) NODISCARD;

/* Does all that the plan has to do now, and sees to it that it is called again in time. */
void applier_pump(struct applier *a);
void applier_on_timer(uv_timer_t *timer);

/* Sees to it that applier_on_timer comes when something has to be looked at. */
void applier_arm_timer(struct applier *a);

/* How much is held, if that is not what was last said. */
void applier_say_held(struct applier *a);

/* Nothing is written. */
static inline bool applier_only_looks(const struct applier *a)
{
	return a->config->mode != APPLIER_APPLY;
}

/* The target knows from now on that there is something to write. */
void applier_want(struct applier *a);

/* applier_modes.c: with --prune the input is one snapshot of manifests, and no records. */
bool applier_takes_source(struct applier *a, const char *source);

/* All that was said is done: what the input did not name goes. True: there is more to do now. */
bool applier_sync_manifests(struct applier *a);

/* `delete`: instead of reading an input, shows what there is, asks, and lets it go. */
void applier_begin_delete(struct applier *a);

/* At the end: when nothing is left of it, what the set has beside its objects goes, too. */
void applier_remove_set(struct applier *a);

/* A result that the diff shows as a line of its own. */
void applier_note_result(struct applier *a, const struct plan_result *r);

/* applier_tell.c: answers who asks how it is, if that was asked for. */
int applier_open_metrics(struct applier *a, struct err *err) NODISCARD;

/* Once: when a source has spoken, or never will. */
void applier_prune_named_sources(struct applier *a);

#endif
