#include "mesh-map/filters.h"

#include <limits.h>
#include <string.h>

/* The directory part of a path that has one; NULL for a bare name. "" is the root. */
static char *parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? xstrndup(path, (size_t)(slash - path)) : NULL;
}

char *filters_dir(struct err *err)
{
	cleanup_free char *bin = NULL;
	cleanup_free char *prefix = NULL;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0) {
		err_errno(err, EXIT_SYSTEM, "cannot read '/proc/self/exe'");
		return NULL;
	}
	self[n] = '\0';
	bin = parent(self);
	prefix = bin != NULL ? parent(bin) : NULL;
	if (prefix == NULL) {
		err_set(err, EXIT_SYSTEM, "cannot tell what lies beside '%s'", self);
		return NULL;
	}
	return xasprintf("%s/share/meshpipe/filters", prefix);
}

char *filters_find(const char *name, const char *shipped)
{
	cleanup_free char *there = NULL;

	if (strchr(name, '/') != NULL || access(name, F_OK) == 0)
		return xstrdup(name);
	there = xasprintf("%s/%s", shipped, name);
	return access(there, F_OK) == 0 ? TAKE(there) : xstrdup(name);
}

char *filters_dir_of(const char *path)
{
	cleanup_free char *dir = parent(path);

	if (dir == NULL)
		return realpath(".", NULL);
	return realpath(*dir != '\0' ? dir : "/", NULL);
}
