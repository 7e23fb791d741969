/*
 * program: one jq program, compiled once and run on one value at a time.
 *
 * It knows nothing of records and streams. The program is the user's code: it
 * has no input but the value, no files after program_open, and no environment
 * but the process's (which main empties). What it says with `debug` and
 * `stderr` is logged at level debug.
 */
#ifndef MESH_MAP_PROGRAM_H
#define MESH_MAP_PROGRAM_H

#include "lib/jvx.h"

struct program;

/*
 * Compiles a file. `lib_dirs`: array of absolute directories where modules are
 * looked for; `config`: an object, which the program knows as $config. Both
 * are borrowed. NULL with EXIT_CONFIG and "file:line: what" on failure.
 */
struct program *program_open(const char *path, jv lib_dirs, jv config, struct err *err) NODISCARD;
void program_close(struct program *p);

/* As it was given to program_open. */
const char *program_path(const struct program *p);

/*
 * Runs the program on `input` (borrowed) and gives all its outputs as an
 * array. Invalid with EXIT_SOME_FAILED when it ends in an error, halts, or
 * reads input (of which there is none: what it would make of that would be
 * taken for the truth). The next run is not touched by that.
 */
jv program_run(struct program *p, jv input, struct err *err) NODISCARD;

#endif
