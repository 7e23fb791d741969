/*
 * peek: what a line says of itself at its top level, without building its value.
 *
 * The values of a catalogue are built by workers, several at a time; who
 * hands the lines out looks at three fields only, and must not cost as much.
 */
#ifndef MESH_MAP_PEEK_H
#define MESH_MAP_PEEK_H

#include "lib/base.h"

/* Part of the line; text is NULL when there is no such field. Not NUL-terminated. */
struct peek_field {
	const char *text;
	size_t len;
};

struct peek {
	struct peek_field type, source, service;
};

/*
 * True when the line can only be an object with these fields, or no JSON at all. False when it
 * takes a parser to tell: escapes or anything but ASCII in what matters, a value that is no
 * string, anything that does not look like an object.
 */
bool peek_line(const char *text, size_t len, struct peek *ret) NODISCARD;

bool peek_is(const struct peek_field *field, const char *text);

#endif
