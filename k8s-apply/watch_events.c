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

static void tell(const char *text, size_t len,
	void (*on_event)(void *arg, const struct watch_event *event), void *arg)
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
	on_event(arg, &event);
}

bool watch_events_next(struct watch_events *w,
	void (*on_event)(void *arg, const struct watch_event *event), void *arg)
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
	tell(w->text.data + start, w->done - 1 - start, on_event, arg);
	return true;
}
