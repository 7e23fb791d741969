/*
 * canon: the one JSON text of a value, on which hashes and comparisons rest.
 *
 * Keys are sorted, fields that are null are left out (to Kubernetes null means
 * not set), whole numbers are written as such. The text is also what the API
 * server's YAML reader takes: controls, U+007F to U+009F, U+2028, U+2029,
 * U+FEFF, U+FFFE and U+FFFF are \uXXXX, everything else is raw UTF-8, and
 * there are no surrogate pairs and no "\/".
 *
 * What would not come back as it was is refused: numbers from 2^53 on (libjq
 * has rounded them already), NUL characters, keys over 1,024 bytes (the API
 * server's YAML reader refuses them), more than 200 levels.
 */
#ifndef MESHPIPE_CANON_H
#define MESHPIPE_CANON_H

#include "lib/buf.h"
#include "lib/jvx.h"

/* Appends the text of v. The error says what and where: "spec.ports[0].number is ...". */
int canon_write(jv v, struct buf *out, struct err *err) NODISCARD;

/* Text of a number as JSON and YAML write it alike; false when it cannot be kept exactly. */
bool canon_number(double d, char text[static 32]);

/* Decodes one character of UTF-8 that is known to be valid; returns its length. */
size_t canon_char(const char *s, uint32_t *ret);

/* Must the character be escaped inside double quotes? (Quotes and backslash not counted.) */
bool canon_needs_escape(uint32_t c);

#endif
