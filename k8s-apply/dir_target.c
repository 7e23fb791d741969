#include "k8s-apply/dir.h"

struct dir_target {
	struct target target; /* first */
	struct dir *dir;
	enum target_use use;
	bool removes; /* the set, in the end */
};

static struct dir_target *dir_target_of(struct target *t)
{
	return (struct dir_target *)t;
}

static struct dir *dir_of(struct target *t)
{
	return ((struct dir_target *)t)->dir;
}

static int start(struct target *t, struct err *err)
{
	if (dir_load(dir_of(t), err) < 0)
		return -1;
	t->handler.on_ready(t->handler.arg);
	return 0;
}

static void said(struct target *t, const struct plan_desired *d)
{
	/* While frozen a file that was edited stays so; it is looked at when it is written. */
	if (t->ops->gate(t) == TARGET_OPEN && !dir_get_control(dir_of(t))->read_only)
		dir_said(dir_of(t), d->source, d->key);
}

static enum target_gate gate(struct target *t)
{
	struct dir_control *control = dir_get_control(dir_of(t));
	struct err err = ERR_INIT;

	if (dir_target_of(t)->removes)
		return TARGET_WAITING;
	if (dir_control_is_lost(control)) {
		err_set(&err, EXIT_SYSTEM, "'%s' was removed while it was written to",
			control->path);
		t->handler.on_fatal(t->handler.arg, &err);
		return TARGET_WAITING;
	}
	/* What would be written once it is not frozen any more is what is to be shown. */
	if (dir_target_of(t)->use == TARGET_COMPARE)
		return TARGET_OPEN;
	return dir_control_is_frozen(control) ? TARGET_FROZEN : TARGET_OPEN;
}

static void stage(struct target *t, const struct plan_op *op)
{
	if (dir_target_of(t)->use == TARGET_COMPARE)
		dir_compare(dir_of(t), op);
	else
		dir_stage(dir_of(t), op);
}

static void flush(struct target *t)
{
	if (!dir_get_control(dir_of(t))->read_only)
		dir_flush(dir_of(t));
}

static int remember(struct target *t, const char *source, const char *scope, struct err *err)
{
	return dir_control_remember(dir_get_control(dir_of(t)), source, scope, err);
}

static int approval(struct target *t, uint64_t *ret, struct err *err)
{
	return dir_control_approval(dir_get_control(dir_of(t)), ret, err);
}

static void drop_approval(struct target *t)
{
	dir_control_drop_approval(dir_get_control(dir_of(t)));
}

static char *how_to_release(struct target *t, uint64_t keys)
{
	return xasprintf("run once with --approve-deletes %llu, or write %llu to '%s'",
		(unsigned long long)keys, (unsigned long long)keys,
		dir_get_control(dir_of(t))->approval_path);
}

static char *trouble(struct target *t UNUSED)
{
	return NULL;
}

static void look(struct target *t UNUSED, struct target_look *ret)
{
	*ret = (struct target_look){ .leads = true };
}

/* It has the right to write since it was opened, and nothing of it is ever under way. */
static void do_nothing(struct target *t UNUSED)
{
}

static char *where(const struct target *t)
{
	const struct dir_target *dt = (const struct dir_target *)t;

	return xasprintf("directory '%s'", dir_get_control(dt->dir)->path);
}

static bool has_set(const struct target *t)
{
	const struct dir_target *dt = (const struct dir_target *)t;

	return dir_control_has_set(dir_get_control(dt->dir));
}

static void remove_set(struct target *t)
{
	dir_target_of(t)->removes = true;
}

static void stop(struct target *t)
{
	struct err err = ERR_INIT;

	if (dir_target_of(t)->removes && dir_remove_set(dir_of(t), &err) < 0)
		t->handler.on_fatal(t->handler.arg, &err);
	t->handler.on_stopped(t->handler.arg);
}

static void close_dir(struct target *t)
{
	dir_close(dir_of(t));
	free(t);
}

struct target *dir_target_open(
	const struct dir_config *config, const struct target_handler *handler, struct err *err)
{
	static const struct target_ops ops = {
		.start = start,
		.said = said,
		.gate = gate,
		.wanted = do_nothing,
		.unwanted = do_nothing,
		.retry = do_nothing,
		.stage = stage,
		.flush = flush,
		.remember = remember,
		.approval = approval,
		.drop_approval = drop_approval,
		.how_to_release = how_to_release,
		.where = where,
		.has_set = has_set,
		.remove_set = remove_set,
		.trouble = trouble,
		.look = look,
		.hurry = do_nothing,
		.stop = stop,
		.close = close_dir,
	};
	struct dir_target *t = xcalloc(1, sizeof(*t));

	t->target = (struct target){ .ops = &ops, .handler = *handler };
	t->use = config->use;
	t->dir = dir_open(config, handler, err);
	if (t->dir != NULL)
		return &t->target;
	free(t);
	return NULL;
}
