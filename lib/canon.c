#include "lib/canon.h"

#include <math.h>
#include <string.h>

#define MAX_DEPTH     200
#define MAX_KEY_BYTES 1024

/* Those of most objects need no memory of their own to be sorted. */
#define FEW_FIELDS 16

/* 2^53: 2^53 + 1 has been rounded to it. */
#define MAX_EXACT 9007199254740992.0

bool canon_number(double d, char text[static 32])
{
	if (!isfinite(d) || fabs(d) >= MAX_EXACT)
		return false;
	if (d == floor(d)) {
		snprintf(text, 32, "%.0f", d == 0 ? 0.0 : d);
		return true;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, 32, "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	return true;
}

size_t canon_char(const char *s, uint32_t *ret)
{
	const unsigned char *u = (const unsigned char *)s;

	if (u[0] < 0x80) {
		*ret = u[0];
		return 1;
	}
	if (u[0] < 0xe0) {
		*ret = (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
		return 2;
	}
	if (u[0] < 0xf0) {
		*ret = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
		return 3;
	}
	*ret = (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
	return 4;
}

bool canon_needs_escape(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

static int put(struct buf *out, const char *text, size_t len, struct err *err)
{
	return buf_add(out, text, len) < 0 ? err_set(err, EXIT_BAD_INPUT, " is too large") : 0;
}

static int puts_to(struct buf *out, const char *text, struct err *err)
{
	return put(out, text, strlen(text), err);
}

/* Puts a step of the path before the message; always -1. */
static int within(struct err *err, const char *before, const char *step, const char *after)
{
	char *inner = xstrdup(err->msg);

	err_set(err, err->status, "%s%s%s%s", before, step, after, inner);
	free(inner);
	return -1;
}

/* Most characters: nothing has to be known of them to write them as they are. */
static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static int write_string(jv v, struct buf *out, struct err *err)
{
	const char *s = jv_string_value(v);
	size_t len = (size_t)jv_string_length_bytes(jv_copy(v)), raw = 0, n;
	char escape[8];

	if (puts_to(out, "\"", err) < 0)
		return -1;
	for (size_t i = 0; i < len; i += n) {
		uint32_t c;

		n = 1;
		if (is_plain(s[i]))
			continue;
		n = canon_char(s + i, &c);
		if (c == 0)
			return err_set(err, EXIT_BAD_INPUT, " holds a NUL character");
		if (c != '"' && c != '\\' && !canon_needs_escape(c))
			continue;
		snprintf(escape, sizeof(escape), c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
		if (put(out, s + raw, i - raw, err) < 0 || puts_to(out, escape, err) < 0)
			return -1;
		raw = i + n;
	}
	return put(out, s + raw, len - raw, err) < 0 ? -1 : puts_to(out, "\"", err);
}

static int write_value(jv v, int depth, struct buf *out, struct err *err);

static int write_array(jv v, int depth, struct buf *out, struct err *err)
{
	if (puts_to(out, "[", err) < 0)
		return -1;
	for (int i = 0; i < jvx_length(v); i++) {
		cleanup_jv jv item = jvx_at(v, i);

		if (i > 0 && puts_to(out, ",", err) < 0)
			return -1;
		if (write_value(item, depth + 1, out, err) < 0) {
			char step[16];

			snprintf(step, sizeof(step), "%d", i);
			return within(err, "[", step, "]");
		}
	}
	return puts_to(out, "]", err);
}

static int write_field(jv key, jv value, int depth, struct buf *out, struct err *err)
{
	if (jv_string_length_bytes(jv_copy(key)) > MAX_KEY_BYTES)
		return err_set(
			err, EXIT_BAD_INPUT, " has a key of more than %d bytes", MAX_KEY_BYTES);
	if (write_string(key, out, err) < 0 || puts_to(out, ":", err) < 0)
		return -1;
	if (write_value(value, depth + 1, out, err) < 0)
		return within(err, ".", jv_string_value(key), "");
	return 0;
}

struct field {
	jv key, value;
};

static int compare_fields(const void *a, const void *b)
{
	return strcmp(jv_string_value(((const struct field *)a)->key),
		jv_string_value(((const struct field *)b)->key));
}

/* Sorted by the bytes of their keys. Many are in order already; jv_keys() would look each up again. */
static size_t sorted_fields(jv v, struct field *fields)
{
	size_t count = 0;
	bool sorted = true;

	for (int i = jv_object_iter(v); jv_object_iter_valid(v, i); i = jv_object_iter_next(v, i)) {
		fields[count] =
			(struct field){ jv_object_iter_key(v, i), jv_object_iter_value(v, i) };
		if (count > 0 && compare_fields(&fields[count - 1], &fields[count]) > 0)
			sorted = false;
		count++;
	}
	if (!sorted)
		qsort(fields, count, sizeof(*fields), compare_fields);
	return count;
}

static int write_fields(
	const struct field *fields, size_t count, int depth, struct buf *out, struct err *err)
{
	bool first = true;

	if (puts_to(out, "{", err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (jvx_is(fields[i].value, JV_KIND_NULL))
			continue;
		if (!first && puts_to(out, ",", err) < 0)
			return -1;
		first = false;
		if (write_field(fields[i].key, fields[i].value, depth, out, err) < 0)
			return -1;
	}
	return puts_to(out, "}", err);
}

static int write_object(jv v, int depth, struct buf *out, struct err *err)
{
	struct field few[FEW_FIELDS];
	size_t count = (size_t)jvx_length(v);
	cleanup_free struct field *many = count > FEW_FIELDS ? xcalloc(count, sizeof(*many)) : NULL;
	struct field *fields = many != NULL ? many : few;
	int rc;

	count = sorted_fields(v, fields);
	rc = write_fields(fields, count, depth, out, err);
	for (size_t i = 0; i < count; i++) {
		jv_free(fields[i].key);
		jv_free(fields[i].value);
	}
	return rc;
}

static int write_number(jv v, struct buf *out, struct err *err)
{
	char text[32];

	if (!canon_number(jv_number_value(v), text))
		return err_set(err, EXIT_BAD_INPUT,
			" is a number that cannot be kept exactly (write it as a string)");
	return puts_to(out, text, err);
}

static int write_value(jv v, int depth, struct buf *out, struct err *err)
{
	if (depth > MAX_DEPTH)
		return err_set(err, EXIT_BAD_INPUT, " is nested too deep");
	switch (jv_get_kind(v)) {
	case JV_KIND_OBJECT:
		return write_object(v, depth, out, err);
	case JV_KIND_ARRAY:
		return write_array(v, depth, out, err);
	case JV_KIND_STRING:
		return write_string(v, out, err);
	case JV_KIND_NUMBER:
		return write_number(v, out, err);
	case JV_KIND_TRUE:
		return puts_to(out, "true", err);
	case JV_KIND_FALSE:
		return puts_to(out, "false", err);
	case JV_KIND_NULL:
		return puts_to(out, "null", err);
	case JV_KIND_INVALID:
		break;
	}
	return err_set(err, EXIT_BUG, " is no value");
}

int canon_write(jv v, struct buf *out, struct err *err)
{
	struct err why = ERR_INIT;

	if (write_value(v, 0, out, &why) == 0)
		return 0;
	/* The path was put together from the inside: ".spec.ports[0] is ...". */
	return err_set(err, why.status, "%s%s", *why.msg == '.' ? "" : "the object",
		why.msg + (*why.msg == '.'));
}
