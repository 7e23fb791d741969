/* The file itself: read, and written with what was accepted. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "mesh-map/test_file.h"

#define MAX_OUT_BYTES (1024u << 20)

struct test_file *test_file_read(const char *path, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(path, TEST_FILE_MAX_BYTES, &len);

	if (text == NULL) {
		err_errno(err, EXIT_CONFIG, "cannot read '%s'", path);
		return NULL;
	}
	return test_file_parse(path, text, len, err);
}

/* The limit is far above what tests are; beyond it nothing is right any more. */
static void add(struct buf *out, const char *text, size_t len)
{
	if (buf_add(out, text, len) < 0)
		abort();
}

static void add_output(struct buf *out, jv output)
{
	cleanup_free char *text = jvx_dump(output);

	add(out, text, strlen(text));
	add(out, "\n", 1);
}

/* Which test ends its expected outputs at a line. */
static const struct test *test_that_ends_at(const struct test_file *f, size_t line)
{
	for (size_t i = 0; i < f->n_tests; i++)
		if (f->tests[i]->after_line == line)
			return f->tests[i];
	return NULL;
}

static void add_line(const struct test_file *f, size_t line, struct buf *out)
{
	const struct test_line *l = &f->lines[line - 1];
	const struct test *ends = test_that_ends_at(f, line);
	bool last_has_newline = l->text[l->len] == '\n';

	if (l->of == NULL || !jv_is_valid(l->of->accepted)) {
		add(out, l->text, l->len);
		/* More may have to follow the last line of a file that has no newline there. */
		if (last_has_newline || (ends != NULL && jvx_length(ends->accepted) > 0))
			add(out, "\n", 1);
	} else if (l->index < jvx_length(l->of->accepted)) {
		cleanup_jv jv output = jvx_at(l->of->accepted, l->index);

		add_output(out, output);
	}
	for (int i = ends != NULL ? jvx_length(ends->expected) : 0;
		ends != NULL && i < jvx_length(ends->accepted); i++) {
		cleanup_jv jv output = jvx_at(ends->accepted, i);

		add_output(out, output);
	}
}

char *test_file_text(const struct test_file *f)
{
	cleanup_buf struct buf out;

	buf_init(&out, MAX_OUT_BYTES);
	for (size_t line = 1; line <= f->n_lines; line++)
		add_line(f, line, &out);
	return xstrdup(buf_str(&out));
}

/* A new file beside it, of its mode, then its name. */
static int replace(const char *path, const char *text, char *beside)
{
	cleanup_close int fd = -1;
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (write_all(fd, text, strlen(text)) == 0 && fchmod(fd, st.st_mode & 07777) == 0 &&
		fsync(fd) == 0 && rename(beside, path) == 0)
		return 0;
	unlink(beside);
	return -1;
}

int test_file_write(const struct test_file *f, struct err *err)
{
	/* What a symbolic link leads to is written, the link stays. */
	cleanup_free char *path = realpath(f->name, NULL);
	cleanup_free char *beside = xasprintf("%s.XXXXXX", path != NULL ? path : f->name);
	cleanup_free char *text = test_file_text(f);

	if (path == NULL || replace(path, text, beside) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", f->name);
	return 0;
}
