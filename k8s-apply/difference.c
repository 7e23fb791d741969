#include "k8s-apply/difference.h"

#include <string.h>

#include "k8s-apply/map.h"
#include "k8s-apply/ownership.h"
#include "lib/diff.h"
#include "lib/yaml_write.h"

/* Of both texts together; what the API server takes is far below. */
#define MAX_TEXT_BYTES (64u << 20)

/* kubectl apply keeps the whole manifest in it, the values of a Secret as well. */
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

/* One of those that are announced, in their order. */
struct slot {
	struct object_id id; /* bytes: the key in the map, while it waits */
	struct slot *next;
	char *text; /* NULL: nothing to be printed */
	bool waits;
};

struct differences {
	struct out *out;
	bool colour;
	struct slot *first, **end;
	struct map waiting;
	size_t count;
};

struct differences *differences_new(struct out *out, bool colour)
{
	struct differences *d = xcalloc(1, sizeof(*d));

	d->out = out;
	d->colour = colour;
	d->end = &d->first;
	return d;
}

static void drop_first(struct differences *d)
{
	struct slot *s = d->first;

	d->first = s->next;
	if (d->first == NULL)
		d->end = &d->first;
	object_id_release(&s->id);
	free(s->text);
	free(s);
}

void differences_free(struct differences *d)
{
	if (d == NULL)
		return;
	while (d->first != NULL)
		drop_first(d);
	map_release(&d->waiting);
	free(d);
}

size_t differences_count(const struct differences *d)
{
	return d->count;
}

/* All whose turn it is. */
static void print_ready(struct differences *d)
{
	while (d->first != NULL && !d->first->waits) {
		if (d->first->text != NULL)
			out_line(d->out, d->first->text);
		drop_first(d);
	}
}

static struct slot *add_slot(struct differences *d, const struct object_id *id)
{
	struct slot *s = xcalloc(1, sizeof(*s));

	object_id_copy(&s->id, id);
	*d->end = s;
	d->end = &s->next;
	return s;
}

void differences_expect(struct differences *d, const struct object_id *id)
{
	struct slot *s;

	if (map_get(&d->waiting, id->bytes, id->len) != NULL)
		return;
	s = add_slot(d, id);
	s->waits = true;
	map_add(&d->waiting, s->id.bytes, s->id.len, s);
}

void differences_settle(struct differences *d, const struct object_id *id)
{
	struct slot *s = map_get(&d->waiting, id->bytes, id->len);

	if (s == NULL)
		return;
	map_remove(&d->waiting, s->id.bytes, s->id.len);
	s->waits = false;
	print_ready(d);
}

/* What a person does not want to read. */

static jv without(jv object, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		object = jv_object_delete(object, jv_string(names[i]));
	return object;
}

/* Takes the word out of a map of the metadata, and the map when nothing is left of it. */
static void drop_word(jv *metadata, const char *map, const char *word)
{
	cleanup_jv jv words = jvx_get(*metadata, map);

	if (!jvx_is(words, JV_KIND_OBJECT))
		return;
	words = jv_object_delete(jvx_take(&words), jv_string(word));
	if (jvx_length(words) == 0)
		*metadata = jv_object_delete(*metadata, jv_string(map));
	else
		jvx_set(metadata, map, jvx_take(&words));
}

static jv word_of(jv object, const char *map, const char *word)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv words = jvx_get(metadata, map);

	return jvx_get(words, word);
}

/* Whose it is goes without saying, unless that changes. */
static bool goes_without_saying(jv object, jv other, const char *map, const char *word)
{
	cleanup_jv jv here = word_of(object, map, word);
	cleanup_jv jv there = word_of(other, map, word);

	return !jv_is_valid(other) || jv_equal(jv_copy(here), jv_copy(there));
}

static jv readable_metadata(jv object, jv other)
{
	static const char *const fields[] = { "managedFields", "uid", "resourceVersion",
		"generation", "creationTimestamp", "selfLink" };
	jv metadata = without(jvx_get(object, "metadata"), fields, ARRAY_SIZE(fields));

	drop_word(&metadata, "annotations", OWNERSHIP_MARK);
	if (goes_without_saying(object, other, "annotations", OWNERSHIP_KEY))
		drop_word(&metadata, "annotations", OWNERSHIP_KEY);
	if (goes_without_saying(object, other, "labels", OWNERSHIP_LABEL))
		drop_word(&metadata, "labels", OWNERSHIP_LABEL);
	return metadata;
}

static bool is_secret(jv object)
{
	return jvx_field_is(object, "kind", "Secret") && jvx_field_is(object, "apiVersion", "v1");
}

/* The values of a Secret as "***", with the side where they differ, as kubectl diff does. */
static void mask(jv *object, jv other, const char *field, const char *differs)
{
	cleanup_jv jv data = jvx_get(*object, field);
	cleanup_jv jv others = jvx_get(other, field);
	cleanup_jv jv keys = jvx_keys(data);

	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv here = jvx_get(data, jv_string_value(key));
		cleanup_jv jv there = jvx_get(others, jv_string_value(key));
		bool same = !jv_is_valid(there) || jv_equal(jv_copy(here), jv_copy(there));

		jvx_set_str(&data, jv_string_value(key), same ? "***" : differs);
	}
	if (jvx_is(data, JV_KIND_OBJECT))
		jvx_set(object, field, jvx_take(&data));
}

static void mask_last_applied(jv *metadata, jv object, jv other, const char *differs)
{
	cleanup_jv jv here = word_of(object, "annotations", LAST_APPLIED);
	cleanup_jv jv there = word_of(other, "annotations", LAST_APPLIED);
	cleanup_jv jv words = jvx_get(*metadata, "annotations");
	bool same = !jv_is_valid(there) || jv_equal(jv_copy(here), jv_copy(there));

	if (!jv_is_valid(here))
		return;
	jvx_set_str(&words, LAST_APPLIED, same ? "***" : differs);
	jvx_set(metadata, "annotations", jvx_take(&words));
}

static jv readable(jv object, jv other, const char *differs)
{
	static const char *const fields[] = { "status" };
	cleanup_jv jv metadata = readable_metadata(object, other);
	jv shown = without(jv_copy(object), fields, ARRAY_SIZE(fields));

	if (is_secret(object))
		mask_last_applied(&metadata, object, other, differs);
	jvx_set(&shown, "metadata", jvx_take(&metadata));
	if (is_secret(object)) {
		mask(&shown, other, "data", differs);
		mask(&shown, other, "stringData", differs);
	}
	return shown;
}

/* "" for an object that is not there. */
static char *text_of(jv object, jv other, const char *differs)
{
	const int flags =
		JV_PRINT_PRETTY | JV_PRINT_SORTED | JV_PRINT_SPACE1 | JV_PRINT_INDENT_FLAGS(2);
	cleanup_jv jv shown = jv_invalid();
	cleanup_jv jv json = jv_invalid();
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;

	buf_init(&text, MAX_TEXT_BYTES);
	if (!jvx_is(object, JV_KIND_OBJECT))
		return xstrdup("");
	shown = readable(object, other, differs);
	if (yaml_write(shown, &text, &err) == 0)
		return TAKE(text.data);
	/* Somebody else's field may hold a number that we would not write. */
	json = jv_dump_string(jv_copy(shown), flags);
	return xstrdup(jv_string_value(json));
}

/* The diff. */

struct painter {
	struct buf text;
	bool colour;
};

static void paint(struct painter *p, const char *colour, const char *line, size_t len)
{
	bool painted = p->colour && colour != NULL;

	if (p->text.len > 0 && buf_adds(&p->text, "\n") < 0)
		return;
	if ((painted && buf_adds(&p->text, colour) < 0) || buf_add(&p->text, line, len) < 0 ||
		(painted && buf_adds(&p->text, "\033[0m") < 0))
		return;
}

static void on_line(void *arg, enum diff_side side, const char *line, size_t len)
{
	static const char red[] = "\033[31m", green[] = "\033[32m", cyan[] = "\033[36m";
	cleanup_free char *with_sign = xasprintf("%c%.*s", (char)side, (int)len, line);

	switch (side) {
	case DIFF_SKIPPED:
		paint(arg, cyan, line, len);
		return;
	case DIFF_OLD:
		paint(arg, red, with_sign, len + 1);
		return;
	case DIFF_NEW:
		paint(arg, green, with_sign, len + 1);
		return;
	case DIFF_BOTH:
		paint(arg, NULL, with_sign, len + 1);
		return;
	}
}

static void paint_title(struct painter *p, const char *sign, const char *side,
	const struct object_id *id, bool there)
{
	cleanup_free char *object = object_id_display(id);
	cleanup_free char *title = there ? xasprintf("%s %s/%s%s%s", sign, side, id->namespace,
						   *id->namespace != '\0' ? "/" : "", object)
					 : xasprintf("%s /dev/null", sign);

	paint(p, "\033[1m", title, strlen(title));
}

/* NULL when nothing that a person would see differs. */
static char *compare(const struct differences *d, const struct object_id *id, jv before, jv after)
{
	cleanup_free char *old = text_of(before, after, "*** (before)");
	cleanup_free char *new = text_of(after, before, "*** (after)");
	struct painter p = { .colour = d->colour };

	if (strcmp(old, new) == 0)
		return NULL;
	buf_init(&p.text, 4 * (size_t)MAX_TEXT_BYTES);
	paint_title(&p, "---", "live", id, jv_is_valid(before));
	paint_title(&p, "+++", "wanted", id, jv_is_valid(after));
	diff_unified(old, new, on_line, &p);
	return p.text.data;
}

void differences_found(struct differences *d, const struct object_id *id, jv before, jv after)
{
	struct slot *s = map_get(&d->waiting, id->bytes, id->len);

	if (s == NULL)
		s = add_slot(d, id);
	free(s->text);
	s->text = compare(d, id, before, after);
	d->count += s->text != NULL;
	print_ready(d);
}

void differences_note(struct differences *d, const struct object_id *id, const char *text)
{
	cleanup_free char *object = object_id_display(id);
	struct slot *s = add_slot(d, id);

	s->text = xasprintf(
		"# %s%s%s %s", id->namespace, *id->namespace != '\0' ? "/" : "", object, text);
	for (char *c = s->text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	print_ready(d);
}
