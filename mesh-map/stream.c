#include "mesh-map/stream.h"

#include <string.h>

#include "lib/lines.h"
#include "lib/log.h"

void stream_init(struct stream *s, struct mapping *mapping, int out_fd)
{
	*s = (struct stream){ .mapping = mapping, .snapshots = jv_object() };
	sink_init(&s->out, out_fd);
	said_init(&s->said);
}

void stream_release(struct stream *s)
{
	jv_free(s->snapshots);
	sink_release(&s->out);
	said_release(&s->said);
}

static int write_record(struct stream *s, jv record, struct err *err)
{
	cleanup_jv jv text = jv_dump_string(jv_copy(record), JV_PRINT_SORTED);

	return sink_line(
		&s->out, jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)), err);
}

/* "source/service", or NULL when the record does not say of whom it speaks. */
static char *subject_of(jv record, struct err *err)
{
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv service = jvx_get(record, "service");

	if (jvx_is(source, JV_KIND_STRING) && jvx_is(service, JV_KIND_STRING))
		return xasprintf("%s/%s", jv_string_value(source), jv_string_value(service));
	err_set(err, EXIT_BAD_INPUT, "the record has no string '%s'",
		jvx_is(source, JV_KIND_STRING) ? "service" : "source");
	return NULL;
}

static void report(struct stream *s, const char *subject, const char *problem)
{
	if (problem == NULL) {
		if (said_recovered(&s->said, subject))
			log_info("mapped again", "service", subject);
	} else if (said_problem(&s->said, subject, problem)) {
		log_error("mapping failed, left as it is", "service", subject, "error", problem);
	}
}

static jv map_service(struct stream *s, jv record, const char *subject)
{
	char *problem = NULL;
	jv answer = mapping_run(s->mapping, record, &problem);

	report(s, subject, problem);
	free(problem);
	return answer;
}

static jv map_gone(struct stream *s, jv record, const char *subject)
{
	said_recovered(&s->said, subject);
	return mapping_gone(record);
}

/* It may have been anybody's: no snapshot that is open is complete any more. */
static int unreadable(struct stream *s, const struct err *why)
{
	cleanup_jv jv sources = jvx_keys(s->snapshots);

	log_error("line is not a record, dropped", "line", log_num(s->line), "error", why->msg);
	s->dropped = true;
	for (int i = 0; i < jvx_length(sources); i++)
		s->snapshots = jv_object_set(s->snapshots, jvx_at(sources, i), jv_false());
	return 0;
}

static int take_start(struct stream *s, jv record, const char *text, size_t len, struct err *err)
{
	cleanup_jv jv source = jvx_get(record, "source");

	if (jvx_is(source, JV_KIND_STRING))
		s->snapshots = jv_object_set(s->snapshots, jv_copy(source), jv_true());
	return sink_line(&s->out, text, len, err);
}

static int take_synced(struct stream *s, jv record, const char *text, size_t len, struct err *err)
{
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv complete = jv_invalid();

	if (!jvx_is(source, JV_KIND_STRING))
		return sink_line(&s->out, text, len, err);
	complete = jvx_get(s->snapshots, jv_string_value(source));
	s->snapshots = jv_object_delete(s->snapshots, jv_copy(source));
	if (!jvx_is(complete, JV_KIND_FALSE))
		return sink_line(&s->out, text, len, err);
	log_warn("the snapshot lost a line, nothing is pruned by it", "source",
		jv_string_value(source));
	return 0;
}

static bool is_blank(const char *text, size_t len)
{
	return strspn(text, " \t\r") == len;
}

/* The record of a service, or of its end. */
static int take_service(struct stream *s, jv record, bool gone, struct err *err)
{
	cleanup_free char *subject = NULL;
	cleanup_jv jv answer = jv_invalid();
	struct err why = ERR_INIT;

	subject = subject_of(record, &why);
	if (subject == NULL)
		return unreadable(s, &why);
	answer = gone ? map_gone(s, record, subject) : map_service(s, record, subject);
	return write_record(s, answer, err);
}

int stream_line(struct stream *s, const char *text, size_t len, struct err *err)
{
	cleanup_jv jv record = jv_invalid();
	struct err why = ERR_INIT;

	s->line++;
	if (text == NULL) {
		err_set(&why, EXIT_BAD_INPUT, "longer than %u MiB", LINES_MAX_BYTES >> 20);
		return unreadable(s, &why);
	}
	if (is_blank(text, len))
		return 0;
	record = jvx_parse(text, len, &why);
	if (jv_is_valid(record) && !jvx_is(record, JV_KIND_OBJECT))
		err_set(&why, EXIT_BAD_INPUT, "not a JSON object");
	if (!jvx_is(record, JV_KIND_OBJECT))
		return unreadable(s, &why);
	if (jvx_field_is(record, "type", "service"))
		return take_service(s, record, false, err);
	if (jvx_field_is(record, "type", "gone"))
		return take_service(s, record, true, err);
	if (jvx_field_is(record, "type", "start"))
		return take_start(s, record, text, len, err);
	if (jvx_field_is(record, "type", "synced"))
		return take_synced(s, record, text, len, err);
	return sink_line(&s->out, text, len, err);
}

int stream_flush(struct stream *s, struct err *err)
{
	return sink_flush(&s->out, err);
}

bool stream_has_problems(const struct stream *s)
{
	return s->dropped || said_count(&s->said) > 0;
}
