#include "mesh-map/snippet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mesh-map/filters.h"

/* A file without a name. */
static int make_file(const char *text, struct err *err)
{
	int fd = memfd_create("program", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd >= 0 && write_all(fd, text, len) == 0)
		return fd;
	base_closep(&fd);
	return err_errno(err, EXIT_SYSTEM, "cannot write a program to memory");
}

/* Takes "PATH:1:7: " off the message: a path and a column that the user did not write. */
static void forget_path(struct err *err, const char *path)
{
	const char *rest = err->msg;

	if (!str_starts(rest, path))
		return;
	rest += strlen(path);
	rest += strspn(rest, ":0123456789 ");
	memmove(err->msg, rest, strlen(rest) + 1);
}

struct program *snippet_open(const char *text, const char *beside,
	const struct mapping_options *options, jv config, struct err *err)
{
	cleanup_free char *shipped = filters_dir(err);
	cleanup_jv jv dirs = jv_invalid();
	cleanup_free char *path = NULL;
	cleanup_close int fd = -1;
	struct program *p;

	if (shipped == NULL)
		return NULL;
	dirs = mapping_lib_dirs(options, beside, shipped, err);
	if (!jv_is_valid(dirs) || (fd = make_file(text, err)) < 0)
		return NULL;
	path = xasprintf("/proc/self/fd/%d", fd);
	p = program_open(path, dirs, config, err);
	if (p == NULL)
		forget_path(err, path);
	return p;
}
