#include "k8s-apply/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Folders in folders; a link to a folder above it would have no end. */
#define MAX_DEPTH 64

static void add(struct files *f, char *name, int fd)
{
	f->item = xrealloc(f->item, f->count + 1, sizeof(*f->item));
	f->item[f->count++] = (struct file){ .name = name, .fd = fd };
}

void files_release(struct files *f)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->item[i].fd > STDERR_FILENO)
			close(f->item[i].fd);
		free(f->item[i].name);
	}
	free(f->item);
	*f = (struct files){ .item = NULL };
}

static bool is_manifest(const char *name)
{
	static const char *const ends[] = { ".yaml", ".yml", ".json", ".ndjson" };

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (str_ends(name, ends[i]))
			return true;
	return false;
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* What a folder has of pipes and sockets is not ours: to open one may take for ever. */
static bool is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int add_folder(
	struct files *f, const char *folder, bool recursive, unsigned depth, struct err *err)
{
	const char *slash = str_ends(folder, "/") ? "" : "/";
	struct dirent **names = NULL;
	int count = scandir(folder, &names, is_visible, by_name), rc = 0;

	if (count < 0)
		return err_errno(err, EXIT_USAGE, "cannot read directory '%s'", folder);
	if (depth > MAX_DEPTH)
		rc = err_set(err, EXIT_USAGE, "'%s' is too deep", folder);
	for (int i = 0; i < count; i++) {
		cleanup_free char *path = xasprintf("%s%s%s", folder, slash, names[i]->d_name);

		if (rc == 0 && is_folder(path))
			rc = recursive ? add_folder(f, path, true, depth + 1, err) : 0;
		else if (rc == 0 && is_manifest(path) && !is_special(path))
			add(f, TAKE(path), -1);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int add_whole_folder(struct files *f, const char *name, bool recursive, struct err *err)
{
	size_t before = f->count;

	if (add_folder(f, name, recursive, 0, err) < 0)
		return -1;
	if (f->count > before)
		return 0;
	return err_set(err, EXIT_USAGE,
		"nothing to read in '%s': no file there ends in .yaml, .yml, .json or .ndjson%s",
		name, recursive ? "" : " (--recursive looks into its folders, too)");
}

static int add_name(struct files *f, const char *name, bool recursive, struct err *err)
{
	int fd;

	if (strcmp(name, "-") == 0) {
		add(f, xstrdup("stdin"), STDIN_FILENO);
		return 0;
	}
	if (is_folder(name))
		return add_whole_folder(f, name, recursive, err);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, EXIT_USAGE, "cannot open '%s'", name);
	add(f, xstrdup(name), fd);
	return 0;
}

int files_find(const struct opt_list *names, bool recursive, struct files *ret, struct err *err)
{
	*ret = (struct files){ .item = NULL };
	if (names->count == 0)
		return add_name(ret, "-", false, err);
	for (size_t i = 0; i < names->count; i++)
		if (add_name(ret, names->item[i], recursive, err) < 0) {
			files_release(ret);
			return -1;
		}
	return 0;
}

int files_open(const struct file *f, struct err *err)
{
	int fd = f->fd >= 0 ? f->fd : open(f->name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fd : err_errno(err, EXIT_USAGE, "cannot open '%s'", f->name);
}
