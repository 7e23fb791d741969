#include "mesh-map/test_find.h"

#include <errno.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static void take(FTS *tree, FTSENT *entry, jv *paths)
{
	const char *path = entry->fts_path;

	if (entry->fts_info == FTS_D && entry->fts_level > 0 && *entry->fts_name == '.')
		fts_set(tree, entry, FTS_SKIP);
	if ((entry->fts_info == FTS_F || entry->fts_info == FTS_SL) &&
		str_ends(entry->fts_name, ".test"))
		jvx_append(paths, jv_string(str_starts(path, "./") ? path + 2 : path));
}

static int walk(const char *dir, jv *paths, struct err *err)
{
	cleanup_free char *start = xstrdup(dir);
	char *const starts[] = { start, NULL };
	FTS *tree;
	FTSENT *entry;
	int rc = 0;

	while (strlen(start) > 1 && str_ends(start, "/"))
		start[strlen(start) - 1] = '\0';
	tree = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	if (tree == NULL)
		return err_errno(err, EXIT_CONFIG, "cannot read '%s'", dir);
	while (rc == 0 && (entry = fts_read(tree)) != NULL) {
		if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
			errno = entry->fts_errno;
			rc = err_errno(err, EXIT_CONFIG, "cannot read '%s'", entry->fts_path);
		}
		take(tree, entry, paths);
	}
	fts_close(tree);
	return rc;
}

int test_find(const char *path, jv *paths, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, EXIT_CONFIG, "cannot read '%s'", path);
	if (S_ISDIR(st.st_mode))
		return walk(path, paths, err);
	jvx_append(paths, jv_string(path));
	return 0;
}
