#include "k8s-apply/foreign.h"

#include <string.h>

#include "lib/buf.h"

#define MAX_FIELDS    3
#define MAX_WHY_BYTES 4096

static bool is_ours(const struct ownership *own, jv entry)
{
	return jvx_field_is(entry, "manager", own->manager) &&
	       jvx_field_is(entry, "operation", "Apply");
}

/* Of times in RFC 3339, UTC and in seconds, the later one is the greater text. */
char *foreign_writer(const struct ownership *own, jv object)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv fields = jvx_get(metadata, "managedFields");
	cleanup_free char *last = xstrdup("");
	char *writer = NULL;

	for (int i = 0; i < jvx_length(fields); i++) {
		cleanup_jv jv entry = jvx_at(fields, i);
		cleanup_jv jv time = jvx_get(entry, "time");

		if (is_ours(own, entry) || strcmp(jvx_str(time, ""), last) < 0)
			continue;
		free(last);
		last = xstrdup(jvx_str(time, ""));
		free(writer);
		writer = jvx_dup_field(entry, "manager");
	}
	return writer;
}

/* The name of another set that has applied it; NULL: none of k8s-apply's. */
static char *set_of(jv metadata)
{
	cleanup_jv jv fields = jvx_get(metadata, "managedFields");

	for (int i = 0; i < jvx_length(fields); i++) {
		cleanup_jv jv entry = jvx_at(fields, i);
		cleanup_jv jv manager = jvx_get(entry, "manager");
		const char *name = jvx_str(manager, "");

		if (str_starts(name, OWNERSHIP_MANAGER) &&
			jvx_field_is(entry, "operation", "Apply"))
			return xstrdup(name + strlen(OWNERSHIP_MANAGER));
	}
	return NULL;
}

static char *another_set(jv metadata, const char *id)
{
	cleanup_free char *set = set_of(metadata);

	if (set == NULL)
		return xasprintf("it belongs to another set (%s)", id);
	return xasprintf("it belongs to another set, '%s' (%s)", set, id);
}

static char *its_owner(jv owners)
{
	cleanup_jv jv owner = jvx_at(owners, 0);
	cleanup_jv jv kind = jvx_get(owner, "kind");
	cleanup_jv jv name = jvx_get(owner, "name");

	return xasprintf("it belongs to %s '%s' (ownerReferences)", jvx_str(kind, "an object"),
		jvx_str(name, ""));
}

/* Why it is not free; NULL: it is. */
static char *why_not_free(const struct ownership *own, jv metadata)
{
	cleanup_jv jv labels = jvx_get(metadata, "labels");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	cleanup_jv jv part_of = jvx_get(labels, OWNERSHIP_LABEL);
	cleanup_jv jv mark = jvx_get(annotations, OWNERSHIP_MARK);
	cleanup_jv jv owners = jvx_get(metadata, "ownerReferences");
	cleanup_jv jv deletion = jvx_get(metadata, "deletionTimestamp");

	if (jv_is_valid(part_of) && strcmp(jvx_str(part_of, ""), own->id) != 0)
		return another_set(metadata, jvx_str(part_of, ""));
	/* With our label it is a copy of one of ours; without, nobody can tell whose mark it is. */
	if (jv_is_valid(mark) && !jv_is_valid(part_of))
		return another_set(metadata, "by its mark; the label is gone");
	if (jvx_length(owners) > 0)
		return its_owner(owners);
	if (jvx_is(deletion, JV_KIND_STRING))
		return xstrdup("it is there, was not made by this set, and is being deleted");
	if (jvx_field_is(annotations, MANIFEST_RECONCILE, MANIFEST_DISABLED))
		return xstrdup("it is there, was not made by this set, and '" MANIFEST_RECONCILE
			       "' is '" MANIFEST_DISABLED "' on it");
	return NULL;
}

char *foreign_words(const struct ownership *own, jv object, bool *ret_free)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_free char *writer = NULL;
	char *why = why_not_free(own, metadata);

	*ret_free = why == NULL;
	if (why != NULL)
		return why;
	writer = foreign_writer(own, object);
	return xasprintf("it is there and was not made by this set%s%s%s",
		writer != NULL ? " (but by '" : "", writer != NULL ? writer : "",
		writer != NULL ? "')" : "");
}

/* 'conflict with "kubectl" using v1: .spec' */
static char *manager_of(const char *message)
{
	const char *begin = strchr(message, '"');
	const char *end = begin != NULL ? strchr(begin + 1, '"') : NULL;

	return end != NULL ? xstrndup(begin + 1, (size_t)(end - begin - 1)) : NULL;
}

static int add_field(struct buf *text, jv cause)
{
	cleanup_jv jv field = jvx_get(cause, "field");
	cleanup_jv jv message = jvx_get(cause, "message");
	cleanup_free char *manager = manager_of(jvx_str(message, ""));

	return buf_addf(text, "%sfield %s belongs to '%s'", text->len > 0 ? ", " : "",
		jvx_str(field, "?"), manager != NULL ? manager : "?");
}

char *foreign_fields(const char *status, size_t len)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv answer = jvx_parse(status, len, &ignored);
	cleanup_jv jv details = jvx_get(answer, "details");
	cleanup_jv jv causes = jvx_get(details, "causes");
	cleanup_buf struct buf text;
	int count = 0, rc = 0;

	buf_init(&text, MAX_WHY_BYTES);
	for (int i = 0; i < jvx_length(causes) && rc == 0; i++) {
		cleanup_jv jv cause = jvx_at(causes, i);

		if (jvx_field_is(cause, "reason", "FieldManagerConflict") && count++ < MAX_FIELDS)
			rc = add_field(&text, cause);
	}
	if (count > MAX_FIELDS && rc == 0)
		rc = buf_addf(&text, ", and %d more", count - MAX_FIELDS);
	if (count == 0)
		return NULL;
	if (text.len == 0)
		return xstrdup("fields belong to others");
	return xasprintf("%s%s", buf_str(&text), rc < 0 ? ", and more" : "");
}
