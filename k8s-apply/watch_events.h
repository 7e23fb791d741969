/*
 * watch_events: the lines of a watch, whole ones, as what they mean.
 *
 * The bytes come in pieces of any size. A line is {"type": ..., "object": ...}; what cannot be
 * read is a loss, because nobody knows of which object it was: only a list tells then.
 *
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */
#ifndef MESHPIPE_WATCH_EVENTS_H
#define MESHPIPE_WATCH_EVENTS_H

#include "k8s-apply/kube_status.h"
#include "lib/buf.h"

enum watch_event_kind {
	WATCH_OBJECT, /* added or changed */
	WATCH_DELETED,
	WATCH_BOOKMARK, /* nothing but a resourceVersion */
	WATCH_INITIAL,	/* the same, and all that was there at the start has been told */
	WATCH_ERROR,
	WATCH_UNREADABLE,
};

struct watch_event {
	enum watch_event_kind kind;
	jv object;		   /* of the first four; borrowed; invalid for one that is known */
	const char *version;	   /* of object; NULL when it has none; borrowed */
	struct kube_status status; /* of WATCH_ERROR */
};

struct watch_events {
	struct buf text;
	size_t done;	/* of text: taken */
	size_t scanned; /* of text: without an end of a line, but for those that were taken */
};

void watch_events_init(struct watch_events *w);
void watch_events_release(struct watch_events *w);

/* Forgets what came. */
void watch_events_reset(struct watch_events *w);

/* -1: too much has come and was not taken. */
int watch_events_add(struct watch_events *w, const char *data, size_t len) NODISCARD;

struct watch_reader {
	void (*on_event)(void *arg, const struct watch_event *event);
	/* Whether an object is known in this version: its event is not parsed, and told as a bookmark.
	 * Most are the echo of what we have just written. NULL: none is. */
	bool (*knows)(void *arg, const char *name, size_t len, const char *version);
	void *arg;
};

/* The next whole line to on_event; false when there is none. `w` must outlive the callback. */
bool watch_events_next(struct watch_events *w, const struct watch_reader *reader);

#endif
