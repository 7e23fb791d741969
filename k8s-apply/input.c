#include "k8s-apply/input.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/lines.h"
#include "lib/yaml.h"

enum form { FORM_UNKNOWN, FORM_LINES, FORM_DOCUMENTS };

struct input {
	struct input_handler h;
	struct lines *lines;
	const char *name;
	enum form form;
	uint64_t line;
	struct buf text; /* FORM_DOCUMENTS: all of it so far */
	bool too_long;
	bool closed;
	bool busy; /* inside a callback of lines: closing waits for its end */
};

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

/* "{" or "[" alone on the line: JSON as people and kubectl print it. */
static bool opens_pretty_json(const char *text)
{
	text = skip_blanks(text);
	return (*text == '{' || *text == '[') && *skip_blanks(text + 1) == '\0';
}

static void unreadable(struct input *in, struct err *err)
{
	err_wrap(err, "%s:%llu", in->name, (unsigned long long)in->line);
	in->h.on_unreadable(in->h.arg, err);
}

static void take_line(struct input *in, const char *text, size_t len)
{
	struct err err = ERR_INIT;
	cleanup_jv jv v = jv_invalid();

	if (*skip_blanks(text) == '\0' && strlen(text) == len)
		return;
	v = jvx_parse(text, len, &err);
	if (!jv_is_valid(v) || in->h.on_value(in->h.arg, v, &err) < 0)
		unreadable(in, &err);
}

static bool is_record(const char *text, size_t len)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv v = jv_invalid();
	cleanup_jv jv type = jv_invalid();

	if (len < 2 || text[0] != '{' || text[len - 1] != '}')
		return false;
	v = jvx_parse(text, len, &ignored);
	type = jvx_get(v, "type");
	return jvx_is(type, JV_KIND_STRING);
}

/* A stream of records whose first lines were garbage: waiting for its end would be for ever. */
static void turn_to_lines(struct input *in)
{
	struct err err = ERR_INIT;

	in->form = FORM_LINES;
	buf_reset(&in->text);
	err_set(&err, EXIT_BAD_INPUT, "neither records nor a manifest before this line");
	unreadable(in, &err);
}

static void collect(struct input *in, const char *text, size_t len)
{
	if (is_record(text, len)) {
		turn_to_lines(in);
		take_line(in, text, len);
	} else if (buf_add(&in->text, text, len) < 0 || buf_adds(&in->text, "\n") < 0) {
		in->too_long = true;
	}
}

static void take(struct input *in, const char *text, size_t len)
{
	struct err err = ERR_INIT;

	in->line++;
	if (text == NULL) {
		err_set(&err, EXIT_BAD_INPUT, "longer than %u bytes", LINES_MAX_BYTES);
		unreadable(in, &err);
		return;
	}
	if (in->form == FORM_UNKNOWN) {
		if (*skip_blanks(text) == '\0')
			return;
		in->form = *skip_blanks(text) == '{' && !opens_pretty_json(text) ? FORM_LINES
										 : FORM_DOCUMENTS;
	}
	if (in->form == FORM_LINES)
		take_line(in, text, len);
	else
		collect(in, text, len);
}

static void input_free(struct input *in)
{
	buf_release(&in->text);
	free(in);
}

/* A callback may have closed us. */
static void leave(struct input *in)
{
	in->busy = false;
	if (in->closed)
		input_free(in);
}

static void on_line(void *arg, const char *text, size_t len)
{
	struct input *in = arg;

	in->busy = true;
	take(in, text, len);
	leave(in);
}

static void take_document(struct input *in, jv v, int number)
{
	struct err err = ERR_INIT;

	if (in->h.on_value(in->h.arg, v, &err) == 0)
		return;
	err_wrap(&err, "%s: document %d", in->name, number);
	in->h.on_unreadable(in->h.arg, &err);
}

/* JSON texts one after the other, over as many lines as they like. */
static int take_json(struct input *in, struct err *err)
{
	struct jv_parser *parser = jv_parser_new(0);
	int rc = 0, number = 0;

	jv_parser_set_buf(parser, in->text.data, (int)in->text.len, 0);
	for (;;) {
		cleanup_jv jv v = jv_parser_next(parser);
		cleanup_jv jv why = jv_invalid();

		if (jv_is_valid(v) && !in->closed) {
			take_document(in, v, ++number);
			continue;
		}
		if (!jv_invalid_has_msg(jv_copy(v)))
			break;
		why = jv_invalid_get_msg(jvx_take(&v));
		rc = err_set(err, EXIT_BAD_INPUT, "%s: not JSON: %s", in->name, jvx_str(why, ""));
		break;
	}
	jv_parser_free(parser);
	return rc;
}

static int take_yaml(struct input *in, struct err *err)
{
	cleanup_jv jv docs = yaml_parse(in->text.data, in->text.len, in->name, err);

	if (!jv_is_valid(docs))
		return -1;
	for (int i = 0; i < jvx_length(docs) && !in->closed; i++) {
		cleanup_jv jv doc = jvx_at(docs, i);

		if (!jvx_is(doc, JV_KIND_NULL))
			take_document(in, doc, i + 1);
	}
	return 0;
}

static void take_documents(struct input *in)
{
	const char *text = skip_blanks(buf_str(&in->text));
	struct err err = ERR_INIT;
	int rc;

	if (in->too_long)
		rc = err_set(
			&err, EXIT_BAD_INPUT, "%s: more than %u bytes", in->name, YAML_MAX_BYTES);
	else if (*text == '{' || *text == '[')
		rc = take_json(in, &err);
	else
		rc = take_yaml(in, &err);
	if (rc < 0 && !in->closed)
		in->h.on_unreadable(in->h.arg, &err);
}

static void on_end(void *arg, const struct err *err)
{
	struct input *in = arg;

	in->busy = true;
	if (err == NULL && in->form == FORM_DOCUMENTS)
		take_documents(in);
	if (!in->closed)
		in->h.on_end(in->h.arg, err);
	leave(in);
}

struct input *input_open(
	uv_loop_t *loop, int fd, const char *name, const struct input_handler *h, struct err *err)
{
	struct input *in = xcalloc(1, sizeof(*in));
	const struct lines_handler handler = { .on_line = on_line, .on_end = on_end, .arg = in };

	in->h = *h;
	in->name = name;
	buf_init(&in->text, YAML_MAX_BYTES);
	in->lines = lines_open(loop, fd, LINES_MAX_BYTES, &handler, err);
	if (in->lines == NULL) {
		input_free(in);
		return NULL;
	}
	return in;
}

void input_close(struct input *in)
{
	if (in == NULL || in->closed)
		return;
	in->closed = true;
	lines_close(in->lines);
	if (!in->busy)
		input_free(in);
}
