/*
 * api_json: JSON as the API server writes it, without what nobody here reads and what is most of the
 * metadata of an object: which fields each manager has (metadata.managedFields[].fieldsV1).
 */
#ifndef MESHPIPE_API_JSON_H
#define MESHPIPE_API_JSON_H

#include "lib/jvx.h"

/* As jvx_parse, with 0 in place of each fieldsV1 that is an object. */
jv api_json_parse(const char *text, size_t len, struct err *err) NODISCARD;

/*
 * The text of the first field that is written like `"name":"`, up to its quote; NULL when there is
 * none, or it has escapes. What is in a string is not taken for a field: its quotes are escaped.
 */
const char *api_json_find_text(
	const char *text, const char *end, const char *field, size_t *ret_len);

/* From `at` on to what is no blank. */
const char *api_json_skip_blanks(const char *at, const char *end);

/* After a string, from its first quote; `end` when it does not end. */
const char *api_json_skip_string(const char *at, const char *end);

/* After a value. Brackets are counted, not compared: whether the slice is JSON the parser says. */
const char *api_json_skip_value(const char *at, const char *end);

#endif
