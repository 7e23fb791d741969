/*
 * dir_row: what dir.c (reading) and dir_batch.c (writing) share. For these two only.
 */
#ifndef MESHPIPE_DIR_ROW_H
#define MESHPIPE_DIR_ROW_H

#include "k8s-apply/dir.h"
#include "k8s-apply/dir_file.h"
#include "k8s-apply/map.h"

/* A file of ours, on the disk or about to be. */
struct dir_row {
	char *relative; /* the key in the map */
	char *path;
	char *source, *key;
	struct dir_list list;	/* what is in it */
	struct dir_list staged; /* what is to be in it; when touched */
	bool present;		/* a file of ours is there */
	bool stale;		/* but it does not say what the list says */
	uint64_t hash;		/* of its bytes */
	struct dir_stamp stamp;

	/* During a batch. */
	bool touched, gains, written;
	enum plan_outcome failure; /* PLAN_OK: none */
	char *error;
};

struct dir_op {
	struct plan_object *object;
	const struct object_id *id;
	struct dir_row *to;   /* gets it, or loses it by a deletion */
	struct dir_row *from; /* has it now; NULL */
};

struct dir {
	struct target_handler handler;
	struct dir_control control;
	struct map rows;
	char **folders; /* in which there were files of ours at the start */
	size_t folder_count;
	bool shared; /* another set has files here */
	struct dir_row **touched;
	size_t touched_count, touched_capacity;
	struct dir_op *ops;
	size_t op_count, op_capacity;
};

struct dir_row *dir_row_get(struct dir *d, const char *source, const char *key);

/* Frees the row when there is no file, and none is to be. */
void dir_row_drop(struct dir *d, struct dir_row *r);

/* Makes it part of the batch. */
void dir_row_touch(struct dir *d, struct dir_row *r);

/* Looks at the file if it may have been changed since; true when it was. */
bool dir_row_refresh(struct dir *d, struct dir_row *r);

bool dir_is_ours(const struct dir *d, const struct dir_row *r, const struct dir_content *c);
void dir_warn(const struct dir *d, const char *text);

#endif
