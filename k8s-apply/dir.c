#include "k8s-apply/dir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "k8s-apply/dir_name.h"
#include "k8s-apply/dir_row.h"

static void dir_row_free(struct dir_row *r)
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

struct dir_row *dir_row_get(struct dir *d, const char *source, const char *key)
{
	cleanup_free char *relative = dir_name_file(source, key);
	struct dir_row *r = map_get(&d->rows, relative, strlen(relative));

	if (r != NULL)
		return r;
	r = xcalloc(1, sizeof(*r));
	r->path = xasprintf("%s/%s", d->control.path, relative);
	r->relative = TAKE(relative);
	r->source = xstrdup(source);
	r->key = xstrdup(key);
	map_add(&d->rows, r->relative, strlen(r->relative), r);
	return r;
}

void dir_row_drop(struct dir *d, struct dir_row *r)
{
	if (r->present || r->list.count > 0 || r->touched)
		return;
	map_remove(&d->rows, r->relative, strlen(r->relative));
	dir_row_free(r);
}

void dir_row_touch(struct dir *d, struct dir_row *r)
{
	if (r->touched)
		return;
	if (d->touched_count == d->touched_capacity) {
		d->touched_capacity = d->touched_capacity > 0 ? d->touched_capacity * 2 : 16;
		d->touched = xrealloc(d->touched, d->touched_capacity, sizeof(struct dir_row *));
	}
	d->touched[d->touched_count++] = r;
	r->touched = true;
	r->staged = dir_list_copy(&r->list);
}

void dir_warn(const struct dir *d, const char *text)
{
	d->handler.on_warning(d->handler.arg, text);
}

bool dir_is_ours(const struct dir *d, const struct dir_row *r, const struct dir_content *c)
{
	return (c->state == DIR_FILE_OURS || c->state == DIR_FILE_DAMAGED) &&
	       strcmp(c->source, r->source) == 0 && strcmp(c->key, r->key) == 0 &&
	       strcmp(c->set, d->control.set) == 0;
}

static bool any_hands_off(const struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->slots[i].entry->m.hands_off)
			return true;
	return false;
}

/* What was in the file and is not any more. */
static void tell_lost(
	const struct dir *d, const struct dir_list *before, const struct dir_list *now)
{
	for (size_t i = 0; i < before->count; i++)
		if (dir_list_find(now, &before->slots[i].entry->m.id) == NULL)
			d->handler.on_lost(d->handler.arg, &before->slots[i].entry->m.id);
}

/* Takes the objects of the file as they are now; one that another file has already is dropped. */
static void take_list(struct dir *d, struct dir_row *r, struct dir_list *list)
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
	bytes = dir_file_compose(r->source, r->key, d->control.set, &r->list, true, &len);
	/* Another layout of the same is put right, too, but not against a person's will. */
	r->stale = XXH3_64bits(bytes, len) != r->hash && !any_hands_off(&r->list);
}

/* Its objects are still known from before, but nobody can say what of them is there. */
static void take_damaged(struct dir *d, struct dir_row *r, const char *why)
{
	cleanup_free char *text = xasprintf("%s (it is written anew when its key is said)", why);

	dir_warn(d, text);
	r->stale = true;
	for (size_t i = 0; i < r->list.count; i++) {
		struct manifest m = r->list.slots[i].entry->m;

		m.hash = 0;
		d->handler.on_found(d->handler.arg, r->source, r->key, &m);
	}
}

static void take_content(struct dir *d, struct dir_row *r, struct dir_content *c, const char *why)
{
	struct dir_list none = { .slots = NULL };

	r->hash = c->hash;
	r->stamp = c->stamp;
	r->present = c->state == DIR_FILE_EMPTY || dir_is_ours(d, r, c);
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
static bool is_untouched(struct dir_row *r)
{
	struct dir_stamp now;

	if (!dir_file_stamp(r->path, &now))
		return !r->present;
	return r->present && dir_stamp_same(&r->stamp, &now);
}

bool dir_row_refresh(struct dir *d, struct dir_row *r)
{
	struct dir_content c;
	struct err err = ERR_INIT;
	bool changed = false;

	if (is_untouched(r))
		return false;
	if (dir_file_read(r->path, &c, &err) < 0) {
		dir_warn(d, err.msg);
	} else if (r->present && dir_is_ours(d, r, &c) && c.hash == r->hash) {
		r->stamp = c.stamp;
	} else if (r->present || dir_is_ours(d, r, &c)) {
		take_content(d, r, &c, err.msg);
		changed = true;
	}
	dir_content_release(&c);
	return changed;
}

void dir_said(struct dir *d, const char *source, const char *key)
{
	struct dir_row *r = dir_row_get(d, source, key);

	dir_row_refresh(d, r);
	if (r->stale)
		dir_row_touch(d, r);
	dir_row_drop(d, r);
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
	cleanup_free char *path = xasprintf("%s/%s", d->control.path, relative);
	cleanup_free char *expected = NULL;
	struct dir_content c;
	struct err err = ERR_INIT;

	if (dir_file_read(path, &c, &err) < 0)
		dir_warn(d, err.msg);
	if (c.state == DIR_FILE_OURS || c.state == DIR_FILE_DAMAGED)
		expected = dir_name_file(c.source, c.key);
	d->shared = d->shared || (c.set != NULL && strcmp(c.set, d->control.set) != 0);
	/* A copy of one of our files, or a file of another set, is as foreign as any. */
	if (expected != NULL && strcmp(expected, relative) == 0 && c.set != NULL &&
		strcmp(c.set, d->control.set) == 0)
		take_content(d, dir_row_get(d, c.source, c.key), &c, err.msg);
	dir_content_release(&c);
}

static int load_folder(struct dir *d, const char *name, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/%s", d->control.path, name);
	cleanup_free char *temp = xasprintf("%s/%s", path, DIR_FILE_TEMP);
	struct dirent **names = NULL;
	int count = scandir(path, &names, is_manifest, compare_names);
	size_t rows;

	if (count < 0 && errno == ENOTDIR)
		return 0;
	if (count < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot read directory '%s'", path);
	/* What a killed process left half written. */
	if (!d->control.read_only)
		unlink(temp);
	rows = d->rows.count;
	for (int i = 0; i < count; i++) {
		cleanup_free char *relative = xasprintf("%s/%s", name, names[i]->d_name);

		load_file(d, relative);
	}
	free_names(names, count);
	if (d->rows.count == rows)
		return 0;
	d->folders = xrealloc(d->folders, d->folder_count + 1, sizeof(char *));
	d->folders[d->folder_count++] = TAKE(path);
	return 0;
}

int dir_load(struct dir *d, struct err *err)
{
	struct dirent **names = NULL;
	int count = scandir(d->control.path, &names, is_visible, compare_names), rc;

	if (count < 0 && errno == ENOENT && d->control.read_only)
		return 0;
	if (count < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot read directory '%s'", d->control.path);
	rc = dir_control_load(&d->control, d->handler.on_source, d->handler.arg, err);
	for (int i = 0; i < count && rc == 0; i++)
		rc = load_folder(d, names[i]->d_name, err);
	free_names(names, count);
	return rc;
}

int dir_remove_set(struct dir *d, struct err *err)
{
	/* One that somebody else has something in is not empty, and stays. */
	for (size_t i = 0; i < d->folder_count; i++)
		rmdir(d->folders[i]);
	return dir_control_remove(&d->control, d->shared, err);
}

struct dir_control *dir_get_control(struct dir *d)
{
	return &d->control;
}

struct dir *dir_open(
	const struct dir_config *config, const struct target_handler *handler, struct err *err)
{
	struct dir *d = xcalloc(1, sizeof(*d));

	d->handler = *handler;
	if (config->must_exist && access(config->path, F_OK) < 0) {
		err_errno(err, EXIT_SOME_FAILED, "there is no set '%s' in directory '%s'",
			config->set, config->path);
		free(d);
		return NULL;
	}
	if (dir_control_open(
		    &d->control, config->path, config->set, config->use != TARGET_WRITE, err) < 0) {
		dir_close(d);
		return NULL;
	}
	return d;
}

void dir_close(struct dir *d)
{
	struct dir_row *r;
	size_t pos = 0;

	if (d == NULL)
		return;
	while ((r = map_next(&d->rows, &pos)) != NULL)
		dir_row_free(r);
	map_release(&d->rows);
	for (size_t i = 0; i < d->folder_count; i++)
		free(d->folders[i]);
	free(d->folders);
	dir_control_close(&d->control);
	free(d->touched);
	free(d->ops);
	free(d);
}
