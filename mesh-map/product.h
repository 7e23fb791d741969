/*
 * product: what a mapping program made, seen as a Kubernetes object.
 */
#ifndef MESH_MAP_PRODUCT_H
#define MESH_MAP_PRODUCT_H

#include "lib/jvx.h"

/*
 * What makes an object itself: "group/kind/namespace/name" (the version does
 * not count). NULL with EXIT_SOME_FAILED when the value is not an object with
 * apiVersion, kind and metadata.name.
 */
char *product_identity(jv value, struct err *err) NODISCARD;

/*
 * Checks a value that has an identity by the rules that hold for every kind:
 * a name that fits into a path, labels and annotations that map strings to
 * strings.
 */
int product_check(jv value, struct err *err) NODISCARD;

/* The entry of `keep` for a value that has an identity: it is to be left as it is. */
jv product_keep(jv value, const char *error) NODISCARD;

#endif
