/*
 * jvx: safe access to libjq's jv values.
 *
 * libjq consumes what it is given and aborts on a value of the wrong kind.
 * These functions never consume (parameters are borrowed), return owned
 * values, and accept any kind, also invalid: a field that is missing or of
 * another kind gives the default.
 */
#ifndef MESHPIPE_JVX_H
#define MESHPIPE_JVX_H

#include <jv.h>

#include "lib/base.h"
#include "lib/err.h"

static inline void jvx_freep(jv *v)
{
	jv_free(*v);
}

/* An owned local value: freed at the end of its block. Initialise it. */
#define cleanup_jv __attribute__((cleanup(jvx_freep)))

/* Hands an owned local value out; leaves an invalid one behind. */
static inline jv jvx_take(jv *v)
{
	jv taken = *v;

	*v = jv_invalid();
	return taken;
}

static inline bool jvx_is(jv v, jv_kind kind)
{
	return jv_get_kind(v) == kind;
}

/* Field of an object, or element of an array; invalid when there is none. Owned. */
jv jvx_get(jv object, const char *key) NODISCARD;
jv jvx_at(jv array, int i) NODISCARD;
int jvx_length(jv v); /* of an array or object; 0 for anything else */

/* Borrowed text of a string value, or `otherwise`. Valid as long as v is. */
const char *jvx_str(jv v, const char *otherwise);

/* Copy of a string field; NULL when missing, not a string, or holding a NUL. */
char *jvx_dup_field(jv object, const char *key) NODISCARD;

/* Number field, or `otherwise`, also for what JSON cannot hold (nan, 1e999). */
double jvx_num_field(jv object, const char *key, double otherwise);

/* True when the field is a string that equals text. */
bool jvx_field_is(jv object, const char *key, const char *text);

/* Sets a field in place. `value` is handed over (consumed), as in libjq. */
void jvx_set(jv *object, const char *key, jv value);
void jvx_set_str(jv *object, const char *key, const char *text);
void jvx_append(jv *array, jv value);

/* Compact JSON with sorted keys; the same value always gives the same bytes. */
char *jvx_dump(jv v) NODISCARD;

/* Parses exactly one JSON text; trailing blanks are allowed. Invalid on error, with the reason. */
jv jvx_parse(const char *text, size_t len, struct err *err) NODISCARD;

/*
 * Loops are plain: for (int i = 0; i < jvx_length(a); i++) { cleanup_jv jv x = jvx_at(a, i); ... }
 * The keys of an object in byte order; an empty array for anything else. Owned.
 */
jv jvx_keys(jv object) NODISCARD;

#endif
