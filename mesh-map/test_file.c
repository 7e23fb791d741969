#include "mesh-map/test_file.h"

#include <string.h>

#include "mesh-map/test_options.h"

/* What the next line is. */
enum expects { A_PROGRAM, A_PROGRAM_THAT_FAILS, AN_INPUT, AN_ERROR, AN_OUTPUT };

struct parser {
	struct test_file *file;
	size_t at; /* the line, from 1 */
	enum expects expects;
	bool any_error; /* %%FAIL IGNORE MSG */
	struct err *err;
};

static int fail(struct parser *p, const char *what)
{
	return err_set(p->err, EXIT_BAD_INPUT, "%s:%zu: %s", p->file->name, p->at, what);
}

static struct test *current(struct parser *p)
{
	return p->file->tests[p->file->n_tests - 1];
}

static struct test *begin(struct parser *p, enum test_kind kind, const char *program)
{
	struct test_file *f = p->file;
	struct test *t = xcalloc(1, sizeof(*t));

	*t = (struct test){
		.kind = kind,
		.line = p->at,
		.program = xstrdup(program),
		.input = jv_null(),
		.expected = jv_array(),
		.accepted = jv_invalid(),
		.after_line = p->at,
	};
	f->tests = xrealloc(f->tests, f->n_tests + 1, sizeof(struct test *));
	f->tests[f->n_tests++] = t;
	return t;
}

static int take_program(struct parser *p, const char *line)
{
	struct err why = ERR_INIT;

	if (strcmp(line, "%%FAIL") == 0 || strcmp(line, "%%FAIL IGNORE MSG") == 0) {
		p->any_error = strcmp(line, "%%FAIL") != 0;
		p->expects = A_PROGRAM_THAT_FAILS;
		return 0;
	}
	p->expects = AN_INPUT;
	if (strcmp(line, "%%") == 0 || str_starts(line, "%% ")) {
		struct test *t = begin(p, TEST_PROGRAM, line);

		return test_options_parse(t, line + 2, &why) < 0 ? fail(p, why.msg) : 0;
	}
	if (str_starts(line, "%%"))
		return fail(p, "neither '%%FAIL' nor '%% ' and options");
	begin(p, TEST_FUNCTION, line);
	return 0;
}

static int take_failing_program(struct parser *p, const char *line)
{
	begin(p, TEST_NO_COMPILE, line);
	p->expects = AN_ERROR;
	return 0;
}

static int take_error(struct parser *p, const char *line)
{
	if (!p->any_error)
		jvx_append(&current(p)->expected, jv_string(line));
	current(p)->after_line = p->at;
	p->expects = A_PROGRAM;
	return 0;
}

static int read_json(struct parser *p, const char *line, const char *what, jv *ret)
{
	struct err why = ERR_INIT;

	jv_free(*ret);
	*ret = jvx_parse(line, strlen(line), &why);
	if (jv_is_valid(*ret))
		return 0;
	return err_set(p->err, EXIT_BAD_INPUT, "%s:%zu: %s: %s (a blank line ends a test)",
		p->file->name, p->at, what, why.msg);
}

static int take_input(struct parser *p, const char *line)
{
	struct test *t = current(p);

	if (read_json(p, line, "the input", &t->input) < 0)
		return -1;
	if (t->kind == TEST_PROGRAM && !jvx_field_is(t->input, "type", "service"))
		return fail(p, "the input of a whole program is a record of the type 'service'");
	t->after_line = p->at;
	p->expects = AN_OUTPUT;
	return 0;
}

static int take_output(struct parser *p, const char *line)
{
	struct test_line *here = &p->file->lines[p->at - 1];
	struct test *t = current(p);
	cleanup_jv jv output = jv_invalid();

	if (read_json(p, line, "what is expected", &output) < 0)
		return -1;
	here->of = t;
	here->index = jvx_length(t->expected);
	t->after_line = p->at;
	jvx_append(&t->expected, jvx_take(&output));
	return 0;
}

/* A blank line, or the end of the file. */
static int end_test(struct parser *p)
{
	if (p->expects == AN_ERROR && p->any_error)
		p->expects = A_PROGRAM;
	if (p->expects == A_PROGRAM_THAT_FAILS)
		return fail(p, "the test ends before its program");
	if (p->expects == AN_INPUT)
		return fail(p, "the test ends before its input");
	if (p->expects == AN_ERROR)
		return fail(p, "the test ends before the error that is expected");
	p->expects = A_PROGRAM;
	return 0;
}

static int take_line(struct parser *p, const char *line)
{
	static int (*const take[])(struct parser *, const char *) = {
		[A_PROGRAM] = take_program,
		[A_PROGRAM_THAT_FAILS] = take_failing_program,
		[AN_INPUT] = take_input,
		[AN_ERROR] = take_error,
		[AN_OUTPUT] = take_output,
	};

	line += strspn(line, " \t");
	if (*line == '#')
		return 0;
	return *line == '\0' ? end_test(p) : take[p->expects](p, line);
}

static void split(struct test_file *f, size_t len)
{
	const char *end = f->text + len;

	for (const char *at = f->text; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline != NULL ? newline : end;

		f->n_lines++;
		if ((f->n_lines & (f->n_lines - 1)) == 0)
			f->lines = xrealloc(f->lines, 2 * f->n_lines, sizeof(struct test_line));
		f->lines[f->n_lines - 1] =
			(struct test_line){ .text = at, .len = (size_t)(stop - at) };
		at = stop + 1;
	}
}

static int parse_all(struct parser *p)
{
	for (p->at = 1; p->at <= p->file->n_lines; p->at++) {
		const struct test_line *l = &p->file->lines[p->at - 1];
		cleanup_free char *line = xstrndup(l->text, l->len);
		size_t len = strlen(line);

		if (len != l->len)
			return fail(p, "a NUL character");
		if (len > 0 && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (take_line(p, line) < 0)
			return -1;
	}
	return end_test(p);
}

struct test_file *test_file_parse(const char *name, const char *text, size_t len, struct err *err)
{
	struct test_file *f = xcalloc(1, sizeof(*f));
	struct parser p = { .file = f, .expects = A_PROGRAM, .err = err };

	f->name = xstrdup(name);
	f->text = xcalloc(len + 1, 1);
	if (len > 0)
		memcpy(f->text, text, len);
	split(f, len);
	if (parse_all(&p) < 0) {
		test_file_close(f);
		return NULL;
	}
	return f;
}

static void close_test(struct test *t)
{
	free(t->program);
	jv_free(t->input);
	jv_free(t->expected);
	jv_free(t->accepted);
	test_options_release(t);
	free(t);
}

void test_file_close(struct test_file *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n_tests; i++)
		close_test(f->tests[i]);
	free(f->tests);
	free(f->lines);
	free(f->text);
	free(f->name);
	free(f);
}
