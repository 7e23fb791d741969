#include "k8s-apply/dir_control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/canon.h"
#include "k8s-apply/dir_file.h"

#define FOLDER		  ".meshpipe"
#define MAX_SOURCES_BYTES (4u << 20)

static int make_folder(const char *path, struct err *err)
{
	struct stat st;

	if (mkdir(path, 0755) == 0)
		return 0;
	if (errno == EEXIST) {
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	return err_errno(err, EXIT_SYSTEM, "cannot make directory '%s'", path);
}

/* Who has it, for the message; the file holds a process id. */
static void read_pid(int fd, char text[static 24])
{
	ssize_t n = read(fd, text, 23);

	text[n > 0 ? n : 0] = '\0';
	text[strspn(text, "0123456789")] = '\0';
	if (*text == '\0')
		snprintf(text, 24, "unknown");
}

static int take_lock(struct dir_control *c, struct err *err)
{
	char pid[24];

	/* A file that a link leads to is not ours to empty. (The folder may be one: it is named.) */
	c->lock = open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (c->lock < 0 && errno == ELOOP)
		return err_set(
			err, EXIT_CONFIG, "'%s' is a symbolic link (remove it)", c->lock_path);
	if (c->lock < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", c->lock_path);
	if (flock(c->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_errno(err, EXIT_SYSTEM, "cannot lock '%s'", c->lock_path);
		read_pid(c->lock, pid);
		return err_set(err, EXIT_REFUSED,
			"'%s' has a writer already (process %s holds '%s')", c->path, pid,
			c->lock_path);
	}
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(c->lock, 0) < 0 || write(c->lock, pid, strlen(pid)) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", c->lock_path);
	return 0;
}

int dir_control_open(
	struct dir_control *c, const char *path, const char *set, bool read_only, struct err *err)
{
	size_t len = strlen(path);
	cleanup_free char *bare = NULL, *folder = NULL;

	/* Not for the system, for the messages. */
	while (len > 1 && path[len - 1] == '/')
		len--;
	bare = xstrndup(path, len);
	folder = xasprintf("%s/" FOLDER, bare);
	*c = (struct dir_control){
		.path = xstrdup(bare),
		.set = xstrdup(set),
		.lock_path = xasprintf("%s/lock", folder),
		.sources_path = xasprintf("%s/sources", folder),
		.freeze_path = xasprintf("%s/freeze", folder),
		.approval_path = xasprintf("%s/approve-deletes", folder),
		.lock = -1,
		.read_only = read_only,
		.sets = jv_object(),
	};
	if (read_only)
		return 0;
	if (make_folder(c->path, err) < 0 || make_folder(folder, err) < 0)
		return -1;
	return take_lock(c, err);
}

void dir_control_close(struct dir_control *c)
{
	jv_free(c->sets);
	if (c->lock >= 0)
		close(c->lock);
	free(c->path);
	free(c->set);
	free(c->lock_path);
	free(c->sources_path);
	free(c->freeze_path);
	free(c->approval_path);
}

int dir_control_load(struct dir_control *c,
	void (*on_source)(void *arg, const char *source, const char *scope), void *arg,
	struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(c->sources_path, MAX_SOURCES_BYTES, &len);
	cleanup_jv jv sources = jv_invalid();
	cleanup_jv jv names = jv_invalid();

	if (text == NULL && errno == ENOENT)
		return 0;
	if (text == NULL)
		return err_errno(err, EXIT_SYSTEM, "cannot read '%s'", c->sources_path);
	jv_free(c->sets);
	c->sets = jvx_parse(text, len, err);
	if (!jvx_is(c->sets, JV_KIND_OBJECT))
		return err_set(err, EXIT_CONFIG,
			"'%s' is damaged (remove it: the scopes are then taken as they come)",
			c->sources_path);
	sources = jvx_get(c->sets, c->set);
	names = jvx_keys(sources);
	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv source = jvx_get(sources, jv_string_value(name));
		cleanup_free char *scope = jvx_dup_field(source, "scope");

		if (scope != NULL)
			on_source(arg, jv_string_value(name), scope);
	}
	return 0;
}

static int save(const struct dir_control *c, struct err *err)
{
	cleanup_buf struct buf text;

	buf_init(&text, MAX_SOURCES_BYTES);
	if (canon_write(c->sets, &text, err) < 0 || buf_adds(&text, "\n") < 0)
		return err_wrap(err, "cannot write '%s'", c->sources_path);
	if (dir_file_write(c->sources_path, text.data, text.len, true) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", c->sources_path);
	return 0;
}

int dir_control_remember(
	struct dir_control *c, const char *source, const char *scope, struct err *err)
{
	cleanup_jv jv sources = jvx_get(c->sets, c->set);

	if (!jvx_is(sources, JV_KIND_OBJECT)) {
		jv_free(sources);
		sources = jv_object();
	}
	if (scope != NULL) {
		jv entry = jv_object();

		jvx_set_str(&entry, "scope", scope);
		jvx_set(&sources, source, entry);
	} else {
		sources = jv_object_delete(sources, jv_string(source));
	}
	jvx_set(&c->sets, c->set, jvx_take(&sources));
	return c->read_only ? 0 : save(c, err);
}

bool dir_control_has_set(const struct dir_control *c)
{
	cleanup_jv jv sources = jvx_get(c->sets, c->set);

	return jv_is_valid(sources);
}

int dir_control_remove(struct dir_control *c, bool shared, struct err *err)
{
	cleanup_free char *folder = xasprintf("%s/" FOLDER, c->path);

	c->sets = jv_object_delete(c->sets, jv_string(c->set));
	if (shared || jvx_length(c->sets) > 0)
		return save(c, err);
	unlink(c->approval_path);
	/* The lock last: whoever comes then makes one of his own. */
	if ((unlink(c->sources_path) < 0 && errno != ENOENT) || unlink(c->lock_path) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot remove what is in '%s'", folder);
	/* With something of somebody else in it, it stays. */
	rmdir(folder);
	return 0;
}

bool dir_control_is_lost(const struct dir_control *c)
{
	struct stat st;

	return c->lock >= 0 && fstat(c->lock, &st) == 0 && st.st_nlink == 0;
}

bool dir_control_is_frozen(const struct dir_control *c)
{
	return access(c->freeze_path, F_OK) == 0;
}

int dir_control_approval(const struct dir_control *c, uint64_t *ret, struct err *err)
{
	cleanup_free char *text = read_whole_file(c->approval_path, 64, NULL);

	if (text == NULL && errno == ENOENT)
		return 0;
	if (text == NULL)
		return err_errno(err, EXIT_SYSTEM, "cannot read '%s'", c->approval_path);
	/* Opened by the person's shell, and not written yet. */
	if (*text == '\0')
		return 0;
	text[strcspn(text, " \t\r\n")] = '\0';
	if (!parse_u64(text, INT64_MAX, ret))
		return err_set(err, EXIT_SYSTEM, "'%s' holds no number", c->approval_path);
	return 1;
}

void dir_control_drop_approval(const struct dir_control *c)
{
	if (!c->read_only)
		unlink(c->approval_path);
}
