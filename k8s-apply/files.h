/*
 * files: what -f names: files, standard input, and the manifests of folders.
 *
 * A folder stands for its files that end in .yaml, .yml, .json or .ndjson, sorted by name, as
 * kubectl takes it, but for hidden ones; with `recursive` for those of its folders as well.
 */
#ifndef MESHPIPE_FILES_H
#define MESHPIPE_FILES_H

#include "lib/err.h"
#include "lib/opt.h"

struct file {
	char *name; /* what messages call it */
	int fd;	    /* open already; -1: one of a folder, opened when its turn comes */
};

struct files {
	struct file *item;
	size_t count;
};

/* All that is named; with no names standard input. What is not there is an error at once. */
int files_find(
	const struct opt_list *names, bool recursive, struct files *ret, struct err *err) NODISCARD;
void files_release(struct files *f);

/* Its descriptor, to be closed by the caller when it is not f->fd. -1 on failure. */
int files_open(const struct file *f, struct err *err) NODISCARD;

#endif
