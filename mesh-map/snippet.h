/*
 * snippet: a jq program that is text, not a file, and may use the module meshpipe.
 */
#ifndef MESH_MAP_SNIPPET_H
#define MESH_MAP_SNIPPET_H

#include "mesh-map/mapping.h"
#include "mesh-map/program.h"

/*
 * Compiles `text`. Modules are looked for in the library directories of `options`, then in the
 * directory that the file `beside` lies in, then with the shipped programs. `config` is borrowed.
 * NULL with EXIT_CONFIG; the message has no position when the fault is in the text itself.
 */
struct program *snippet_open(const char *text, const char *beside,
	const struct mapping_options *options, jv config, struct err *err) NODISCARD;

#endif
