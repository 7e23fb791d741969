/*
 * near: names that somebody may have meant.
 */
#ifndef MESH_MAP_NEAR_H
#define MESH_MAP_NEAR_H

#include "lib/jvx.h"

/*
 * Up to five of the keys of `names` that are like `name`: with it in them, or a
 * few letters away; the nearest first. "a, b", or "" for none. The caller frees it.
 */
char *near_names(const char *name, jv names) NODISCARD;

#endif
