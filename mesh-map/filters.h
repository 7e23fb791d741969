/*
 * filters: where mapping programs are found.
 *
 * The shipped ones are in ../share/meshpipe/filters beside the directory of
 * the running program, built or installed.
 */
#ifndef MESH_MAP_FILTERS_H
#define MESH_MAP_FILTERS_H

#include "lib/base.h"
#include "lib/err.h"

#define FILTERS_DEFAULT "workload-entries.jq"

/* The shipped directory, whether it is there or not. NULL on failure. */
char *filters_dir(struct err *err) NODISCARD;

/* A path as it was given; a bare name that is no file here is looked for in `shipped`. */
char *filters_find(const char *name, const char *shipped) NODISCARD;

/* The absolute directory that a file lies in; NULL with errno set. */
char *filters_dir_of(const char *path) NODISCARD;

#endif
