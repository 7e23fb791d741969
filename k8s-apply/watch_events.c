#include "k8s-apply/watch_events.h"

#include <string.h>

#include "k8s-apply/api_json.h"

/* What a watch may bring before somebody gets to it. */
#define MAX_BYTES (64u << 20)

#define INITIAL_ANNOTATION "k8s.io/initial-events-end"

void watch_events_init(struct watch_events *w)
{
	*w = (struct watch_events){ .done = 0 };
	buf_init(&w->text, MAX_BYTES);
}

void watch_events_release(struct watch_events *w)
{
	buf_release(&w->text);
}

void watch_events_reset(struct watch_events *w)
{
	buf_reset(&w->text);
	w->done = w->scanned = 0;
}

int watch_events_add(struct watch_events *w, const char *data, size_t len)
{
	return buf_add(&w->text, data, len);
}

static enum watch_event_kind kind_of(const char *type, jv metadata)
{
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		return WATCH_OBJECT;
	if (strcmp(type, "DELETED") == 0)
		return WATCH_DELETED;
	if (strcmp(type, "BOOKMARK") == 0) {
		cleanup_jv jv annotations = jvx_get(metadata, "annotations");

		return jvx_field_is(annotations, INITIAL_ANNOTATION, "true") ? WATCH_INITIAL
									     : WATCH_BOOKMARK;
	}
	/* One that we do not know yet says nothing of an object. */
	return *type != '\0' ? WATCH_BOOKMARK : WATCH_UNREADABLE;
}

static void read_event(const char *text, size_t len, const struct watch_reader *reader)
{
	struct err err = ERR_INIT;
	cleanup_jv jv line = api_json_parse(text, len, &err);
	cleanup_jv jv type = jvx_get(line, "type");
	cleanup_jv jv object = jvx_get(line, "object");
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_free char *version = jvx_dup_field(metadata, "resourceVersion");
	struct watch_event event = { .kind = WATCH_UNREADABLE, .object = object };
	const char *name = jvx_str(type, "");

	if (strcmp(name, "ERROR") == 0) {
		event.kind = WATCH_ERROR;
		kube_status_of_object(object, &event.status);
	} else if (jvx_is(object, JV_KIND_OBJECT)) {
		event.kind = kind_of(name, metadata);
		event.version = version;
	}
	reader->on_event(reader->arg, &event);
}

/*
 * The version of an object that is added or changed, if it is known in that; else NULL. The API
 * server writes the name first, then the version, then what people put there; what is in another
 * order is parsed.
 */
static char *known_version(const char *text, size_t len, const struct watch_reader *reader)
{
	const char *end = text + len;
	size_t name_len, version_len;
	const char *name, *version;
	cleanup_free char *copy = NULL;

	if (reader->knows == NULL || (!str_starts(text, "{\"type\":\"ADDED\",") &&
					     !str_starts(text, "{\"type\":\"MODIFIED\",")))
		return NULL;
	name = api_json_find_text(text, end, "\"metadata\":{\"name\":\"", &name_len);
	version = name != NULL
			  ? api_json_find_text(name, end, "\"resourceVersion\":\"", &version_len)
			  : NULL;
	if (version == NULL)
		return NULL;
	copy = xstrndup(version, version_len);
	return reader->knows(reader->arg, name, name_len, copy) ? TAKE(copy) : NULL;
}

static void tell(const char *text, size_t len, const struct watch_reader *reader)
{
	cleanup_free char *known = known_version(text, len, reader);
	const struct watch_event event = {
		.kind = WATCH_BOOKMARK,
		.object = jv_invalid(),
		.version = known,
	};

	if (known != NULL)
		reader->on_event(reader->arg, &event);
	else
		read_event(text, len, reader);
}

bool watch_events_next(struct watch_events *w, const struct watch_reader *reader)
{
	size_t from = w->scanned > w->done ? w->scanned : w->done, start = w->done;
	char *end =
		w->text.len > from ? memchr(w->text.data + from, '\n', w->text.len - from) : NULL;

	if (end == NULL) {
		buf_consume(&w->text, w->done);
		w->done = 0;
		w->scanned = w->text.len;
		return false;
	}
	w->done = (size_t)(end - w->text.data) + 1;
	tell(w->text.data + start, w->done - 1 - start, reader);
	return true;
}
