#include "mesh-map/filters.h"

#include <limits.h>
#include <string.h>

/* Cuts the last component off; true when there was one to cut. */
static bool cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return false;
	*slash = '\0';
	return true;
}

char *filters_dir(struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0) {
		err_errno(err, EXIT_SYSTEM, "cannot read '/proc/self/exe'");
		return NULL;
	}
	self[n] = '\0';
	if (!cut_last(self) || !cut_last(self)) {
		err_set(err, EXIT_SYSTEM, "cannot tell the directory of '%s'", self);
		return NULL;
	}
	return xasprintf("%s/share/meshpipe/filters", self);
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
	cleanup_free char *dir = xstrdup(path);

	if (!cut_last(dir))
		return realpath(".", NULL);
	return realpath(*dir != '\0' ? dir : "/", NULL);
}
