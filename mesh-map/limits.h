/*
 * limits: what a process that runs users' programs may have, and how it died of it.
 */
#ifndef MESH_MAP_LIMITS_H
#define MESH_MAP_LIMITS_H

#include "lib/base.h"

/* For this process, above what it has now; 0: no limit. Not in builds with sanitizers, which reserve terabytes. */
void limits_memory(uint64_t bytes);

/* No core files and no processes of its own. */
void limits_harmless(void);

/* It can open nothing any more; what is open stays usable. */
void limits_no_files(void);

/* It ends when the process that forked it ends, also in an endless loop. */
void limits_end_with(pid_t parent);

/* Why a process died, by its wait status; NULL when it ended as it should. Owned. */
char *limits_cause(int status, uint64_t memory_bytes) NODISCARD;

#endif
