#include "mesh-map/check_schema.h"

#include <math.h>
#include <string.h>

#include "mesh-map/check_text.h"

static int check_string(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	const char *text;

	if (!jvx_is(v, JV_KIND_STRING))
		return place_fail(p, v, err, "a string");
	text = jv_string_value(v);
	if (s->most > 0 && text_length(text) > (size_t)s->most)
		return place_fail(p, v, err, "at most %d characters", s->most);
	if (s->text != NULL && !s->text(text))
		return place_fail(p, v, err, "%s", s->rule);
	if (s->words == NULL)
		return 0;
	for (const char *const *word = s->words; *word != NULL; word++)
		if (strcmp(*word, text) == 0)
			return 0;
	return place_fail(p, v, err, "%s", s->rule);
}

static int check_number(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	double d = jvx_is(v, JV_KIND_NUMBER) ? jv_number_value(v) : NAN;

	if (!isfinite(d) || (s->type == SCHEMA_INTEGER && d != floor(d)))
		return place_fail(
			p, v, err, "%s", s->type == SCHEMA_INTEGER ? "a whole number" : "a number");
	if (s->max > s->min && (d < s->min || d > s->max) && s->rule != NULL)
		return place_fail(p, v, err, "%s", s->rule);
	if (s->max > s->min && (d < s->min || d > s->max))
		return place_fail(p, v, err, "from %.15g to %.15g", s->min, s->max);
	return 0;
}

static int check_count(const struct schema *s, const struct place *p, int n, struct err *err)
{
	if (n < s->least)
		return place_fail_count(p, n, "entries", err, "at least %d", s->least);
	if (s->most > 0 && n > s->most)
		return place_fail_count(p, n, "entries", err, "at most %d", s->most);
	return 0;
}

static int check_list(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	int n = jvx_length(v);

	if (!jvx_is(v, JV_KIND_ARRAY))
		return place_fail(p, v, err, "a list");
	if (check_count(s, p, n, err) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		cleanup_jv jv item = jvx_at(v, i);

		if (schema_check(s->of, PLACE_AT(p, i), item, err) < 0)
			return -1;
	}
	return 0;
}

static int check_entry(
	const struct schema *s, const struct place *p, jv key, jv value, struct err *err)
{
	if (s->text != NULL && !s->text(jv_string_value(key)))
		return place_fail(p, key, err, "keys: %s", s->rule);
	return schema_check(s->of, PLACE(p, jv_string_value(key)), value, err);
}

static int check_map(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	int n = 0;

	if (!jvx_is(v, JV_KIND_OBJECT))
		return place_fail(p, v, err, "a map");
	for (int i = jv_object_iter(v); jv_object_iter_valid(v, i); i = jv_object_iter_next(v, i)) {
		cleanup_jv jv key = jv_object_iter_key(v, i);
		cleanup_jv jv value = jv_object_iter_value(v, i);

		if (jvx_is(value, JV_KIND_NULL))
			continue;
		n++;
		if (check_entry(s, p, key, value, err) < 0)
			return -1;
	}
	return check_count(s, p, n, err);
}

static const struct schema_field *find_field(const struct schema *s, const char *name)
{
	for (const struct schema_field *f = s->fields; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static int check_required(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	for (const struct schema_field *f = s->fields; f->name != NULL; f++) {
		cleanup_jv jv value = f->required ? jvx_get(v, f->name) : jv_true();

		if (!jv_is_valid(value) || jvx_is(value, JV_KIND_NULL))
			return place_fail(PLACE(p, f->name), jv_null(), err, "required");
	}
	return 0;
}

static int check_struct(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	if (!jvx_is(v, JV_KIND_OBJECT))
		return place_fail(p, v, err, "a map");
	for (int i = jv_object_iter(v); jv_object_iter_valid(v, i); i = jv_object_iter_next(v, i)) {
		cleanup_jv jv key = jv_object_iter_key(v, i);
		cleanup_jv jv value = jv_object_iter_value(v, i);
		const struct schema_field *f;

		if (jvx_is(value, JV_KIND_NULL))
			continue;
		f = find_field(s, jv_string_value(key));
		if (f == NULL)
			return place_fail(PLACE(p, jv_string_value(key)), value, err,
				"a field that is known");
		if (schema_check(f->schema, PLACE(p, f->name), value, err) < 0)
			return -1;
	}
	if (check_required(s, p, v, err) < 0)
		return -1;
	return s->whole != NULL ? s->whole(p, v, err) : 0;
}

int schema_check(const struct schema *s, const struct place *p, jv v, struct err *err)
{
	switch (s->type) {
	case SCHEMA_STRING:
		return check_string(s, p, v, err);
	case SCHEMA_BOOLEAN:
		if (jvx_is(v, JV_KIND_TRUE) || jvx_is(v, JV_KIND_FALSE))
			return 0;
		return place_fail(p, v, err, "true or false");
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
		return check_number(s, p, v, err);
	case SCHEMA_LIST:
		return check_list(s, p, v, err);
	case SCHEMA_MAP:
		return check_map(s, p, v, err);
	case SCHEMA_STRUCT:
		return check_struct(s, p, v, err);
	}
	return err_set(err, EXIT_BUG, "no such type of schema: %d", s->type);
}
