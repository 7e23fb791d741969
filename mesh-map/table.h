/*
 * table: columns of text for a terminal.
 */
#ifndef MESH_MAP_TABLE_H
#define MESH_MAP_TABLE_H

#include "lib/jvx.h"

/* Prints text; control characters become ?, so that no name can do things to a terminal. */
void print_clean(const char *text);

/* `rows`: arrays of strings, all of one length. `start` comes before each row. */
void table_print(jv rows, const char *start);

#endif
