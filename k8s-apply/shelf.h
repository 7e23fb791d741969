/*
 * shelf: texts that are kept for long, seldom read, and much alike: the bodies of objects, which
 * are needed again only when somebody has changed one.
 *
 * Each is deflated for itself. What it has in common with the first ones that came, the sample,
 * takes no room in it: of 60,000 endpoints that is three quarters.
 */
#ifndef MESHPIPE_SHELF_H
#define MESHPIPE_SHELF_H

#include "lib/base.h"

struct shelf;

/* A text on a shelf; free() gives it back. */
struct shelved;

struct shelf *shelf_new(void) NODISCARD;
void shelf_free(struct shelf *s);

struct shelved *shelf_put(struct shelf *s, const char *text) NODISCARD;

/* The text again; owned by the caller. */
char *shelf_get(struct shelf *s, const struct shelved *text) NODISCARD;

#endif
