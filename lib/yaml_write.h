/*
 * yaml_write: a jv value as YAML that reads back as the same value.
 *
 * Block style, sorted keys; of the outermost mapping apiVersion, kind and
 * metadata come first. A string is written bare only when no reader, of YAML
 * 1.1 or 1.2, could take it for anything else; all others are in double quotes
 * with the escapes that both know. Fields that are null are left out, as canon.h does.
 */
#ifndef MESHPIPE_YAML_WRITE_H
#define MESHPIPE_YAML_WRITE_H

#include "lib/buf.h"
#include "lib/jvx.h"

/* Appends one document, without the "---" before it. Refuses what canon.h refuses. */
int yaml_write(jv v, struct buf *out, struct err *err) NODISCARD;

/* The same with the fields that are null. */
int yaml_write_nulls(jv v, struct buf *out, struct err *err) NODISCARD;

#endif
