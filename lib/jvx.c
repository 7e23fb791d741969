#include "lib/jvx.h"

#include <limits.h>
#include <math.h>
#include <string.h>

jv jvx_get(jv object, const char *key)
{
	if (!jvx_is(object, JV_KIND_OBJECT))
		return jv_invalid();
	return jv_object_get(jv_copy(object), jv_string(key));
}

jv jvx_at(jv array, int i)
{
	if (!jvx_is(array, JV_KIND_ARRAY) || i < 0)
		return jv_invalid();
	return jv_array_get(jv_copy(array), i);
}

int jvx_length(jv v)
{
	switch (jv_get_kind(v)) {
	case JV_KIND_ARRAY:
		return jv_array_length(jv_copy(v));
	case JV_KIND_OBJECT:
		return jv_object_length(jv_copy(v));
	default:
		return 0;
	}
}

const char *jvx_str(jv v, const char *otherwise)
{
	return jvx_is(v, JV_KIND_STRING) ? jv_string_value(v) : otherwise;
}

char *jvx_dup_field(jv object, const char *key)
{
	cleanup_jv jv v = jvx_get(object, key);
	const char *text = jvx_str(v, NULL);

	/* A C string would silently end at an embedded NUL. */
	if (text == NULL || strlen(text) != (size_t)jv_string_length_bytes(jv_copy(v)))
		return NULL;
	return xstrdup(text);
}

double jvx_num_field(jv object, const char *key, double otherwise)
{
	cleanup_jv jv v = jvx_get(object, key);

	/* libjq reads `nan` and 1e999 too, and writes null and another number for them. */
	return jvx_is(v, JV_KIND_NUMBER) && isfinite(jv_number_value(v)) ? jv_number_value(v)
									 : otherwise;
}

bool jvx_field_is(jv object, const char *key, const char *text)
{
	cleanup_jv jv v = jvx_get(object, key);

	return jvx_is(v, JV_KIND_STRING) && strcmp(jv_string_value(v), text) == 0;
}

void jvx_set(jv *object, const char *key, jv value)
{
	*object = jv_object_set(*object, jv_string(key), value);
}

void jvx_set_str(jv *object, const char *key, const char *text)
{
	jvx_set(object, key, jv_string(text));
}

void jvx_append(jv *array, jv value)
{
	*array = jv_array_append(*array, value);
}

jv jvx_keys(jv object)
{
	return jvx_is(object, JV_KIND_OBJECT) ? jv_keys(jv_copy(object)) : jv_array();
}

char *jvx_dump(jv v)
{
	cleanup_jv jv text = jv_dump_string(jv_copy(v), JV_PRINT_SORTED);

	return xstrdup(jv_string_value(text));
}

jv jvx_parse(const char *text, size_t len, struct err *err)
{
	cleanup_jv jv v = jv_invalid();
	cleanup_jv jv why = jv_invalid();
	static const char quote[] = " (while parsing '";
	const char *message;

	if (len > INT_MAX / 4) {
		err_set(err, EXIT_BAD_INPUT, "JSON text of %zu bytes is too long", len);
		return jv_invalid();
	}
	/* libjq takes it for the end of a number: "\0" would be 0, and "1\0x" 1. */
	if (memchr(text, '\0', len) != NULL) {
		err_set(err, EXIT_BAD_INPUT, "not JSON: a NUL byte in it");
		return jv_invalid();
	}
	v = jv_parse_sized(text, (int)len);
	if (jvx_is(v, JV_KIND_INVALID)) {
		why = jv_invalid_get_msg(jvx_take(&v));
		message = jvx_str(why, "the text is empty");
		/* libjq goes on to quote the whole text, which may be long, and nobody's business. */
		err_set(err, EXIT_BAD_INPUT, "not JSON: %.*s",
			(int)(strstr(message, quote) != NULL ? strstr(message, quote) - message
							     : (ptrdiff_t)strlen(message)),
			message);
		return jv_invalid();
	}
	return jvx_take(&v);
}
