#include <string.h>

#include "k8s-apply/applier_state.h"
#include "lib/log.h"

/* --prune: the input is a snapshot of plain manifests, whose source is "". */

#define SNAPSHOT "input"

static void begin_manifests(struct applier *a)
{
	if (!a->manifests_begun)
		plan_start(a->plan, "", SNAPSHOT, NULL);
	a->manifests_begun = true;
}

bool applier_takes_source(struct applier *a, const char *source)
{
	struct err err = ERR_INIT;

	if (!a->config->prune)
		return true;
	begin_manifests(a);
	if (*source == '\0')
		return true;
	err_set(&err, EXIT_USAGE,
		"--prune is for plain manifests: records (of source '%s') prune by their 'synced'",
		source);
	applier_fail(a, &err);
	return false;
}

static const char *why_not_pruned(struct applier *a)
{
	struct plan_counts counts;

	plan_count(a->plan, &counts);
	if (counts.failed > 0 || counts.waiting > 0)
		return "not all of the input could be applied";
	return a->unreadable ? "not all of the input could be read" : NULL;
}

bool applier_sync_manifests(struct applier *a)
{
	struct plan_notice n = { .kind = PLAN_NOT_PRUNED };

	if (!a->config->prune || a->manifests_synced || a->fatal.status != EXIT_OK ||
		a->told_to_end || a->frozen || !a->ready)
		return false;
	a->manifests_synced = true;
	n.why = why_not_pruned(a);
	if (n.why != NULL) {
		a->not_pruned = true;
		report_log_notice(&n, NULL);
		return false;
	}
	begin_manifests(a);
	plan_synced(a->plan, steady_ms(), "", SNAPSHOT, plan_named(a->plan, ""));
	return true;
}

/* `diff` */

void applier_note_result(struct applier *a, const struct plan_result *r)
{
	cleanup_free char *skipped = NULL;

	switch (r->action) {
	case PLAN_HELD:
		differences_note(a->differences, r->id,
			"is not wanted any more; its deletion would be held");
		break;
	case PLAN_SKIPPED:
		skipped = xasprintf("would be left as it is: %s", r->error);
		differences_note(a->differences, r->id, skipped);
		break;
	case PLAN_CREATED:
	case PLAN_CONFIGURED:
	case PLAN_DELETED:
	case PLAN_UNCHANGED:
	case PLAN_CONFLICT:
	case PLAN_FAILED:
		break;
	}
}

/* `delete` */

struct kind_count {
	char *kind;
	size_t objects;
};

struct kind_counts {
	struct kind_count *item;
	size_t count, objects;
};

static void count_object(void *arg, const struct object_id *id)
{
	struct kind_counts *all = arg;
	cleanup_free char *kind =
		xasprintf("%s%s%s", id->kind, *id->group != '\0' ? "." : "", id->group);

	all->objects++;
	for (size_t i = 0; i < all->count; i++)
		if (strcmp(all->item[i].kind, kind) == 0) {
			all->item[i].objects++;
			return;
		}
	all->item = xrealloc(all->item, all->count + 1, sizeof(*all->item));
	all->item[all->count++] = (struct kind_count){ TAKE(kind), 1 };
}

static int by_kind(const void *a, const void *b)
{
	return strcmp(((const struct kind_count *)a)->kind, ((const struct kind_count *)b)->kind);
}

/* Says on the terminal, or in the log, what is to go. Returns how many objects. */
static size_t list_kinds(const struct applier *a, bool asks)
{
	struct kind_counts all = { .item = NULL };

	plan_each_object(a->plan, count_object, &all);
	if (all.count > 0)
		qsort(all.item, all.count, sizeof(*all.item), by_kind);
	for (size_t i = 0; i < all.count; i++) {
		cleanup_free char *number = progress_number(all.item[i].objects);

		if (asks)
			fprintf(stderr, "%8s  %s\n", number, all.item[i].kind);
		else
			log_info("to be deleted", "kind", all.item[i].kind, "objects",
				log_num((long long)all.item[i].objects));
		free(all.item[i].kind);
	}
	free(all.item);
	return all.objects;
}

static void delete_all(struct applier *a)
{
	a->deletes = true;
	if (!applier_only_looks(a))
		applier_want(a);
	plan_prune_all(a->plan, steady_ms());
	applier_end(a);
}

static void cancel(struct applier *a)
{
	fprintf(stderr, "nothing is deleted\n");
	applier_end(a);
}

static void on_answer(void *arg, const char *text, size_t len UNUSED)
{
	struct applier *a = arg;
	bool yes = text != NULL && (strcasecmp(text, "y") == 0 || strcasecmp(text, "yes") == 0);

	if (a->ending || a->deletes)
		return;
	if (yes)
		delete_all(a);
	else
		cancel(a);
}

static void on_no_answer(void *arg, const struct err *err UNUSED)
{
	struct applier *a = arg;

	if (!a->ending && !a->deletes)
		cancel(a);
}

static void ask(struct applier *a, size_t objects)
{
	const struct lines_handler handler = {
		.on_line = on_answer, .on_end = on_no_answer, .arg = a
	};
	cleanup_free char *where = a->target->ops->where(a->target);
	cleanup_free char *number = progress_number(objects);
	struct err err = ERR_INIT;

	fprintf(stderr, "delete %s object%s of set '%s' in %s? [y/N] ", number,
		objects == 1 ? "" : "s", a->config->set, where);
	a->answer = lines_open(&a->loop, STDIN_FILENO, LINE_MAX, &handler, &err);
	if (a->answer == NULL) {
		applier_fail(a, &err);
		applier_end(a);
	}
}

void applier_begin_delete(struct applier *a)
{
	const bool asks = !a->config->yes && !applier_only_looks(a);
	struct err err = ERR_INIT;
	size_t objects = list_kinds(a, asks);
	cleanup_free char *where = a->target->ops->where(a->target);

	if (objects == 0 && !a->target->ops->has_set(a->target)) {
		err_set(&err, EXIT_SOME_FAILED, "there is no set '%s' in %s", a->config->set,
			where);
		/* What a directory got by being opened. */
		if (a->config->dir != NULL && !applier_only_looks(a))
			a->target->ops->remove_set(a->target);
		applier_fail(a, &err);
		applier_end(a);
	} else if (asks) {
		ask(a, objects);
	} else {
		delete_all(a);
	}
}

void applier_remove_set(struct applier *a)
{
	struct plan_counts counts;

	plan_count(a->plan, &counts);
	if (!a->deletes || a->fatal.status != EXIT_OK || a->told_to_end || applier_only_looks(a) ||
		a->gate == TARGET_WAITING || a->gate == TARGET_FROZEN)
		return;
	if (counts.objects == 0) {
		a->target->ops->remove_set(a->target);
		return;
	}
	a->prune_failed = true;
	log_warn("not all of the set is gone: its own memory stays as well", "objects",
		log_num((long long)counts.objects));
}
