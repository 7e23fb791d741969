#include "k8s-apply/applier.h"

#include <signal.h>
#include <string.h>

#include "k8s-apply/applier_state.h"
#include "lib/log.h"

/* For a cluster, once the input has ended. */
#define END_PATIENCE_MS 60000

void applier_fail(struct applier *a, const struct err *err)
{
	if (a->fatal.status == EXIT_OK)
		a->fatal = *err;
	if (a->open)
		uv_timer_start(&a->timer, applier_on_timer, 0, 0);
}

static void close_handles(struct applier *a)
{
	if (!a->open)
		return;
	a->open = false;
	progress_close(TAKE(a->progress));
	uv_close((uv_handle_t *)&a->timer, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(a->signals); i++)
		uv_close((uv_handle_t *)&a->signals[i], NULL);
	out_close(a->out);
	metrics_server_close(TAKE(a->metrics_server));
	if (a->target != NULL)
		a->target->ops->close(TAKE(a->target));
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* As long as objects are written it goes on, however many they are, and however slowly. */
int64_t applier_deadline_ms(const struct applier *a)
{
	int64_t patience = a->config->timeout_ms;

	/* Who reads a diff decides how long that takes. */
	if (a->differences != NULL && out_full(a->out))
		return INT64_MAX;
	/* A directory answers at once, or not for a reason that only a person can mend. */
	if (a->config->dir != NULL)
		return a->ending ? a->ended_ms : INT64_MAX;
	if (a->ending)
		return later(a->ended_ms, a->wrote_ms) +
		       (patience >= 0 ? patience : END_PATIENCE_MS);
	return !a->ready && patience >= 0 ? a->started_ms + patience : INT64_MAX;
}

/* Is there something left that is worth waiting for? */
static bool is_drained(const struct applier *a)
{
	struct plan_counts counts;
	int64_t wake = plan_wake_ms(a->plan);

	if (a->fatal.status != EXIT_OK || a->told_to_end || a->frozen ||
		steady_ms() >= applier_deadline_ms(a))
		return true;
	plan_count(a->plan, &counts);
	/* A set that has no objects any more is removed by who has the right to write. */
	if (a->deletes && a->gate == TARGET_WAITING && !applier_only_looks(a))
		return false;
	/* From a source that has ended nothing new will come. */
	return counts.waiting == counts.paused && (wake < 0 || wake > applier_deadline_ms(a));
}

void applier_check_end(struct applier *a)
{
	struct plan_counts counts;

	if (!a->ending || a->stopping || !is_drained(a))
		return;
	if (applier_sync_manifests(a)) {
		applier_pump(a);
		return;
	}
	applier_remove_set(a);
	a->stopping = true;
	plan_count(a->plan, &counts);
	a->trouble = counts.paused > 0 ? xstrdup("a source is not connected to its catalogue")
				       : a->target->ops->trouble(a->target);
	plan_freeze(a->plan, true);
	a->target->ops->stop(a->target);
}

void applier_close_when_said(struct applier *a)
{
	if (a->stopped && (a->fatal.status == EXIT_OUTPUT || out_pending(a->out) == 0))
		close_handles(a);
}

static void close_input(struct applier *a)
{
	input_close(TAKE(a->input));
	lines_close(TAKE(a->answer));
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

void applier_end(struct applier *a)
{
	if (!a->ending) {
		a->ending = true;
		a->ended_ms = steady_ms();
		close_input(a);
		if (a->fatal.status == EXIT_OK && !a->told_to_end) {
			applier_prune_named_sources(a);
			plan_hurry(a->plan);
			a->target->ops->hurry(a->target);
		}
		applier_pump(a);
	}
	applier_check_end(a);
}

static void on_room(void *arg)
{
	struct applier *a = arg;

	applier_close_when_said(a);
	if (a->differences != NULL && a->open)
		applier_pump(a);
}

static void on_gone(void *arg, const struct err *err)
{
	applier_fail(arg, err);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct applier *a = handle->data;

	if (signum == SIGHUP) {
		plan_retry_all(a->plan);
		a->target->ops->retry(a->target);
		applier_pump(a);
		return;
	}
	a->told_to_end = true;
	applier_end(a);
}

static void on_unreadable(void *arg, const struct err *err)
{
	struct applier *a = arg;
	struct err strict = *err;

	plan_unreadable(a->plan);
	a->unreadable = true;
	metrics_unreadable(a->metrics);
	if (!a->config->strict) {
		log_warn("cannot read input", "error", err->msg);
		return;
	}
	strict.status = EXIT_BAD_INPUT;
	applier_fail(a, &strict);
	applier_end(a);
}

/* A diff is a look at one moment. */
static bool ends_at_synced(const struct applier *a)
{
	return !a->config->prune && (a->config->once || a->config->mode == APPLIER_DIFF);
}

static int on_value(void *arg, jv v, struct err *err)
{
	struct applier *a = arg;
	int rc;

	a->heard_ms = steady_ms();
	a->heard = true;
	rc = applier_take(a, v, err);

	if (a->fatal.status != EXIT_OK || (ends_at_synced(a) && plan_all_synced(a->plan)))
		applier_end(a);
	return rc;
}

static void open_next(struct applier *a);

static void on_input_end(void *arg, const struct err *err)
{
	struct applier *a = arg;

	close_input(a);
	if (err != NULL)
		applier_fail(a, err);
	open_next(a);
}

static void open_next(struct applier *a)
{
	const struct input_handler handler = {
		.on_value = on_value,
		.on_unreadable = on_unreadable,
		.on_end = on_input_end,
		.arg = a,
	};
	struct err err = ERR_INIT;
	const struct file *f;
	int fd;

	if (a->next_file == a->files.count || a->fatal.status != EXIT_OK) {
		applier_end(a);
		return;
	}
	f = &a->files.item[a->next_file++];
	fd = files_open(f, &err);
	if (fd >= 0)
		a->input = input_open(&a->loop, fd, f->name, &handler, &err);
	if (fd > STDERR_FILENO && fd != f->fd)
		a->fd = fd;
	if (a->input == NULL) {
		applier_fail(a, &err);
		applier_end(a);
	}
}

void applier_begin(struct applier *a)
{
	a->ready = true;
	a->heard_ms = steady_ms();
	if (!a->ending && a->config->delete_set)
		applier_begin_delete(a);
	else if (!a->ending)
		open_next(a);
	applier_pump(a);
}

static int open_loop(struct applier *a, struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	const struct out_handler handler = { .on_room = on_room, .on_gone = on_gone, .arg = a };

	a->out = out_open(&a->loop, STDOUT_FILENO, &handler, err);
	if (a->out == NULL)
		return -1;
	uv_timer_init(&a->loop, &a->timer);
	a->timer.data = a;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(&a->loop, &a->signals[i]);
		a->signals[i].data = a;
		uv_signal_start(&a->signals[i], on_signal, numbers[i]);
	}
	a->open = true;
	if (a->config->mode == APPLIER_DIFF)
		a->differences = differences_new(a->out, a->config->colour);
	else if (isatty(STDERR_FILENO) == 1)
		a->progress = progress_open(&a->loop, STDERR_FILENO);
	return 0;
}

static void on_silent_source(void *arg UNUSED, const char *source, size_t objects)
{
	log_warn("a source is not named any more", "source", source, "objects",
		log_num((long long)objects), "to_remove", "run once with --prune-source");
}

/* How it went, once all is done. */
static int outcome(struct applier *a, struct err *err)
{
	struct plan_counts counts;

	if (a->fatal.status != EXIT_OK) {
		*err = a->fatal;
		return -1;
	}
	if (a->told_to_end)
		return EXIT_OK;
	if (!a->ready)
		return err_set(err, EXIT_UNAVAILABLE, "%s",
			a->trouble != NULL ? a->trouble : "the API server did not answer in time");
	plan_count(a->plan, &counts);
	if (a->saw_record)
		plan_silent_sources(a->plan, on_silent_source, NULL);
	if (a->config->once && a->saw_record && !plan_all_synced(a->plan))
		return err_set(err, EXIT_UNAVAILABLE, "the input ended before 'synced'");
	if (a->frozen && counts.waiting > 0)
		log_warn("frozen: not everything is written", "objects",
			log_num((long long)counts.waiting));
	else if (counts.waiting > 0)
		return err_set(err, EXIT_UNAVAILABLE,
			"%zu objects could not be written in time%s%s", counts.waiting,
			a->trouble != NULL ? ": " : "", a->trouble != NULL ? a->trouble : "");
	if (counts.failed > 0 || a->unreadable || a->not_pruned || a->prune_failed)
		return EXIT_SOME_FAILED;
	if (a->differences != NULL && differences_count(a->differences) > 0)
		return EXIT_HELD;
	return counts.held_keys > 0 || counts.waiting > 0 ? EXIT_HELD : EXIT_OK;
}

static int open_files(struct applier *a, struct err *err)
{
	if (a->config->delete_set)
		return 0;
	return files_find(&a->config->files, a->config->recursive, &a->files, err);
}

static int run(struct applier *a, struct err *err)
{
	a->metrics = metrics_new();
	applier_open_plan(a);
	/* The files first: until a named pipe has a writer a signal may still end us. */
	if (open_files(a, err) < 0 || open_loop(a, err) < 0 || applier_open_metrics(a, err) < 0 ||
		applier_open_target(a, err) < 0)
		return -1;
	uv_run(&a->loop, UV_RUN_DEFAULT);
	return outcome(a, err);
}

static void release(struct applier *a)
{
	close_handles(a);
	close_input(a);
	/* Runs the close callbacks, where the memory of the handles goes. */
	uv_run(&a->loop, UV_RUN_DEFAULT);
	uv_loop_close(&a->loop);
	plan_free(a->plan);
	freshness_release(&a->freshness);
	files_release(&a->files);
	differences_free(a->differences);
	metrics_free(a->metrics);
	free(a->synced);
	free(a->trouble);
	free(a->warned);
}

int applier_run(const struct applier_config *config, struct err *err)
{
	struct applier a = { .config = config, .started_ms = steady_ms(), .fd = -1 };
	int status;

	uv_loop_init(&a.loop);
	status = run(&a, err);
	release(&a);
	return status;
}
