/*
 * config: the YAML file that programs know as $config.
 *
 * What each key means and its default is the module's business
 * (filters/meshpipe.jq); here is only what a file may say. A value that is
 * null counts as not given. An error is one line,
 *
 *     FILE:LINE:COLUMN: KEY: what is wrong: what would be right
 */
#ifndef MESH_MAP_CONFIG_H
#define MESH_MAP_CONFIG_H

#include "lib/jvx.h"

#define CONFIG_MAX_BYTES (1u << 20)

/*
 * Reads and checks a file (NULL: there is none, which is an empty one): an
 * object of exactly what the file says; defaults are the module's business.
 * Invalid with EXIT_CONFIG and "file:line:column: what" on failure.
 */
jv config_load(const char *path, struct err *err) NODISCARD;

/* The same for a text, which errors call `name`. */
jv config_parse(const char *text, size_t len, const char *name, struct err *err) NODISCARD;

/* The names of all keys, in the order in which people should see them. */
jv config_keys(void) NODISCARD;

#endif
