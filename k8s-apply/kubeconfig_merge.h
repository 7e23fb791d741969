/*
 * kubeconfig_merge: the kubeconfig files, found and merged, and typed access to their
 * entries. For kubeconfig*.c and exec_config.c only.
 */
#ifndef MESHPIPE_KUBECONFIG_MERGE_H
#define MESHPIPE_KUBECONFIG_MERGE_H

#include "lib/jvx.h"

enum kubeconfig_section {
	KUBECONFIG_CONTEXTS,
	KUBECONFIG_CLUSTERS,
	KUBECONFIG_USERS,
};
#define KUBECONFIG_SECTIONS 3

struct kubeconfig_files {
	jv sections[KUBECONFIG_SECTIONS]; /* by name: {"file": path, "body": object} */
	char *current_context;		  /* NULL: none is set */
	char *names;			  /* for messages: "'/a', '/b'" */
};

void kubeconfig_files_release(struct kubeconfig_files *f);
#define cleanup_kubeconfig_files __attribute__((cleanup(kubeconfig_files_release)))

/*
 * `path`: of --kubeconfig, or NULL. 1: read; 0: nothing is configured; -1: error. *ret is
 * always to be released.
 */
int kubeconfig_files_read(
	const char *path, struct kubeconfig_files *ret, struct err *err) NODISCARD;

/* " (there are: 'dev', 'prod')": the contexts, as far as they are few. */
char *kubeconfig_files_contexts(const struct kubeconfig_files *f) NODISCARD;

struct kubeconfig_entry {
	enum kubeconfig_section section;
	jv body;     /* an object */
	char *file;  /* that it came from */
	char *place; /* for messages: "user 'x' of '/home/x/.kube/config'" */
};

void kubeconfig_entry_release(struct kubeconfig_entry *e);
#define cleanup_kubeconfig_entry __attribute__((cleanup(kubeconfig_entry_release)))

/* False when there is none; *ret is to be released in any case. */
bool kubeconfig_files_find(const struct kubeconfig_files *f, enum kubeconfig_section section,
	const char *name, struct kubeconfig_entry *ret);

/* One that no file has: `body` is handed over. */
struct kubeconfig_entry kubeconfig_entry_make(
	enum kubeconfig_section section, jv body, const char *place) NODISCARD;

/* The mapping that a field is, as an entry of its own; *ret is to be released in any case. */
int kubeconfig_entry_sub(const struct kubeconfig_entry *e, const char *field,
	struct kubeconfig_entry *ret, struct err *err) NODISCARD;

/* Missing, null, and empty text, list or object: for client-go that is all the same. */
bool kubeconfig_entry_has(const struct kubeconfig_entry *e, const char *field);

/* Each leaves *ret alone when the field is not given; another kind is an error. */
int kubeconfig_entry_text(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err) NODISCARD;
int kubeconfig_entry_bool(
	const struct kubeconfig_entry *e, const char *field, bool *ret, struct err *err) NODISCARD;

/* As text, but what YAML takes for a number or boolean is a name like any other. */
int kubeconfig_entry_name(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err) NODISCARD;

/* A path, relative to the file that the entry came from. */
char *kubeconfig_entry_resolve(const struct kubeconfig_entry *e, const char *path) NODISCARD;
int kubeconfig_entry_path(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err) NODISCARD;

#endif
