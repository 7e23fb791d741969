/*
 * isolate: a piece of work in a process of its own, for code that may loop for
 * ever, eat memory or kill its process.
 */
#ifndef MESH_MAP_ISOLATE_H
#define MESH_MAP_ISOLATE_H

#include "lib/jvx.h"

#define ISOLATE_TIMEOUT_MS 5000

/*
 * What `work` returned, there; it has an empty environment. Invalid with
 * EXIT_SOME_FAILED when it did not end in time or crashed.
 */
jv isolate_run(jv (*work)(void *arg), void *arg, int64_t timeout_ms, struct err *err) NODISCARD;

#endif
