/*
 * check: would Kubernetes and Istio take this object?
 *
 * Every object: what the API server asks of names, labels, annotations and
 * sizes. Istio's kinds too: the schemas of its CRDs with their CEL rules, and
 * the rules of its validating webhook. An object that fails would be refused
 * by the server at every try, so it is not sent.
 */
#ifndef MESH_MAP_CHECK_H
#define MESH_MAP_CHECK_H

#include "lib/jvx.h"

/*
 * `object` (borrowed) has apiVersion, kind and metadata.name (see product.h). -1 with
 * EXIT_SOME_FAILED and "FIELD: RULE: VALUE" for the first rule that it breaks.
 */
int check_object(jv object, struct err *err) NODISCARD;

/*
 * Can it be written as a line of JSON, and read by k8s-apply, so that it is the same there? The
 * part of check_object() that nobody can do without: depth, numbers that are exact, no NUL.
 */
int check_sendable(jv object, struct err *err) NODISCARD;

#endif
