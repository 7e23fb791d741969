/*
 * dir: the target that is a directory, DIR/<source>/<key>.yaml.
 *
 * The files themselves are the memory: they are read back at start. A person may
 * edit or remove them at any time; they are put right when their key is said next.
 * Beside them is DIR/.meshpipe (dir_control.h).
 */
#ifndef MESHPIPE_DIR_H
#define MESHPIPE_DIR_H

#include "k8s-apply/dir_control.h"
#include "k8s-apply/target.h"

struct dir;

struct dir_config {
	const char *path;
	const char *set;
	bool must_exist;     /* the directory is not made; EXIT_SOME_FAILED when it is missing */
	enum target_use use; /* but to write: takes no lock, makes nothing; may be missing */
};

/* EXIT_SYSTEM when it cannot be made or written, EXIT_REFUSED when another process has it. */
struct dir *dir_open(const struct dir_config *config, const struct target_handler *handler,
	struct err *err) NODISCARD;
void dir_close(struct dir *d);

/* Reads everything back: on_source, then on_found for each object. Once, after dir_open. */
int dir_load(struct dir *d, struct err *err) NODISCARD;

/* The key is about to be applied: looks whether its file was touched by somebody since. */
void dir_said(struct dir *d, const char *source, const char *key);

/* Operations of plan_next are gathered, then done together; on_done answers each of them. */
void dir_stage(struct dir *d, const struct plan_op *op);
void dir_flush(struct dir *d);

/* Answers with on_difference and on_done what the operation would make of the object. */
void dir_compare(struct dir *d, const struct plan_op *op);

/* Nothing is left of the set: folders of sources that are empty, and what is in .meshpipe, go. */
int dir_remove_set(struct dir *d, struct err *err) NODISCARD;

struct dir_control *dir_get_control(struct dir *d);

/* dir_target.c: the same as a target. */
struct target *dir_target_open(const struct dir_config *config,
	const struct target_handler *handler, struct err *err) NODISCARD;

#endif
