/*
 * config_error: says what is wrong in a configuration, and where.
 */
#ifndef MESH_MAP_CONFIG_ERROR_H
#define MESH_MAP_CONFIG_ERROR_H

#include "lib/jvx.h"

/* A text while it is checked. */
struct config_text {
	const char *name, *text;
	size_t len;
	jv path; /* keys and indexes that lead to what is looked at now */
	struct err *err;
};

/* One step down, from an object (consumes the key) or a list, and back. */
void config_enter(struct config_text *c, jv step);
void config_leave(struct config_text *c);

/* "FILE:LINE:COLUMN: KEY: " and what is wrong at the path. Always -1, with EXIT_CONFIG. */
int config_fail(struct config_text *c, const char *fmt, ...) PRINTF(2, 3);

/* The same, and the position is that of the key, not of its value. */
int config_fail_key(struct config_text *c, const char *fmt, ...) PRINTF(2, 3);

/* A value as an error shows it: short, in one line. */
char *config_show(jv value) NODISCARD;

/* Of the words, a list, the one that `wrong` may have been meant to be; NULL for none. Owned. */
char *config_nearest(jv words, const char *wrong) NODISCARD;

#endif
