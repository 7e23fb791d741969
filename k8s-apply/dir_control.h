/*
 * dir_control: what lies in DIR/.meshpipe: the lock, the memory of the sources,
 * and what a person puts there.
 *
 *   lock             one writer at a time (flock; the text is its process id)
 *   sources          what is remembered of each source of a set: its scope
 *   freeze           by a person: while it is there, nothing is written
 *   approve-deletes  by a person: a number of keys, releases held deletions
 *
 * None of these names ends as the readers of manifests want it, so that
 * `kubectl apply -R -f DIR` and istiod's fs:// source see manifests only.
 */
#ifndef MESHPIPE_DIR_CONTROL_H
#define MESHPIPE_DIR_CONTROL_H

#include "lib/jvx.h"

struct dir_control {
	char *path; /* of the directory */
	char *set;
	char *lock_path, *sources_path, *freeze_path, *approval_path;
	int lock;
	bool read_only; /* takes no lock, makes nothing */
	jv sets;	/* {"meshpipe": {"dc1": {"scope": "..."}}}: set, source */
};

/*
 * Makes the directory if its parent is there. EXIT_SYSTEM when it cannot be made or
 * written, EXIT_REFUSED when another process has the lock. To be closed also after a failure.
 */
int dir_control_open(struct dir_control *c, const char *path, const char *set, bool read_only,
	struct err *err) NODISCARD;
void dir_control_close(struct dir_control *c);

/* Calls on_source for each source of the set that is remembered. */
int dir_control_load(struct dir_control *c,
	void (*on_source)(void *arg, const char *source, const char *scope), void *arg,
	struct err *err) NODISCARD;

/* A scope of NULL forgets the source. */
int dir_control_remember(
	struct dir_control *c, const char *source, const char *scope, struct err *err) NODISCARD;

/* Something is remembered of the set. */
bool dir_control_has_set(const struct dir_control *c);

/* Forgets the set; unless another one shares the directory the lock and the folder go as well. */
int dir_control_remove(struct dir_control *c, bool shared, struct err *err) NODISCARD;

bool dir_control_is_frozen(const struct dir_control *c);

/* The lock was removed, with the directory perhaps: another writer may have made its own. */
bool dir_control_is_lost(const struct dir_control *c);

/* 1 and the number, 0 when there is none, -1 when it is no number. */
int dir_control_approval(const struct dir_control *c, uint64_t *ret, struct err *err) NODISCARD;
void dir_control_drop_approval(const struct dir_control *c);

#endif
