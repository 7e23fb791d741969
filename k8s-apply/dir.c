#include "k8s-apply/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <xxhash.h>

#include "k8s-apply/canon.h"
#include "k8s-apply/dir_file.h"
#include "k8s-apply/dir_name.h"
#include "k8s-apply/map.h"

#define MAX_SOURCES_BYTES (4u << 20)

/* A file of ours, on the disk or about to be. */
struct row {
	char *relative; /* the key in the map */
	char *path;
	char *source, *key;
	struct dir_list list;	/* what is in it */
	struct dir_list staged; /* what is to be in it; when touched */
	bool present;		/* a file of ours is there */
	bool stale;		/* but it does not say what the list says */
	uint64_t hash;		/* of its bytes */
	struct dir_stamp stamp;

	/* During a batch. */
	bool touched, gains, written;
	enum plan_outcome failure; /* PLAN_OK: none */
	char *error;
};

struct staged_op {
	struct plan_object *object;
	const struct object_id *id;
	struct row *to;	  /* gets it, or loses it by a deletion */
	struct row *from; /* has it now; NULL */
};

struct dir {
	struct dir_handler handler;
	char *path, *set;
	char *lock_path, *sources_path, *freeze_path, *approval_path;
	bool read_only;
	int lock;
	jv sources;
	struct map rows;
	struct row **touched;
	size_t touched_count, touched_capacity;
	struct staged_op *ops;
	size_t op_count, op_capacity;
};

static void free_row(struct row *r)
{
	dir_list_release(&r->list);
	dir_list_release(&r->staged);
	free(r->relative);
	free(r->path);
	free(r->source);
	free(r->key);
	free(r->error);
	free(r);
}

static struct row *row_get(struct dir *d, const char *source, const char *key)
{
	cleanup_free char *relative = dir_name_file(source, key);
	struct row *r = map_get(&d->rows, relative, strlen(relative));

	if (r != NULL)
		return r;
	r = xcalloc(1, sizeof(*r));
	r->path = xasprintf("%s/%s", d->path, relative);
	r->relative = TAKE(relative);
	r->source = xstrdup(source);
	r->key = xstrdup(key);
	map_add(&d->rows, r->relative, strlen(r->relative), r);
	return r;
}

static void drop_row(struct dir *d, struct row *r)
{
	if (r->present || r->list.count > 0 || r->touched)
		return;
	map_remove(&d->rows, r->relative, strlen(r->relative));
	free_row(r);
}

static void touch(struct dir *d, struct row *r)
{
	if (r->touched)
		return;
	if (d->touched_count == d->touched_capacity) {
		d->touched_capacity = d->touched_capacity > 0 ? d->touched_capacity * 2 : 16;
		d->touched =
			xrealloc(d->touched, d->touched_capacity, sizeof(struct row *));
	}
	d->touched[d->touched_count++] = r;
	r->touched = true;
	r->staged = dir_list_copy(&r->list);
}

static void warn(const struct dir *d, const char *text)
{
	d->handler.on_warning(d->handler.arg, text);
}

static bool is_ours(const struct dir *d, const struct row *r, const struct dir_content *c)
{
	return (c->state == DIR_FILE_OURS || c->state == DIR_FILE_DAMAGED) &&
	       strcmp(c->source, r->source) == 0 && strcmp(c->key, r->key) == 0 &&
	       strcmp(c->set, d->set) == 0;
}

static bool any_hands_off(const struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->slots[i].entry->m.hands_off)
			return true;
	return false;
}

/* What was in the file and is not any more. */
static void tell_lost(const struct dir *d, const struct dir_list *before, const struct dir_list *now)
{
	for (size_t i = 0; i < before->count; i++)
		if (dir_list_find(now, &before->slots[i].entry->m.id) == NULL)
			d->handler.on_lost(d->handler.arg, &before->slots[i].entry->m.id);
}

/* Takes the objects of the file as they are now; one that another file has already is dropped. */
static void take_list(struct dir *d, struct row *r, struct dir_list *list)
{
	struct dir_list before = r->list;
	cleanup_free char *bytes = NULL;
	size_t len;

	r->list = *list;
	*list = (struct dir_list){ .slots = NULL };
	tell_lost(d, &before, &r->list);
	dir_list_release(&before);
	for (size_t i = r->list.count; i > 0; i--) {
		const struct manifest *m = &r->list.slots[i - 1].entry->m;

		if (!d->handler.on_found(d->handler.arg, r->source, r->key, m))
			dir_list_remove(&r->list, &m->id);
	}
	bytes = dir_file_compose(r->source, r->key, d->set, &r->list, true, &len);
	/* Another layout of the same is put right, too, but not against a person's will. */
	r->stale = XXH3_64bits(bytes, len) != r->hash && !any_hands_off(&r->list);
}

/* Its objects are still known from before, but nobody can say what of them is there. */
static void take_damaged(struct dir *d, struct row *r, const char *why)
{
	cleanup_free char *text = xasprintf("%s (it is written anew when its key is said)", why);

	warn(d, text);
	r->stale = true;
	for (size_t i = 0; i < r->list.count; i++) {
		struct manifest m = r->list.slots[i].entry->m;

		m.hash = 0;
		d->handler.on_found(d->handler.arg, r->source, r->key, &m);
	}
}

static void take_content(struct dir *d, struct row *r, struct dir_content *c, const char *why)
{
	struct dir_list none = { .slots = NULL };

	r->hash = c->hash;
	r->stamp = c->stamp;
	r->present = c->state == DIR_FILE_EMPTY || is_ours(d, r, c);
	r->stale = c->state == DIR_FILE_EMPTY;
	if (!r->present || r->stale) {
		tell_lost(d, &r->list, &none);
		dir_list_release(&r->list);
	} else if (c->state == DIR_FILE_DAMAGED) {
		take_damaged(d, r, why);
	} else {
		take_list(d, r, &c->list);
	}
}

/* Cheap when nobody touched it. */
static bool is_untouched(struct row *r)
{
	struct dir_stamp now;

	if (!dir_file_stamp(r->path, &now))
		return !r->present;
	return r->present && dir_stamp_same(&r->stamp, &now);
}

/* Looks at the file if it may have been changed since; true when it was. */
static bool refresh(struct dir *d, struct row *r)
{
	struct dir_content c;
	struct err err = ERR_INIT;
	bool changed = false;

	if (is_untouched(r))
		return false;
	if (dir_file_read(r->path, &c, &err) < 0) {
		warn(d, err.msg);
	} else if (r->present && is_ours(d, r, &c) && c.hash == r->hash) {
		r->stamp = c.stamp;
	} else if (r->present || is_ours(d, r, &c)) {
		take_content(d, r, &c, err.msg);
		changed = true;
	}
	dir_content_release(&c);
	return changed;
}

void dir_said(struct dir *d, const char *source, const char *key)
{
	struct row *r = row_get(d, source, key);

	refresh(d, r);
	if (r->stale)
		touch(d, r);
	drop_row(d, r);
}

static void add_op(struct dir *d, const struct plan_op *op, struct row *to, struct row *from)
{
	if (d->op_count == d->op_capacity) {
		d->op_capacity = d->op_capacity > 0 ? d->op_capacity * 2 : 16;
		d->ops = xrealloc(d->ops, d->op_capacity, sizeof(*d->ops));
	}
	d->ops[d->op_count++] = (struct staged_op){ op->object, op->id, to, from };
}

void dir_stage(struct dir *d, const struct plan_op *op)
{
	struct row *to = row_get(d, op->source, op->key);
	struct row *from = op->from_key != NULL ? row_get(d, op->from_source, op->from_key) : NULL;
	struct dir_entry *e = NULL;
	struct dir_slot *slot;
	struct err err = ERR_INIT;

	/* A person may have edited it, to say "hands off" for instance: then decide again. */
	if ((!to->touched && refresh(d, to)) || (from != NULL && !from->touched && refresh(d, from))) {
		drop_row(d, to);
		d->handler.on_done(d->handler.arg, op->object, PLAN_DECIDE, NULL);
		return;
	}
	if (!op->delete) {
		e = dir_entry_new(op->id, op->api_version, op->body, &err);
		if (e == NULL) {
			d->handler.on_done(d->handler.arg, op->object, PLAN_REFUSED, err.msg);
			return;
		}
	}
	touch(d, to);
	if (e != NULL) {
		dir_list_put(&to->staged, e);
		to->gains = true;
	} else {
		dir_list_remove(&to->staged, op->id);
	}
	if (from != NULL) {
		touch(d, from);
		slot = dir_list_find(&from->staged, op->id);
		if (slot != NULL)
			slot->leaving = true;
	}
	add_op(d, op, to, from);
}

static bool has_leaving(const struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->slots[i].leaving)
			return true;
	return false;
}

static void fail_row(struct row *r, enum plan_outcome outcome, char *error)
{
	free(r->error);
	r->failure = outcome;
	r->error = error;
}

/* Something is at the path and we did not put it there, as far as we know. */
static bool may_replace(const struct dir *d, struct row *r)
{
	struct dir_content c;
	struct err err = ERR_INIT;
	bool may = false;

	if (dir_file_read(r->path, &c, &err) < 0)
		fail_row(r, PLAN_RETRY, xstrdup(err.msg));
	else if (c.state == DIR_FILE_ABSENT || c.state == DIR_FILE_EMPTY || is_ours(d, r, &c))
		may = true;
	else
		fail_row(r, PLAN_FOREIGN,
			xasprintf("'%s' is somebody else's file (move it away)", r->path));
	dir_content_release(&c);
	return may;
}

static int write_row(const struct dir *d, struct row *r, const char *bytes, size_t len)
{
	int rc = dir_file_write(r->path, bytes, len, r->present);

	if (rc < 0 && errno == EEXIST && !r->present) {
		if (!may_replace(d, r))
			return -1;
		rc = dir_file_write(r->path, bytes, len, true);
	}
	if (rc < 0)
		fail_row(r, PLAN_RETRY,
			xasprintf("cannot write '%s': %s", r->path, strerror(errno)));
	return rc;
}

/* Makes the file say what is staged. */
static int store(const struct dir *d, struct row *r, bool with_leaving)
{
	cleanup_free char *bytes = NULL;
	uint64_t hash;
	size_t len;

	bytes = dir_file_compose(r->source, r->key, d->set, &r->staged, with_leaving, &len);
	hash = XXH3_64bits(bytes, len);
	if (r->present && r->hash == hash)
		return 0;
	if (write_row(d, r, bytes, len) < 0)
		return -1;
	r->present = true;
	r->hash = hash;
	if (!dir_file_stamp(r->path, &r->stamp))
		r->stamp = (struct dir_stamp){ .fresh = true };
	return 0;
}

static int remove_file(struct row *r)
{
	if (r->present && unlink(r->path) < 0 && errno != ENOENT) {
		fail_row(r, PLAN_RETRY,
			xasprintf("cannot remove '%s': %s", r->path, strerror(errno)));
		return -1;
	}
	r->present = false;
	return 0;
}

/*
 * Files that get something first, with what is to leave them still in: an
 * object that moves is in two files for a moment, but never in none.
 */
static void store_gaining(struct dir *d)
{
	for (size_t i = 0; i < d->touched_count; i++) {
		struct row *r = d->touched[i];

		if (r->gains)
			r->written = store(d, r, true) == 0;
	}
	for (size_t i = 0; i < d->op_count; i++) {
		struct staged_op *op = &d->ops[i];
		struct dir_slot *slot;

		if (op->from == NULL || op->to->written)
			continue;
		slot = dir_list_find(&op->from->staged, op->id);
		if (slot != NULL)
			slot->leaving = false;
	}
}

static void store_losing(struct dir *d)
{
	for (size_t i = 0; i < d->touched_count; i++) {
		struct row *r = d->touched[i];
		bool leaving = has_leaving(&r->staged);
		int rc;

		if (r->gains && (!r->written || !leaving))
			continue;
		dir_list_remove_leaving(&r->staged);
		rc = r->staged.count > 0 ? store(d, r, false) : remove_file(r);
		if (!r->gains)
			r->written = rc == 0;
	}
}

/* What has moved is not of the old file any more, even where that could not be written. */
static void settle_moves(struct dir *d)
{
	for (size_t i = 0; i < d->op_count; i++) {
		struct staged_op *op = &d->ops[i];

		if (op->from == NULL || !op->to->written || op->from->written)
			continue;
		dir_list_remove(&op->from->list, op->id);
		op->from->stale = true;
	}
}

/* After the batch: what is staged is what is there, or all is as before. */
static void settle_row(struct row *r)
{
	if (r->written) {
		dir_list_release(&r->list);
		r->list = r->staged;
		r->staged = (struct dir_list){ .slots = NULL };
		r->stale = r->failure != PLAN_OK;
	}
	dir_list_release(&r->staged);
}

static void tell_done(struct dir *d)
{
	for (size_t i = 0; i < d->op_count; i++) {
		struct staged_op op = d->ops[i];
		bool ok = op.to->written;

		d->handler.on_done(d->handler.arg, op.object, ok ? PLAN_OK : op.to->failure,
			ok ? NULL : op.to->error);
	}
	d->op_count = 0;
}

void dir_flush(struct dir *d)
{
	struct row **touched = d->touched;
	size_t count = d->touched_count;

	store_gaining(d);
	store_losing(d);
	settle_moves(d);
	for (size_t i = 0; i < count; i++) {
		settle_row(touched[i]);
		if (touched[i]->failure != PLAN_OK && d->op_count == 0)
			warn(d, touched[i]->error);
	}
	tell_done(d);
	d->touched_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct row *r = touched[i];

		r->touched = r->gains = r->written = false;
		r->failure = PLAN_OK;
		free(TAKE(r->error));
		drop_row(d, r);
	}
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static int is_manifest(const struct dirent *e)
{
	return is_visible(e) && str_ends(e->d_name, ".yaml");
}

static void free_names(struct dirent **names, int count)
{
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

/* A file that the directory has; ours becomes a row, all others are left alone. */
static void load_file(struct dir *d, const char *relative)
{
	cleanup_free char *path = xasprintf("%s/%s", d->path, relative);
	cleanup_free char *expected = NULL;
	struct dir_content c;
	struct err err = ERR_INIT;

	if (dir_file_read(path, &c, &err) < 0)
		warn(d, err.msg);
	if (c.state == DIR_FILE_OURS || c.state == DIR_FILE_DAMAGED)
		expected = dir_name_file(c.source, c.key);
	/* A copy of one of our files, or a file of another set, is as foreign as any. */
	if (expected != NULL && strcmp(expected, relative) == 0 && strcmp(c.set, d->set) == 0)
		take_content(d, row_get(d, c.source, c.key), &c, err.msg);
	dir_content_release(&c);
}

static int load_folder(struct dir *d, const char *name, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/%s", d->path, name);
	cleanup_free char *temp = xasprintf("%s/%s", path, DIR_FILE_TEMP);
	struct dirent **names = NULL;
	int count = scandir(path, &names, is_manifest, compare_names);

	if (count < 0 && errno == ENOTDIR)
		return 0;
	if (count < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot read directory '%s'", path);
	/* What a killed process left half written. */
	if (!d->read_only)
		unlink(temp);
	for (int i = 0; i < count; i++) {
		cleanup_free char *relative = xasprintf("%s/%s", name, names[i]->d_name);

		load_file(d, relative);
	}
	free_names(names, count);
	return 0;
}

static int load_sources(struct dir *d, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(d->sources_path, MAX_SOURCES_BYTES, &len);
	cleanup_jv jv names = jv_invalid();

	if (text == NULL)
		return errno == ENOENT ? 0
				       : err_errno(err, EXIT_SYSTEM, "cannot read '%s'",
						 d->sources_path);
	jv_free(d->sources);
	d->sources = jvx_parse(text, len, err);
	if (!jvx_is(d->sources, JV_KIND_OBJECT))
		return err_set(err, EXIT_CONFIG,
			"'%s' is damaged (remove it: the sources' scopes are then taken as they come)",
			d->sources_path);
	names = jvx_keys(d->sources);
	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv source = jvx_get(d->sources, jv_string_value(name));
		cleanup_free char *scope = jvx_dup_field(source, "scope");

		if (scope != NULL)
			d->handler.on_source(d->handler.arg, jv_string_value(name), scope);
	}
	return 0;
}

int dir_load(struct dir *d, struct err *err)
{
	struct dirent **names = NULL;
	int count = scandir(d->path, &names, is_visible, compare_names), rc;

	if (count < 0 && errno == ENOENT && d->read_only)
		return 0;
	if (count < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot read directory '%s'", d->path);
	rc = load_sources(d, err);
	for (int i = 0; i < count && rc == 0; i++)
		rc = load_folder(d, names[i]->d_name, err);
	free_names(names, count);
	return rc;
}

int dir_remember(struct dir *d, const char *source, const char *scope, struct err *err)
{
	cleanup_buf struct buf text;
	jv entry = jv_object();

	if (scope != NULL) {
		jvx_set_str(&entry, "scope", scope);
		jvx_set(&d->sources, source, entry);
	} else {
		jv_free(entry);
		d->sources = jv_object_delete(d->sources, jv_string(source));
	}
	if (d->read_only)
		return 0;
	buf_init(&text, MAX_SOURCES_BYTES);
	if (canon_write(d->sources, &text, err) < 0 || buf_adds(&text, "\n") < 0)
		return err_wrap(err, "cannot write '%s'", d->sources_path);
	if (dir_file_write(d->sources_path, text.data, text.len, true) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", d->sources_path);
	return 0;
}

bool dir_is_frozen(const struct dir *d)
{
	return access(d->freeze_path, F_OK) == 0;
}

int dir_approval(const struct dir *d, uint64_t *ret, struct err *err)
{
	cleanup_free char *text = read_whole_file(d->approval_path, 64, NULL);

	if (text == NULL && errno == ENOENT)
		return 0;
	if (text == NULL)
		return err_errno(err, EXIT_SYSTEM, "cannot read '%s'", d->approval_path);
	text[strcspn(text, " \t\r\n")] = '\0';
	if (!parse_u64(text, INT64_MAX, ret))
		return err_set(err, EXIT_SYSTEM, "'%s' holds no number", d->approval_path);
	return 1;
}

void dir_drop_approval(const struct dir *d)
{
	unlink(d->approval_path);
}

const char *dir_approval_path(const struct dir *d)
{
	return d->approval_path;
}

static int make_folder(const char *path, struct err *err)
{
	struct stat st;

	if (mkdir(path, 0755) == 0 ||
		(errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	if (errno == EEXIST || errno == 0)
		errno = ENOTDIR;
	return err_errno(err, EXIT_SYSTEM, "cannot make directory '%s'", path);
}

static int take_lock(struct dir *d, struct err *err)
{
	char pid[32] = "";
	ssize_t n;

	d->lock = open(d->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (d->lock < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", d->lock_path);
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_errno(err, EXIT_SYSTEM, "cannot lock '%s'", d->lock_path);
		n = read(d->lock, pid, sizeof(pid) - 1);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		return err_set(err, EXIT_REFUSED,
			"'%s' has a writer already (process %s holds '%s')", d->path,
			*pid != '\0' ? pid : "unknown", d->lock_path);
	}
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(d->lock, 0) < 0 || write(d->lock, pid, strlen(pid)) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot write '%s'", d->lock_path);
	return 0;
}

static int claim(struct dir *d, struct err *err)
{
	cleanup_free char *state = xasprintf("%s/.meshpipe", d->path);

	if (make_folder(d->path, err) < 0 || make_folder(state, err) < 0)
		return -1;
	return take_lock(d, err);
}

struct dir *dir_open(
	const struct dir_config *config, const struct dir_handler *handler, struct err *err)
{
	struct dir *d = xcalloc(1, sizeof(*d));

	d->handler = *handler;
	d->path = xstrdup(config->path);
	d->set = xstrdup(config->set);
	d->read_only = config->read_only;
	d->lock = -1;
	d->sources = jv_object();
	d->lock_path = xasprintf("%s/.meshpipe/lock", d->path);
	d->sources_path = xasprintf("%s/.meshpipe/sources", d->path);
	d->freeze_path = xasprintf("%s/.meshpipe/freeze", d->path);
	d->approval_path = xasprintf("%s/.meshpipe/approve-deletes", d->path);
	if (!d->read_only && claim(d, err) < 0) {
		dir_close(d);
		return NULL;
	}
	return d;
}

void dir_close(struct dir *d)
{
	struct row *r;
	size_t pos = 0;

	if (d == NULL)
		return;
	while ((r = map_next(&d->rows, &pos)) != NULL)
		free_row(r);
	map_release(&d->rows);
	jv_free(d->sources);
	if (d->lock >= 0)
		close(d->lock);
	free(d->touched);
	free(d->ops);
	free(d->path);
	free(d->set);
	free(d->lock_path);
	free(d->sources_path);
	free(d->freeze_path);
	free(d->approval_path);
	free(d);
}
