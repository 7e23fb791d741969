#include "lib/yaml_write.h"

#include <string.h>

#include "lib/canon.h"

#define MAX_DEPTH 200

/* libyaml reads an implicit key of up to 1,024 characters; longer ones need the "? " form. */
#define MAX_IMPLICIT_KEY 1000

struct writer {
	struct buf *out;
	bool nulls; /* fields that are null are written, too */
	struct err *err;
};

static int put(struct writer *w, const char *text)
{
	return buf_adds(w->out, text) < 0 ? err_set(w->err, EXIT_BAD_INPUT, "too large") : 0;
}

static int indent(struct writer *w, int depth)
{
	for (int i = 0; i < depth; i++)
		if (put(w, "  ") < 0)
			return -1;
	return 0;
}

/* Words that YAML 1.1 or 1.2 takes for a boolean or null, in any case to be safe. */
static bool is_reserved(const char *s)
{
	static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false",
		"null", "nan", "inf", "infinity" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

/*
 * Letters first: whatever starts with a digit, a sign or a dot may be a number,
 * a date or a time of day to somebody ("1.0", "0x1", "1e3", "12:30", "2024-01-01", "10.0.0.1").
 */
static bool is_plain(const char *s, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char others[] = "0123456789._-/";

	if (len == 0 || strlen(s) != len || strchr(letters, s[0]) == NULL || is_reserved(s))
		return false;
	for (size_t i = 1; i < len; i++) {
		if (strchr(letters, s[i]) != NULL || strchr(others, s[i]) != NULL)
			continue;
		/* Only ": " and a colon at the end mean something. */
		if (s[i] == ':' && i + 1 < len && s[i + 1] != ' ')
			continue;
		if (s[i] == ' ' && i + 1 < len && s[i + 1] != ' ' && s[i + 1] != '#')
			continue;
		return false;
	}
	return true;
}

static int put_escaped(struct writer *w, uint32_t c)
{
	char text[8];

	if (c == '\n')
		return put(w, "\\n");
	if (c == '\t')
		return put(w, "\\t");
	snprintf(text, sizeof(text), "\\u%04x", c);
	return put(w, text);
}

static int put_string(struct writer *w, jv v)
{
	const char *s = jv_string_value(v);
	size_t len = (size_t)jv_string_length_bytes(jv_copy(v)), n;

	if (is_plain(s, len))
		return put(w, s);
	if (put(w, "\"") < 0)
		return -1;
	for (size_t i = 0; i < len; i += n) {
		uint32_t c;

		n = canon_char(s + i, &c);
		if (c == 0)
			return err_set(w->err, EXIT_BAD_INPUT, "a NUL character");
		if (canon_needs_escape(c)) {
			if (put_escaped(w, c) < 0)
				return -1;
			continue;
		}
		if ((c == '"' || c == '\\') && put(w, "\\") < 0)
			return -1;
		if (buf_add(w->out, s + i, n) < 0)
			return err_set(w->err, EXIT_BAD_INPUT, "too large");
	}
	return put(w, "\"");
}

static int put_scalar(struct writer *w, jv v)
{
	char number[32];

	switch (jv_get_kind(v)) {
	case JV_KIND_STRING:
		return put_string(w, v);
	case JV_KIND_NUMBER:
		if (!canon_number(jv_number_value(v), number))
			return err_set(w->err, EXIT_BAD_INPUT, "a number beyond 2^53");
		return put(w, number);
	case JV_KIND_TRUE:
		return put(w, "true");
	case JV_KIND_FALSE:
		return put(w, "false");
	case JV_KIND_NULL:
		return put(w, "null");
	case JV_KIND_ARRAY:
		return put(w, "[]");
	case JV_KIND_OBJECT:
		return put(w, "{}");
	case JV_KIND_INVALID:
		break;
	}
	return err_set(w->err, EXIT_BUG, "no value");
}

static int put_block(struct writer *w, jv v, int depth);

/* How many of an object's fields are written. */
static int count_fields(const struct writer *w, jv v)
{
	cleanup_jv jv keys = jvx_keys(v);
	int count = 0;

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jv_object_get(jv_copy(v), jv_copy(key));

		count += w->nulls || !jvx_is(value, JV_KIND_NULL);
	}
	return count;
}

static bool is_block(const struct writer *w, jv v)
{
	if (jvx_is(v, JV_KIND_OBJECT))
		return count_fields(w, v) > 0;
	return jvx_is(v, JV_KIND_ARRAY) && jvx_length(v) > 0;
}

/* "key:" and its value; the cursor stands where the key goes. */
static int put_field(struct writer *w, jv key, jv value, int depth)
{
	size_t start = w->out->len;

	if (put_string(w, key) < 0)
		return -1;
	if (w->out->len - start > MAX_IMPLICIT_KEY) {
		w->out->len = start;
		if (put(w, "? ") < 0 || put_string(w, key) < 0 || put(w, "\n") < 0 ||
			indent(w, depth) < 0)
			return -1;
	}
	if (put(w, ":") < 0)
		return -1;
	if (!is_block(w, value))
		return put(w, " ") < 0 || put_scalar(w, value) < 0 ? -1 : put(w, "\n");
	if (put(w, "\n") < 0)
		return -1;
	/* A list under a key needs no indent of its own; kubectl writes it so, too. */
	return put_block(w, value, jvx_is(value, JV_KIND_ARRAY) ? depth : depth + 1);
}

/* Fields in the order of `keys`; the first one is not indented when `inlined` (after "- "). */
static int put_fields(struct writer *w, jv v, jv keys, int depth, bool inlined)
{
	bool first = true;

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jv_object_get(jv_copy(v), jv_copy(key));

		if (!jv_is_valid(value) || (jvx_is(value, JV_KIND_NULL) && !w->nulls))
			continue;
		if (!(first && inlined) && indent(w, depth) < 0)
			return -1;
		first = false;
		if (put_field(w, key, value, depth) < 0)
			return -1;
	}
	return 0;
}

static int put_item(struct writer *w, jv item, int depth)
{
	if (indent(w, depth) < 0 || put(w, "-") < 0)
		return -1;
	if (!is_block(w, item))
		return put(w, " ") < 0 || put_scalar(w, item) < 0 ? -1 : put(w, "\n");
	if (jvx_is(item, JV_KIND_OBJECT)) {
		cleanup_jv jv keys = jvx_keys(item);

		return put(w, " ") < 0 ? -1 : put_fields(w, item, keys, depth + 1, true);
	}
	return put(w, "\n") < 0 ? -1 : put_block(w, item, depth + 1);
}

static int put_block(struct writer *w, jv v, int depth)
{
	if (depth > MAX_DEPTH)
		return err_set(w->err, EXIT_BAD_INPUT, "nested too deep");
	if (jvx_is(v, JV_KIND_OBJECT)) {
		cleanup_jv jv keys = jvx_keys(v);

		return put_fields(w, v, keys, depth, false);
	}
	for (int i = 0; i < jvx_length(v); i++) {
		cleanup_jv jv item = jvx_at(v, i);

		if (put_item(w, item, depth) < 0)
			return -1;
	}
	return 0;
}

/* apiVersion, kind and metadata first: what a reader looks for. */
static jv friendly_order(jv v)
{
	static const char *const first[] = { "apiVersion", "kind", "metadata" };
	cleanup_jv jv sorted = jvx_keys(v);
	cleanup_jv jv keys = jv_array();

	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		jvx_append(&keys, jv_string(first[i]));
	for (int i = 0; i < jvx_length(sorted); i++) {
		cleanup_jv jv key = jvx_at(sorted, i);
		bool seen = false;

		for (size_t k = 0; k < ARRAY_SIZE(first); k++)
			seen = seen || strcmp(jv_string_value(key), first[k]) == 0;
		if (!seen)
			jvx_append(&keys, jv_copy(key));
	}
	return jvx_take(&keys);
}

static int put_document(struct writer *w, jv v)
{
	if (!is_block(w, v))
		return put_scalar(w, v) < 0 ? -1 : put(w, "\n");
	if (jvx_is(v, JV_KIND_OBJECT)) {
		cleanup_jv jv keys = friendly_order(v);

		return put_fields(w, v, keys, 0, false);
	}
	return put_block(w, v, 0);
}

int yaml_write(jv v, struct buf *out, struct err *err)
{
	struct writer w = { .out = out, .err = err };

	return put_document(&w, v);
}

int yaml_write_nulls(jv v, struct buf *out, struct err *err)
{
	struct writer w = { .out = out, .nulls = true, .err = err };

	return put_document(&w, v);
}
