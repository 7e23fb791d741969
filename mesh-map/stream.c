#include "mesh-map/stream.h"

#include <string.h>

#include "lib/lines.h"
#include "lib/log.h"

void stream_init(struct stream *s, struct mapping *mapping, int out_fd)
{
	*s = (struct stream){ .mapping = mapping };
	sink_init(&s->out, out_fd);
	said_init(&s->said);
}

void stream_release(struct stream *s)
{
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
	static const char *const fields[] = { "source", "service" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		cleanup_jv jv value = jvx_get(record, fields[i]);

		if (!jvx_is(value, JV_KIND_STRING)) {
			err_set(err, EXIT_BAD_INPUT, "the record has no string '%s'", fields[i]);
			return NULL;
		}
	}
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv service = jvx_get(record, "service");

	return xasprintf("%s/%s", jv_string_value(source), jv_string_value(service));
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

static jv map_service(struct stream *s, jv record, struct err *why)
{
	cleanup_free char *subject = subject_of(record, why);
	cleanup_free char *problem = NULL;
	cleanup_jv jv answer = jv_invalid();

	if (subject == NULL)
		return jv_invalid();
	answer = mapping_run(s->mapping, record, &problem);
	report(s, subject, problem);
	return jvx_take(&answer);
}

static jv map_gone(struct stream *s, jv record, struct err *why)
{
	cleanup_free char *subject = subject_of(record, why);

	if (subject == NULL)
		return jv_invalid();
	said_recovered(&s->said, subject);
	return mapping_gone(record);
}

static int unreadable(const struct stream *s, const struct err *why)
{
	log_error("line is not a record, dropped", "line", log_num(s->line), "error", why->msg);
	return 0;
}

static bool is_blank(const char *text, size_t len)
{
	return strspn(text, " \t\r") == len;
}

int stream_line(struct stream *s, const char *text, size_t len, struct err *err)
{
	cleanup_jv jv record = jv_invalid();
	cleanup_jv jv answer = jv_invalid();
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
		answer = map_service(s, record, &why);
	else if (jvx_field_is(record, "type", "gone"))
		answer = map_gone(s, record, &why);
	else
		return sink_line(&s->out, text, len, err);
	if (!jv_is_valid(answer))
		return unreadable(s, &why);
	return write_record(s, answer, err);
}

int stream_flush(struct stream *s, struct err *err)
{
	return sink_flush(&s->out, err);
}

bool stream_has_problems(const struct stream *s)
{
	return said_count(&s->said) > 0;
}
