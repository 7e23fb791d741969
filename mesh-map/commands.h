/*
 * commands: what mesh-map does besides its place in a pipe, for those who
 * write programs. Each gets the arguments from its own name on, has its own
 * option table and writes to stdout; -1 with the exit status in err.
 */
#ifndef MESH_MAP_COMMANDS_H
#define MESH_MAP_COMMANDS_H

#include "lib/err.h"

int command_init(int argc, char **argv, struct err *err) NODISCARD;
int command_test(int argc, char **argv, struct err *err) NODISCARD;
int command_explain(int argc, char **argv, struct err *err) NODISCARD;

#endif
