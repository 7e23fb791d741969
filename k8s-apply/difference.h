/*
 * difference: prints what objects would become, as a unified diff of their YAML each.
 *
 * What only the API server keeps (status, managedFields, uid and their like) and the mark of
 * what was applied are not shown, and whose an object is only where that changes. Of a Secret
 * only the names are. The answers may come in any order; printed is in the order in which they
 * were announced, so that the same input gives the same bytes.
 */
#ifndef MESHPIPE_DIFFERENCE_H
#define MESHPIPE_DIFFERENCE_H

#include "k8s-apply/manifest.h"
#include "lib/out.h"

struct differences;

/* `out` stays the caller's. */
struct differences *differences_new(struct out *out, bool colour);

/* NULL is allowed. */
void differences_free(struct differences *d);

/* One is on its way: what comes after it waits for it. */
void differences_expect(struct differences *d, const struct object_id *id);

/* How the object is and how it would be; invalid: not there. Borrowed. */
void differences_found(struct differences *d, const struct object_id *id, jv before, jv after);

/* Nothing more will come of it: when nothing was found there is none. */
void differences_settle(struct differences *d, const struct object_id *id);

/* A line about an object that would not be touched, in its place: "# <object> <text>". */
void differences_note(struct differences *d, const struct object_id *id, const char *text);

/* Objects that would change. */
size_t differences_count(const struct differences *d);

#endif
