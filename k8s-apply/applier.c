#include "k8s-apply/applier.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "k8s-apply/applier_state.h"
#include "lib/log.h"

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
	uv_close((uv_handle_t *)&a->timer, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(a->signals); i++)
		uv_close((uv_handle_t *)&a->signals[i], NULL);
	out_close(a->out);
}

void applier_end(struct applier *a)
{
	if (!a->ending) {
		a->ending = true;
		input_close(a->input);
		a->input = NULL;
		if (a->fatal.status == EXIT_OK && !a->told_to_end)
			applier_prune_named_sources(a);
		applier_pump(a);
	}
	if (a->fatal.status == EXIT_OUTPUT || out_pending(a->out) == 0)
		close_handles(a);
}

static void on_room(void *arg)
{
	struct applier *a = arg;

	if (a->ending)
		applier_end(a);
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
	if (!a->config->strict) {
		log_warn("cannot read input", "error", err->msg);
		return;
	}
	strict.status = EXIT_BAD_INPUT;
	applier_fail(a, &strict);
	applier_end(a);
}

static int on_value(void *arg, jv v, struct err *err)
{
	struct applier *a = arg;
	int rc = applier_take(a, v, err);

	if (a->fatal.status != EXIT_OK || (a->config->once && plan_all_synced(a->plan)))
		applier_end(a);
	return rc;
}

static void open_next(struct applier *a);

static void on_input_end(void *arg, const struct err *err)
{
	struct applier *a = arg;

	input_close(a->input);
	a->input = NULL;
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
	const struct applier_file *f;

	if (a->next_file == a->file_count || a->fatal.status != EXIT_OK) {
		applier_end(a);
		return;
	}
	f = &a->files[a->next_file++];
	a->input = input_open(&a->loop, f->fd, f->name, &handler, &err);
	if (a->input == NULL) {
		applier_fail(a, &err);
		applier_end(a);
	}
}

static int open_files(struct applier *a, struct err *err)
{
	static const char *const standard_input[] = { "-" };
	const struct opt_list *given = &a->config->files;
	const char *const *names = given->count > 0 ? given->item : standard_input;
	struct stat st;

	a->file_count = given->count > 0 ? given->count : 1;
	a->files = xcalloc(a->file_count, sizeof(*a->files));
	for (size_t i = 0; i < a->file_count; i++) {
		bool standard = strcmp(names[i], "-") == 0;
		struct applier_file *f = &a->files[i];

		f->name = standard ? "stdin" : names[i];
		f->fd = standard ? STDIN_FILENO : open(names[i], O_RDONLY | O_CLOEXEC);
		if (f->fd < 0)
			return err_errno(err, EXIT_USAGE, "cannot open '%s'", names[i]);
		if (!standard && fstat(f->fd, &st) == 0 && S_ISDIR(st.st_mode))
			return err_set(err, EXIT_USAGE, "'%s' is a directory", names[i]);
	}
	return 0;
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
	plan_count(a->plan, &counts);
	if (a->saw_record)
		plan_silent_sources(a->plan, on_silent_source, NULL);
	if (a->config->once && a->saw_record && !plan_all_synced(a->plan))
		return err_set(err, EXIT_UNAVAILABLE, "the input ended before 'synced'");
	applier_say_held(a);
	if (a->frozen && counts.waiting > 0)
		log_warn("frozen: not everything is written", "objects",
			log_num((long long)counts.waiting));
	if (counts.failed > 0 || a->unreadable || a->not_pruned || a->prune_failed)
		return EXIT_SOME_FAILED;
	return counts.held_keys > 0 || counts.waiting > 0 ? EXIT_HELD : EXIT_OK;
}

static int run(struct applier *a, struct err *err)
{
	applier_open_plan(a);
	if (open_loop(a, err) < 0 || open_files(a, err) < 0 || applier_open_target(a, err) < 0)
		return -1;
	applier_pump(a);
	open_next(a);
	uv_run(&a->loop, UV_RUN_DEFAULT);
	return outcome(a, err);
}

static void release(struct applier *a)
{
	close_handles(a);
	input_close(a->input);
	/* Runs the close callbacks, where the memory of the handles goes. */
	uv_run(&a->loop, UV_RUN_DEFAULT);
	uv_loop_close(&a->loop);
	dir_close(a->dir);
	plan_free(a->plan);
	for (size_t i = 0; i < a->file_count; i++)
		if (a->files[i].fd > STDERR_FILENO)
			close(a->files[i].fd);
	free(a->files);
	free(a->synced);
	free(a->warned);
}

int applier_run(const struct applier_config *config, struct err *err)
{
	struct applier a = { .config = config };
	int status;

	uv_loop_init(&a.loop);
	status = run(&a, err);
	release(&a);
	return status;
}
