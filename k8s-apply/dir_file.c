#include "k8s-apply/dir_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "lib/canon.h"
#include "lib/yaml_write.h"
#include "lib/yaml.h"

#define MARK	  "# meshpipe: "
#define SEPARATOR "---\n"

/* The kernel's clock for file times ticks every 1 to 10 ms. */
#define FRESH_NS INT64_C(20000000)

struct dir_entry *dir_entry_new(
	const struct object_id *id, const char *api_version, const char *body, struct err *err)
{
	cleanup_jv jv v = jvx_parse(body, strlen(body), err);
	cleanup_buf struct buf yaml;
	struct dir_entry *e;
	cleanup_jv jv meta = jvx_get(v, "metadata");
	cleanup_jv jv annotations = jvx_get(meta, "annotations");

	buf_init(&yaml, YAML_MAX_BYTES);
	if (!jv_is_valid(v) || yaml_write(v, &yaml, err) < 0)
		return NULL;
	e = xcalloc(1, sizeof(*e));
	e->refs = 1;
	object_id_copy(&e->m.id, id);
	e->m.api_version = xstrdup(api_version);
	e->m.hash = XXH3_64bits(body, strlen(body));
	e->m.hands_off = jvx_field_is(annotations, MANIFEST_RECONCILE, MANIFEST_DISABLED);
	e->yaml = xstrdup(buf_str(&yaml));
	return e;
}

void dir_entry_unref(struct dir_entry *e)
{
	if (e == NULL || --e->refs > 0)
		return;
	manifest_release(&e->m);
	free(e->yaml);
	free(e);
}

void dir_list_release(struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		dir_entry_unref(l->slots[i].entry);
	free(l->slots);
	*l = (struct dir_list){ .slots = NULL };
}

struct dir_list dir_list_copy(const struct dir_list *l)
{
	struct dir_list copy = { xcalloc(l->count, sizeof(*l->slots)), l->count };

	for (size_t i = 0; i < l->count; i++) {
		copy.slots[i].entry = l->slots[i].entry;
		copy.slots[i].entry->refs++;
	}
	return copy;
}

/* Where the object is, or would be. */
static size_t position(const struct dir_list *l, const struct object_id *id)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (object_id_compare(&l->slots[middle].entry->m.id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct dir_slot *dir_list_find(const struct dir_list *l, const struct object_id *id)
{
	size_t i = position(l, id);

	if (i == l->count || object_id_compare(&l->slots[i].entry->m.id, id) != 0)
		return NULL;
	return &l->slots[i];
}

void dir_list_put(struct dir_list *l, struct dir_entry *e)
{
	size_t i = position(l, &e->m.id);

	if (i < l->count && object_id_compare(&l->slots[i].entry->m.id, &e->m.id) == 0) {
		dir_entry_unref(l->slots[i].entry);
		l->slots[i] = (struct dir_slot){ .entry = e };
		return;
	}
	l->slots = xrealloc(l->slots, l->count + 1, sizeof(*l->slots));
	memmove(&l->slots[i + 1], &l->slots[i], (l->count - i) * sizeof(*l->slots));
	l->slots[i] = (struct dir_slot){ .entry = e };
	l->count++;
}

static void remove_slot(struct dir_list *l, struct dir_slot *slot)
{
	dir_entry_unref(slot->entry);
	l->count--;
	memmove(slot, slot + 1, (l->count - (size_t)(slot - l->slots)) * sizeof(*slot));
}

void dir_list_remove(struct dir_list *l, const struct object_id *id)
{
	struct dir_slot *slot = dir_list_find(l, id);

	if (slot != NULL)
		remove_slot(l, slot);
}

void dir_list_remove_leaving(struct dir_list *l)
{
	for (size_t i = l->count; i > 0; i--)
		if (l->slots[i - 1].leaving)
			remove_slot(l, &l->slots[i - 1]);
}

static int64_t nanoseconds(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

static struct dir_stamp stamp_of(const struct stat *st)
{
	struct timespec now;
	struct dir_stamp stamp = {
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = nanoseconds(&st->st_mtim),
		.ctime_ns = nanoseconds(&st->st_ctim),
	};

	clock_gettime(CLOCK_REALTIME, &now);
	stamp.fresh = nanoseconds(&now) - stamp.ctime_ns < FRESH_NS;
	return stamp;
}

bool dir_file_stamp(const char *path, struct dir_stamp *ret)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return false;
	*ret = stamp_of(&st);
	return true;
}

bool dir_stamp_same(const struct dir_stamp *a, const struct dir_stamp *b)
{
	return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns && !a->fresh;
}

void dir_content_release(struct dir_content *c)
{
	free(c->source);
	free(c->key);
	free(c->set);
	dir_list_release(&c->list);
	*c = (struct dir_content){ .state = DIR_FILE_ABSENT };
}

/* The first line; false when it is not one of ours. */
static bool read_mark(const char *bytes, struct dir_content *c)
{
	const char *end = strchr(bytes, '\n');
	struct err ignored = ERR_INIT;
	cleanup_jv jv mark = jv_invalid();

	if (!str_starts(bytes, MARK) || end == NULL)
		return false;
	bytes += strlen(MARK);
	mark = jvx_parse(bytes, (size_t)(end - bytes), &ignored);
	c->source = jvx_dup_field(mark, "source");
	c->key = jvx_dup_field(mark, "key");
	c->set = jvx_dup_field(mark, "set");
	return c->source != NULL && c->key != NULL && c->set != NULL;
}

static int read_object(jv object, struct dir_content *c, struct err *err)
{
	struct manifest m = { .body = NULL };
	struct dir_entry *e = NULL;

	if (manifest_identify(object, NULL, &m, err) == 0 &&
		manifest_read_body(object, &m, err) == 0)
		e = dir_entry_new(&m.id, m.api_version, m.body, err);
	manifest_release(&m);
	if (e == NULL)
		return -1;
	dir_list_put(&c->list, e);
	return 0;
}

static int read_objects(
	const char *path, const char *bytes, size_t len, struct dir_content *c, struct err *err)
{
	cleanup_jv jv docs = yaml_parse(bytes, len, path, err);

	if (!jv_is_valid(docs))
		return -1;
	for (int i = 0; i < jvx_length(docs); i++) {
		cleanup_jv jv object = jvx_at(docs, i);

		if (!jvx_is(object, JV_KIND_NULL) && read_object(object, c, err) < 0)
			return err_wrap(err, "%s", path);
	}
	return 0;
}

int dir_file_read(const char *path, struct dir_content *ret, struct err *err)
{
	cleanup_free char *bytes = NULL;
	struct stat st;
	size_t len = 0;

	*ret = (struct dir_content){ .state = DIR_FILE_ABSENT };
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, EXIT_SYSTEM, "cannot read '%s'", path);
	ret->stamp = stamp_of(&st);
	if (!S_ISREG(st.st_mode)) {
		ret->state = DIR_FILE_FOREIGN;
		return 0;
	}
	bytes = read_whole_file(path, YAML_MAX_BYTES, &len);
	if (bytes == NULL)
		return errno == ENOENT ? 0 : err_errno(err, EXIT_SYSTEM, "cannot read '%s'", path);
	ret->hash = XXH3_64bits(bytes, len);
	if (len == 0)
		ret->state = DIR_FILE_EMPTY;
	else if (!read_mark(bytes, ret))
		ret->state = DIR_FILE_FOREIGN;
	else if (read_objects(path, bytes, len, ret, err) < 0)
		ret->state = DIR_FILE_DAMAGED;
	else
		ret->state = DIR_FILE_OURS;
	return 0;
}

static void add_mark(struct buf *b, const char *source, const char *key, const char *set)
{
	cleanup_jv jv mark = jv_object();
	struct err err = ERR_INIT;

	jvx_set_str(&mark, "source", source);
	jvx_set_str(&mark, "key", key);
	jvx_set_str(&mark, "set", set);
	/* canon escapes the line breaks that YAML knows and JSON does not. */
	if (buf_adds(b, MARK) < 0 || canon_write(mark, b, &err) < 0 || buf_adds(b, "\n") < 0)
		abort();
}

char *dir_file_compose(const char *source, const char *key, const char *set,
	const struct dir_list *list, bool with_leaving, size_t *ret_len)
{
	struct buf b;
	bool first = true;

	/* Bounded by what its objects are bounded by. */
	buf_init(&b, SIZE_MAX / 4);
	add_mark(&b, source, key, set);
	for (size_t i = 0; i < list->count; i++) {
		if (list->slots[i].leaving && !with_leaving)
			continue;
		if ((!first && buf_adds(&b, SEPARATOR) < 0) ||
			buf_adds(&b, list->slots[i].entry->yaml) < 0)
			abort();
		first = false;
	}
	*ret_len = b.len;
	return b.data;
}

static int create(const char *temp, const char *folder)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(temp, flags, 0644);

	if (fd < 0 && errno == ENOENT && mkdir(folder, 0755) == 0)
		fd = open(temp, flags, 0644);
	if (fd < 0 && errno == EEXIST && unlink(temp) == 0)
		fd = open(temp, flags, 0644);
	return fd;
}

static int put_in_place(const char *temp, const char *path, bool replace)
{
	if (replace)
		return rename(temp, path);
	if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system that does not know the flag. */
	if (access(path, F_OK) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(temp, path);
}

int dir_file_write(const char *path, const char *bytes, size_t len, bool replace)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = xstrndup(path, (size_t)(slash - path));
	cleanup_free char *temp = xasprintf("%s/%s", folder, DIR_FILE_TEMP);
	int fd = create(temp, folder), rc, saved;

	if (fd < 0)
		return -1;
	rc = write_all(fd, bytes, len);
	/* Network file systems report a full disk at close. */
	if (close(fd) < 0)
		rc = -1;
	if (rc == 0)
		rc = put_in_place(temp, path, replace);
	if (rc < 0) {
		saved = errno;
		unlink(temp);
		errno = saved;
	}
	return rc;
}
