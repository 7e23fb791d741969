#include "mesh-map/stream.h"

#include <string.h>

#include "lib/lines.h"
#include "lib/log.h"
#include "mesh-map/mapping.h"
#include "mesh-map/peek.h"

/* A longer line that killed a worker is not parsed here: its `keep` has the fields that matter. */
#define MAX_PARSED_BYTES (1u << 20)

void stream_init(struct stream *s, struct out *out)
{
	*s = (struct stream){ .out = out, .snapshots = jv_object() };
	said_init(&s->said);
}

void stream_release(struct stream *s)
{
	jv_free(s->snapshots);
	said_release(&s->said);
}

/* --- lines in --- */

static struct item *bad_line(struct stream *s, char *problem)
{
	struct item *item = item_new(ITEM_BAD, s->line, NULL, 0);

	item->problem = problem;
	return item;
}

static const char *missing_name(bool has_source)
{
	return has_source ? "the record has no string 'service'"
			  : "the record has no string 'source'";
}

static struct item *service_line(
	struct stream *s, const struct peek *p, const char *text, size_t len)
{
	struct item *item;

	if (p->source.text == NULL || p->service.text == NULL)
		return NULL;
	item = item_new(ITEM_SERVICE, s->line, text, len);
	item_name(item, p->source.text, p->source.len, p->service.text, p->service.len);
	return item;
}

static struct item *parsed_service(
	struct stream *s, jv record, bool gone, const char *text, size_t len)
{
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv service = jvx_get(record, "service");
	cleanup_jv jv answer = jv_invalid();
	struct item *item;

	if (!jvx_is(source, JV_KIND_STRING) || !jvx_is(service, JV_KIND_STRING))
		return bad_line(s, xstrdup(missing_name(jvx_is(source, JV_KIND_STRING))));
	item = item_new(gone ? ITEM_GONE : ITEM_SERVICE, s->line, gone ? NULL : text, len);
	item_name(item, jv_string_value(source), strlen(jv_string_value(source)),
		jv_string_value(service), strlen(jv_string_value(service)));
	if (gone) {
		answer = mapping_gone(record);
		item->answer = jvx_dump(answer);
		item->answer_len = strlen(item->answer);
	}
	return item;
}

static enum item_kind kind_of(jv record)
{
	if (jvx_field_is(record, "type", "start"))
		return ITEM_START;
	if (jvx_field_is(record, "type", "synced"))
		return ITEM_SYNCED;
	return ITEM_PASS;
}

/* A line of any kind, by its value. */
static struct item *parsed_line(struct stream *s, const char *text, size_t len)
{
	cleanup_jv jv record = jv_invalid();
	cleanup_jv jv source = jv_invalid();
	struct err err = ERR_INIT;
	struct item *item;

	record = jvx_parse(text, len, &err);
	if (!jv_is_valid(record))
		return bad_line(s, xstrdup(err.msg));
	if (!jvx_is(record, JV_KIND_OBJECT))
		return bad_line(s, xstrdup("not a JSON object"));
	if (jvx_field_is(record, "type", "service"))
		return parsed_service(s, record, false, text, len);
	if (jvx_field_is(record, "type", "gone"))
		return parsed_service(s, record, true, text, len);
	item = item_new(kind_of(record), s->line, text, len);
	source = jvx_get(record, "source");
	if (jvx_is(source, JV_KIND_STRING))
		item->source = xstrdup(jv_string_value(source));
	return item;
}

static bool is_blank(const char *text, size_t len)
{
	return strspn(text, " \t\r") == len;
}

struct item *stream_take(struct stream *s, const char *text, size_t len)
{
	struct item *item = NULL;
	struct peek peek;

	s->line++;
	if (text == NULL)
		return bad_line(s, xasprintf("longer than %u MiB", LINES_MAX_BYTES >> 20));
	if (is_blank(text, len))
		return NULL;
	/* The workers parse what is large; a line is looked at here as far as its way depends on it. */
	if (peek_line(text, len, &peek) && peek_is(&peek.type, "service"))
		item = service_line(s, &peek, text, len);
	return item != NULL ? item : parsed_line(s, text, len);
}

/* --- answers out --- */

static void report(struct stream *s, const char *subject, const char *problem)
{
	if (problem == NULL) {
		if (said_recovered(&s->said, subject))
			log_info("mapped again", "service", subject);
	} else if (said_problem(&s->said, subject, problem)) {
		log_error("mapping failed, left as it is", "service", subject, "error", problem);
	}
}

/* The record of one whose mapping ended its worker: made without the program. */
static char *keep_of(const struct item *item)
{
	cleanup_jv jv record = jv_invalid();
	cleanup_jv jv keep = jv_invalid();
	struct err err = ERR_INIT;

	if (item->len <= MAX_PARSED_BYTES)
		record = jvx_parse(item->text, item->len, &err);
	if (!jvx_is(record, JV_KIND_OBJECT)) {
		jv_free(jvx_take(&record));
		record = jv_object();
		jvx_set_str(&record, "source", item->source);
		jvx_set_str(&record, "service", item->subject + strlen(item->source) + 1);
	}
	keep = mapping_keep(record, item->problem);
	return jvx_dump(keep);
}

static void trace(const struct item *item)
{
	cleanup_free char *ms = xasprintf("%.1f", (double)item->took_us / 1000);

	log_info("mapped", "service", item->subject, "line", log_num(item->line), "ms", ms,
		"objects", log_num(item->objects), "kept", log_num(item->kept));
}

static void put_service(struct stream *s, struct item *item)
{
	report(s, item->subject, item->problem);
	if (item->died) {
		item->answer = keep_of(item);
		item->answer_len = strlen(item->answer);
	} else if (s->trace) {
		trace(item);
	}
	out_bytes(s->out, item->answer, item->answer_len);
}

/* It may have been anybody's: no snapshot that is open is complete any more. */
static void put_bad(struct stream *s, const struct item *item)
{
	cleanup_jv jv sources = jvx_keys(s->snapshots);

	log_error("line is not a record, dropped", "line", log_num(item->line), "error",
		item->problem);
	s->dropped = true;
	for (int i = 0; i < jvx_length(sources); i++)
		s->snapshots = jv_object_set(s->snapshots, jvx_at(sources, i), jv_false());
}

static void put_synced(struct stream *s, const struct item *item)
{
	cleanup_jv jv complete = jv_invalid();

	if (item->source != NULL) {
		complete = jvx_get(s->snapshots, item->source);
		s->snapshots = jv_object_delete(s->snapshots, jv_string(item->source));
	}
	if (jvx_is(complete, JV_KIND_FALSE))
		log_warn("the snapshot lost a line, nothing is pruned by it", "source",
			item->source);
	else
		out_bytes(s->out, item->text, item->len);
}

void stream_put(struct stream *s, struct item *item)
{
	switch (item->kind) {
	case ITEM_SERVICE:
		put_service(s, item);
		return;
	case ITEM_GONE:
		said_recovered(&s->said, item->subject);
		out_bytes(s->out, item->answer, item->answer_len);
		return;
	case ITEM_BAD:
		put_bad(s, item);
		return;
	case ITEM_SYNCED:
		put_synced(s, item);
		return;
	case ITEM_START:
		if (item->source != NULL)
			jvx_set(&s->snapshots, item->source, jv_true());
		out_bytes(s->out, item->text, item->len);
		return;
	case ITEM_PASS:
		out_bytes(s->out, item->text, item->len);
		return;
	}
}

bool stream_has_problems(const struct stream *s)
{
	return s->dropped || said_count(&s->said) > 0;
}
