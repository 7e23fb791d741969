/*
 * mapping: the programs and the configuration, as one thing that turns a
 * `service` record into the record of what the service should have.
 */
#ifndef MESH_MAP_MAPPING_H
#define MESH_MAP_MAPPING_H

#include "lib/jvx.h"

struct mapping_options {
	const char *const *programs; /* files; with none the default program */
	size_t n_programs;
	const char *const *lib_dirs; /* where modules are looked for first */
	size_t n_lib_dirs;
	const char *config; /* YAML file, or NULL */
	bool no_validate;   /* objects are sent without check_object() */
};

struct mapping;

/*
 * Where modules are looked for: first those of -L, then the directory of the file `program`, then
 * the shipped one. An array of absolute paths; invalid with EXIT_CONFIG.
 */
jv mapping_lib_dirs(const struct mapping_options *options, const char *program, const char *shipped,
	struct err *err) NODISCARD;

/* Reads and compiles everything. NULL, with EXIT_CONFIG when a file is the reason. */
struct mapping *mapping_open(const struct mapping_options *options, struct err *err) NODISCARD;
void mapping_close(struct mapping *m);

/*
 * The `apply` record for a `service` record (borrowed): the outputs of all
 * programs together. An object that cannot stand goes into the apply's `keep`;
 * when a program fails, or what failed has no identity, the whole is a `keep`.
 * Then *ret_problem says what is the matter, in one line (the caller frees it);
 * else it is NULL.
 */
jv mapping_run(struct mapping *m, jv service, char **ret_problem) NODISCARD;

/* How many objects an answer of mapping_run() has, and how many in its `keep`. */
void mapping_count(jv answer, unsigned *ret_objects, unsigned *ret_kept);

/* The `keep` for a `service` record (borrowed) whose mapping failed as a whole. */
jv mapping_keep(jv record, const char *problem) NODISCARD;

/* The `apply` with no objects for a `gone` record (borrowed). */
jv mapping_gone(jv gone) NODISCARD;

#endif
