/*
 * explain_print: what is known of a record, for people: YAML in which all but
 * the objects is comment.
 */
#ifndef MESH_MAP_EXPLAIN_PRINT_H
#define MESH_MAP_EXPLAIN_PRINT_H

#include "mesh-map/explain_work.h"

void explain_print_gone(jv record, long long line);

/* With `trace` also how long it took and what the programs said. */
void explain_print(jv record, long long line, const struct explanation *e, bool trace);

#endif
