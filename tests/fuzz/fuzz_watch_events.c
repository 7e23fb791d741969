/*
 * Any bytes as the stream of a watch, in pieces of any size, through watch_events.c as in production.
 *
 * Whatever the bytes, and however they are cut: the same lines mean the same; each whole line is
 * one event; an event has what its kind promises.
 */
#include <ctype.h>
#include <string.h>

#include "k8s-apply/watch_events.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static const char *const kinds[] = {
	[WATCH_OBJECT] = "object",
	[WATCH_DELETED] = "deleted",
	[WATCH_BOOKMARK] = "bookmark",
	[WATCH_INITIAL] = "initial",
	[WATCH_ERROR] = "error",
	[WATCH_UNREADABLE] = "unreadable",
};

struct seen {
	size_t events;
	struct buf text; /* what came, as words */
};

static void check_text(const char *text)
{
	MUST(strlen(text) < KUBE_STATUS_WHY_BYTES, "a reason without an end");
	for (const char *s = text; *s != '\0'; s++)
		MUST((unsigned char)*s >= ' ' && *s != 0x7f, "a reason with controls: %s", text);
}

static void on_event(void *arg, const struct watch_event *event)
{
	struct seen *seen = arg;

	seen->events++;
	MUST((size_t)event->kind < ARRAY_SIZE(kinds), "no kind");
	MUST(buf_addf(&seen->text, "%s%s", seen->text.len > 0 ? " " : "", kinds[event->kind]) == 0,
		"too many words");
	if (event->kind == WATCH_ERROR) {
		check_text(event->status.why);
		MUST(event->status.retry_after_ms >= 0, "a wait of the past");
		MUST(buf_addf(&seen->text, ":%d", (int)event->status.verdict) == 0,
			"too many words");
	} else if (event->kind != WATCH_UNREADABLE) {
		MUST(event->kind == WATCH_BOOKMARK || jvx_is(event->object, JV_KIND_OBJECT),
			"an event without an object");
		MUST(buf_addf(&seen->text, "@%s", event->version != NULL ? event->version : "-") ==
				0,
			"too many words");
	}
}

/* Some of the versions. */
static bool knows(void *arg UNUSED, const char *name, size_t len, const char *version)
{
	MUST(memchr(name, '"', len) == NULL && strchr(version, '"') == NULL, "more than a text");
	return *version == '8';
}

static void take(const uint8_t *data, size_t size, size_t piece, struct seen *seen)
{
	const struct watch_reader reader = { .on_event = on_event, .knows = knows, .arg = seen };
	struct watch_events w;

	buf_init(&seen->text, 256u << 20);
	seen->events = 0;
	watch_events_init(&w);
	for (size_t at = 0; at < size; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		MUST(watch_events_add(&w, (const char *)data + at, len) == 0, "no room");
		while (watch_events_next(&w, &reader))
			;
	}
	MUST(!watch_events_next(&w, &reader), "an event of nothing");
	watch_events_release(&w);
}

static size_t count_lines(const uint8_t *data, size_t size)
{
	size_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { 1, 7, 4096 };
	struct seen whole, cut;

	fuzz_leaks_begin();
	take(data, size, size > 0 ? size : 1, &whole);
	MUST(whole.events == count_lines(data, size), "%zu events", whole.events);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		take(data, size, pieces[i], &cut);
		MUST(strcmp(buf_str(&whole.text), buf_str(&cut.text)) == 0,
			"in pieces of %zu: '%s', not '%s'", pieces[i], buf_str(&cut.text),
			buf_str(&whole.text));
		buf_release(&cut.text);
	}
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s", buf_str(&whole.text));
	buf_release(&whole.text);
	fuzz_leaks_end();
	return 0;
}
