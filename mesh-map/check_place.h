/*
 * check_place: where in an object a check is, and how it says that a rule is broken.
 *
 * A place lives on the stack of the function that looks there and points to the
 * one above it, so that a path is put together only when there is an error.
 */
#ifndef MESH_MAP_CHECK_PLACE_H
#define MESH_MAP_CHECK_PLACE_H

#include "lib/jvx.h"

struct place {
	const struct place *up;
	const char *key; /* NULL: an element of a list */
	int index;
};

#define PLACE(up, key)	    (&(const struct place){ (up), (key), 0 })
#define PLACE_AT(up, index) (&(const struct place){ (up), NULL, (index) })

/* "PATH: RULE: VALUE" with EXIT_SOME_FAILED; the value is cut to about 80 bytes. Always -1. */
int place_fail(const struct place *p, jv value, struct err *err, const char *rule, ...)
	PRINTF(4, 5);

/* The same with a count in place of the value: "4097 entries". Always -1. */
int place_fail_count(const struct place *p, int count, const char *of, struct err *err,
	const char *rule, ...) PRINTF(5, 6);

#endif
