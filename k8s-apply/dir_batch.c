#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "k8s-apply/dir_row.h"
#include "lib/yaml.h"

static void add_op(
	struct dir *d, const struct plan_op *op, struct dir_row *to, struct dir_row *from)
{
	if (d->op_count == d->op_capacity) {
		d->op_capacity = d->op_capacity > 0 ? d->op_capacity * 2 : 16;
		d->ops = xrealloc(d->ops, d->op_capacity, sizeof(*d->ops));
	}
	d->ops[d->op_count++] = (struct dir_op){ op->object, op->id, to, from };
}

void dir_stage(struct dir *d, const struct plan_op *op)
{
	struct dir_row *to = dir_row_get(d, op->source, op->key);
	struct dir_row *from =
		op->from_key != NULL ? dir_row_get(d, op->from_source, op->from_key) : NULL;
	struct dir_entry *e = NULL;
	struct dir_slot *slot;
	struct err err = ERR_INIT;

	/* A person may have edited it, to say "hands off" for instance: then decide again. */
	if ((!to->touched && dir_row_refresh(d, to)) ||
		(from != NULL && !from->touched && dir_row_refresh(d, from))) {
		dir_row_drop(d, to);
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
	dir_row_touch(d, to);
	if (e != NULL) {
		dir_list_put(&to->staged, e);
		to->gains = true;
	} else {
		dir_list_remove(&to->staged, op->id);
	}
	if (from != NULL) {
		dir_row_touch(d, from);
		slot = dir_list_find(&from->staged, op->id);
		if (slot != NULL)
			slot->leaving = true;
	}
	add_op(d, op, to, from);
}

void dir_compare(struct dir *d, const struct plan_op *op)
{
	const bool moves = op->from_key != NULL;
	struct dir_row *r = dir_row_get(
		d, moves ? op->from_source : op->source, moves ? op->from_key : op->key);
	const struct dir_slot *slot = dir_list_find(&r->list, op->id);
	cleanup_jv jv before = jv_invalid();
	cleanup_jv jv after = jv_invalid();
	struct err impossible = ERR_INIT;

	/* What we have read, or are about to write. */
	if (slot != NULL) {
		const char *yaml = slot->entry->yaml;
		cleanup_jv jv docs = yaml_parse(yaml, strlen(yaml), "", &impossible);

		before = jvx_at(docs, 0);
	}
	if (op->body != NULL)
		after = jvx_parse(op->body, strlen(op->body), &impossible);
	dir_row_drop(d, r);
	d->handler.on_difference(d->handler.arg, op->id, before, after);
	d->handler.on_done(d->handler.arg, op->object, PLAN_OK, NULL);
}

static bool has_leaving(const struct dir_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->slots[i].leaving)
			return true;
	return false;
}

static void fail_row(struct dir_row *r, enum plan_outcome outcome, char *error)
{
	free(r->error);
	r->failure = outcome;
	r->error = error;
}

/* Something is at the path and we did not put it there, as far as we know. */
static bool may_replace(const struct dir *d, struct dir_row *r)
{
	struct dir_content c;
	struct err err = ERR_INIT;
	bool may = false;

	if (dir_file_read(r->path, &c, &err) < 0)
		fail_row(r, PLAN_RETRY, xstrdup(err.msg));
	else if (c.state == DIR_FILE_ABSENT || c.state == DIR_FILE_EMPTY || dir_is_ours(d, r, &c))
		may = true;
	else
		fail_row(r, PLAN_FOREIGN,
			xasprintf("'%s' is somebody else's file (move it away)", r->path));
	dir_content_release(&c);
	return may;
}

static int write_row(const struct dir *d, struct dir_row *r, const char *bytes, size_t len)
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
static int store(const struct dir *d, struct dir_row *r, bool with_leaving)
{
	cleanup_free char *bytes = NULL;
	uint64_t hash;
	size_t len;

	bytes = dir_file_compose(r->source, r->key, d->control.set, &r->staged, with_leaving, &len);
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

static int remove_file(struct dir_row *r)
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
		struct dir_row *r = d->touched[i];

		if (r->gains)
			r->written = store(d, r, true) == 0;
	}
	for (size_t i = 0; i < d->op_count; i++) {
		struct dir_op *op = &d->ops[i];
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
		struct dir_row *r = d->touched[i];
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
		struct dir_op *op = &d->ops[i];

		if (op->from == NULL || !op->to->written || op->from->written)
			continue;
		dir_list_remove(&op->from->list, op->id);
		op->from->stale = true;
	}
}

/* After the batch: what is staged is what is there, or all is as before. */
static void settle_row(struct dir_row *r)
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
		struct dir_op op = d->ops[i];
		bool ok = op.to->written;

		d->handler.on_done(d->handler.arg, op.object, ok ? PLAN_OK : op.to->failure,
			ok ? NULL : op.to->error);
	}
	d->op_count = 0;
}

void dir_flush(struct dir *d)
{
	struct dir_row **touched = d->touched;
	size_t count = d->touched_count;

	store_gaining(d);
	store_losing(d);
	settle_moves(d);
	for (size_t i = 0; i < count; i++) {
		settle_row(touched[i]);
		if (touched[i]->failure != PLAN_OK && d->op_count == 0)
			dir_warn(d, touched[i]->error);
	}
	tell_done(d);
	d->touched_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct dir_row *r = touched[i];

		r->touched = r->gains = r->written = false;
		r->failure = PLAN_OK;
		free(TAKE(r->error));
		dir_row_drop(d, r);
	}
}
