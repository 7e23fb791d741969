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
#include "k8s-apply/plan.h"

struct dir;

struct dir_config {
	const char *path;
	const char *set;
	bool read_only; /* takes no lock, makes nothing; the directory may be missing */
};

struct dir_handler {
	/* For plan_found, plan_lost, plan_remember and plan_done. */
	bool (*on_found)(void *arg, const char *source, const char *key, const struct manifest *m);
	void (*on_lost)(void *arg, const struct object_id *id);
	void (*on_source)(void *arg, const char *source, const char *scope);
	void (*on_done)(void *arg, struct plan_object *object, enum plan_outcome outcome,
		const char *error);
	/* Something odd about a file of ours that is not a failed operation. */
	void (*on_warning)(void *arg, const char *text);
	void *arg;
};

/* EXIT_SYSTEM when it cannot be made or written, EXIT_REFUSED when another process has it. */
struct dir *dir_open(const struct dir_config *config, const struct dir_handler *handler,
	struct err *err) NODISCARD;
void dir_close(struct dir *d);

/* Reads everything back: on_source, then on_found for each object. Once, after dir_open. */
int dir_load(struct dir *d, struct err *err) NODISCARD;

/* The key is about to be applied: looks whether its file was touched by somebody since. */
void dir_said(struct dir *d, const char *source, const char *key);

/* Operations of plan_next are gathered, then done together; on_done answers each of them. */
void dir_stage(struct dir *d, const struct plan_op *op);
void dir_flush(struct dir *d);

struct dir_control *dir_get_control(struct dir *d);

#endif
