/*
 * yaml: YAML text to jv values, on libyaml.
 *
 * Plain scalars follow the core schema of YAML 1.2: `no`, `on` and `012` are
 * what they look like (two strings and the number 12). Numbers of 2^53 and
 * more become strings, because a jv number is a double. Errors name line and
 * column. Duplicate keys, unknown tags, collections as keys, more than 1,000
 * levels, more than 4 million nodes, and 100,000 more by aliases than the text
 * has bytes are errors.
 */
#ifndef MESHPIPE_YAML_H
#define MESHPIPE_YAML_H

#include "lib/jvx.h"

#define YAML_MAX_BYTES (64u << 20)

/*
 * Parses all documents of a text to an array, one element a document (an empty
 * text gives an empty array). `name` is what errors call it. Invalid on error.
 */
jv yaml_parse(const char *text, size_t len, const char *name, struct err *err) NODISCARD;

/* The same for a file; a status of EXIT_CONFIG when it cannot be read. */
jv yaml_parse_file(const char *path, struct err *err) NODISCARD;

/* Both from 1; columns count characters, not bytes. */
struct yaml_position {
	size_t line, column;
};

/*
 * Where in a text that yaml_parse takes a value of the first document stands, for
 * saying what is wrong with it: `path` (borrowed) is an array of keys and indexes.
 * An alias counts as what it stands for. With `of_key` its key in place of the value.
 * Where the text has no such path, as much of it as there is.
 */
void yaml_position(
	const char *text, size_t len, jv path, bool of_key, struct yaml_position *ret_position);

#endif
