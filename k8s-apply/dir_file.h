/*
 * dir_file: one file of the directory target: all objects of one key.
 *
 * Its first line says whose it is:
 *
 *   # meshpipe: {"key":"student-service","set":"meshpipe","source":"dc1"}
 *
 * then the objects follow as YAML documents, sorted by identity. A file whose
 * first line is not that, for its own path, is somebody else's and is never
 * written or removed. Files are replaced by rename, so that a reader sees the
 * old or the new one, whole. For dir.c only.
 */
#ifndef MESHPIPE_DIR_FILE_H
#define MESHPIPE_DIR_FILE_H

#include <sys/stat.h>

#include "k8s-apply/manifest.h"

/* Written in the folder of the file and renamed; no reader of YAML takes this name. */
#define DIR_FILE_TEMP ".meshpipe-tmp"

/* One object as it stands in a file; shared by the lists that have it. */
struct dir_entry {
	unsigned refs;
	struct manifest m; /* without its body */
	char *yaml;
};

struct dir_slot {
	struct dir_entry *entry;
	bool leaving; /* goes to another file: to be taken out when it is there */
};

/* Sorted by identity. */
struct dir_list {
	struct dir_slot *slots;
	size_t count;
};

/* The entry of an object; takes the manifest's identity and version, not its body. */
struct dir_entry *dir_entry_new(const struct object_id *id, const char *api_version,
	const char *body, struct err *err) NODISCARD;
void dir_entry_unref(struct dir_entry *e);

void dir_list_release(struct dir_list *l);
struct dir_list dir_list_copy(const struct dir_list *l);
struct dir_slot *dir_list_find(const struct dir_list *l, const struct object_id *id);

/* Takes over the reference; replaces the entry of the same identity. */
void dir_list_put(struct dir_list *l, struct dir_entry *e);
void dir_list_remove(struct dir_list *l, const struct object_id *id);
void dir_list_remove_leaving(struct dir_list *l);

/* What tells without reading that a file was not changed. */
struct dir_stamp {
	uint64_t inode, size;
	int64_t mtime_ns, ctime_ns;
	bool fresh; /* changed so lately that a further change may not show in the times */
};

enum dir_state {
	DIR_FILE_ABSENT,
	DIR_FILE_EMPTY,	  /* no bytes at all: what a power failure may leave of a new file */
	DIR_FILE_FOREIGN, /* also when it is no regular file */
	DIR_FILE_DAMAGED, /* ours by its first line, but what follows cannot be read: err says why */
	DIR_FILE_OURS,
};

struct dir_content {
	enum dir_state state;
	char *source, *key, *set; /* of the first line; NULL when absent, empty or foreign */
	struct dir_list list;	  /* DIR_FILE_OURS */
	uint64_t hash;		  /* of the bytes */
	struct dir_stamp stamp;
};

void dir_content_release(struct dir_content *c);

/* -1 when it is there and cannot be read. */
int dir_file_read(const char *path, struct dir_content *ret, struct err *err) NODISCARD;

/* False when there is no such file. */
bool dir_file_stamp(const char *path, struct dir_stamp *ret);

/* The same file, unchanged for certain. */
bool dir_stamp_same(const struct dir_stamp *a, const struct dir_stamp *b);

/* The bytes of the file; leaving objects are in it only when `with_leaving`. */
char *dir_file_compose(const char *source, const char *key, const char *set,
	const struct dir_list *list, bool with_leaving, size_t *ret_len) NODISCARD;

/*
 * Puts the bytes in place, making the folder when it is missing. With `replace`
 * a file that is there is overwritten, otherwise an error sets errno to EEXIST.
 */
int dir_file_write(const char *path, const char *bytes, size_t len, bool replace) NODISCARD;

#endif
