/*
 * mesh-map init: a directory of one's own with what ships, for changing it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/opt.h"
#include "mesh-map/commands.h"
#include "mesh-map/filters.h"

#define MAX_FILE_BYTES (1u << 20)

static const struct opt opts[] = {
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "mesh-map init",
	.summary =
		"Makes a directory with the programs that ship, the module that they are written\n"
		"with, a configuration and a test, for you to change.",
	.synopsis = "DIR",
	.epilogue = "DIR must be new or empty: nothing is overwritten.\n",
	.opts = opts,
};

/* What an editor or a package manager left there is none of it. */
static int is_copied(const struct dirent *entry)
{
	const char *name = entry->d_name;

	return name[0] != '.' &&
	       (str_ends(name, ".jq") || str_ends(name, ".yaml") || str_ends(name, ".test"));
}

static int is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void free_entries(struct dirent **entries, int count)
{
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
}

/* Makes the directory, or takes an empty one that is there. */
static int take_dir(const char *dir, bool *ret_made, struct err *err)
{
	struct dirent **entries = NULL;
	int count;

	*ret_made = mkdir(dir, 0777) == 0;
	if (*ret_made)
		return 0;
	if (errno != EEXIST)
		return err_errno(err, EXIT_SYSTEM, "cannot make directory '%s'", dir);
	count = scandir(dir, &entries, is_entry, alphasort);
	if (count < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot use '%s'", dir);
	free_entries(entries, count);
	if (count > 0)
		return err_set(err, EXIT_SYSTEM,
			"'%s' is not empty, and nothing is overwritten: name a new directory", dir);
	return 0;
}

static int copy_file(const char *from_dir, const char *dir, const char *name, struct err *err)
{
	cleanup_free char *from = xasprintf("%s/%s", from_dir, name);
	cleanup_free char *to = xasprintf("%s/%s", dir, name);
	cleanup_free char *data = NULL;
	cleanup_close int fd = -1;
	size_t len = 0;

	data = read_whole_file(from, MAX_FILE_BYTES, &len);
	if (data == NULL)
		return err_errno(err, EXIT_SYSTEM, "cannot read '%s'", from);
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", to);
	if (write_all(fd, data, len) == 0)
		return 0;
	err_errno(err, EXIT_SYSTEM, "cannot write '%s'", to);
	unlink(to);
	return -1;
}

/* All of the files, or none. */
static int copy_all(
	const char *from, const char *dir, struct dirent **files, int count, struct err *err)
{
	for (int i = 0; i < count; i++) {
		if (copy_file(from, dir, files[i]->d_name, err) == 0)
			continue;
		while (i-- > 0) {
			cleanup_free char *made = xasprintf("%s/%s", dir, files[i]->d_name);

			unlink(made);
		}
		return -1;
	}
	return 0;
}

static int say(const char *dir, struct dirent **files, int count, struct err *err)
{
	printf("made in %s:", dir);
	for (int i = 0; i < count; i++)
		printf(" %s", files[i]->d_name);
	printf("\n\n"
	       "Change mesh.yaml, or the programs themselves, and see what comes of it:\n"
	       "  mesh-map test %s\n"
	       "  consul-watch --once | mesh-map -f %s/%s --config %s/mesh.yaml\n",
		dir, dir, FILTERS_DEFAULT, dir);
	if (fflush(stdout) != 0)
		return err_errno(err, EXIT_OUTPUT, "cannot write output");
	return 0;
}

static int init(const char *dir, struct err *err)
{
	cleanup_free char *from = filters_dir(err);
	struct dirent **files = NULL;
	bool made = false;
	int count, rc;

	if (from == NULL)
		return -1;
	count = scandir(from, &files, is_copied, alphasort);
	if (count < 0)
		return err_errno(
			err, EXIT_SYSTEM, "cannot read the shipped programs in '%s'", from);
	rc = count > 0 ? take_dir(dir, &made, err)
		       : err_set(err, EXIT_SYSTEM, "there are no shipped programs in '%s'", from);
	if (rc == 0 && (rc = copy_all(from, dir, files, count, err)) < 0 && made)
		rmdir(dir);
	if (rc == 0)
		rc = say(dir, files, count, err);
	free_entries(files, count);
	return rc;
}

int command_init(int argc, char **argv, struct err *err)
{
	int first = opt_parse(&program, argc, argv, err);

	if (first < 0)
		return -1;
	if (argc - first != 1)
		return err_set(err, EXIT_USAGE, "give one directory: mesh-map init DIR");
	return init(argv[first], err);
}
