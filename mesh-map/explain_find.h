/*
 * explain_find: the last record of a service in a recorded stream.
 */
#ifndef MESH_MAP_EXPLAIN_FIND_H
#define MESH_MAP_EXPLAIN_FIND_H

#include "lib/jvx.h"

struct found {
	const char *wanted; /* NAME, or SOURCE/NAME; several sources may have a NAME */
	jv records;	    /* "source/name" to {line, record} */
	jv names;	    /* of all services that were seen, as keys */
	size_t dropped;	    /* lines that are no records; said on stderr with their number */
	struct err err;	    /* why reading ended, if not at the end */
};

/* Reads `fd` to its end; found.records is empty when there is no such service. */
int explain_find(int fd, const char *wanted, struct found *ret, struct err *err) NODISCARD;
void found_release(struct found *f);

#endif
