#include "mesh-map/explain_find.h"

#include <string.h>

#include "lib/lines.h"
#include "lib/log.h"

struct reader {
	struct found *found;
	struct lines *lines;
	long long line;
};

static void drop(struct reader *r, const char *why)
{
	log_error("line is not a record, dropped", "line", log_num(r->line), "error", why);
	r->found->dropped++;
}

static void keep(struct reader *r, jv record, const char *subject)
{
	cleanup_jv jv entry = jv_object();

	jvx_set(&entry, "line", jv_number((double)r->line));
	jvx_set(&entry, "record", jv_copy(record));
	jvx_set(&r->found->records, subject, jvx_take(&entry));
}

static void take_record(struct reader *r, jv record)
{
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv service = jvx_get(record, "service");
	const char *wanted = r->found->wanted, *name = jvx_str(service, NULL);
	cleanup_free char *subject = NULL;

	if (!jvx_field_is(record, "type", "service") && !jvx_field_is(record, "type", "gone"))
		return;
	if (name == NULL || !jvx_is(source, JV_KIND_STRING)) {
		drop(r, "it has no strings 'source' and 'service'");
		return;
	}
	jvx_set(&r->found->names, name, jv_true());
	subject = xasprintf("%s/%s", jv_string_value(source), name);
	if (strcmp(wanted, name) == 0 || strcmp(wanted, subject) == 0)
		keep(r, record, subject);
}

static void on_line(void *arg, const char *text, size_t len)
{
	struct reader *r = arg;
	struct err why = ERR_INIT;
	cleanup_jv jv record = jv_invalid();

	r->line++;
	if (text == NULL) {
		drop(r, "too long");
		return;
	}
	if (strspn(text, " \t\r") == len)
		return;
	record = jvx_parse(text, len, &why);
	if (!jv_is_valid(record))
		drop(r, why.msg);
	else if (!jvx_is(record, JV_KIND_OBJECT))
		drop(r, "not a JSON object");
	else
		take_record(r, record);
}

static void on_end(void *arg, const struct err *err)
{
	struct reader *r = arg;

	if (err != NULL)
		r->found->err = *err;
	lines_close(r->lines);
}

int explain_find(int fd, const char *wanted, struct found *ret, struct err *err)
{
	struct reader r = { .found = ret };
	const struct lines_handler handler = { .on_line = on_line, .on_end = on_end, .arg = &r };
	uv_loop_t loop;

	*ret = (struct found){
		.wanted = wanted, .records = jv_object(), .names = jv_object(), .err = ERR_INIT
	};
	uv_loop_init(&loop);
	r.lines = lines_open(&loop, fd, LINES_MAX_BYTES, &handler, err);
	if (r.lines == NULL)
		return -1;
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	if (ret->err.status == EXIT_OK)
		return 0;
	*err = ret->err;
	return -1;
}

void found_release(struct found *f)
{
	jv_free(f->records);
	jv_free(f->names);
}
