/*
 * said: which subjects have a problem, and what was last said of it, so that
 * a problem is reported once and not at every repetition.
 */
#ifndef MESH_MAP_SAID_H
#define MESH_MAP_SAID_H

#include "lib/jvx.h"

struct said {
	jv problems; /* subject -> text */
};

void said_init(struct said *s);
void said_release(struct said *s);

/* Notes the problem; true when it is new or another than before. */
bool said_problem(struct said *s, const char *subject, const char *problem) NODISCARD;

/* Forgets the subject; true when it had a problem. */
bool said_recovered(struct said *s, const char *subject);

/* How many have a problem now. */
int said_count(const struct said *s);

#endif
