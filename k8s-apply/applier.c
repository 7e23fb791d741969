#include "k8s-apply/applier.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "k8s-apply/dir.h"
#include "k8s-apply/feed.h"
#include "k8s-apply/input.h"
#include "lib/log.h"
#include "lib/out.h"

/* Result lines that wait for a reader who has stopped reading. */
#define MAX_PENDING_BYTES (64u << 20)

/* How soon a person's word in a file is noticed. */
#define LOOK_MS 500

struct file {
	int fd;
	const char *name;
};

struct applier {
	const struct applier_config *config;
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t signals[3];
	struct plan *plan;
	struct dir *dir;
	struct out *out;
	struct input *input;
	struct file *files;
	size_t file_count, next_file;
	bool open;	  /* the handles of the loop */
	bool ending;	  /* nothing is read any more */
	bool told_to_end; /* by a signal */
	bool frozen;
	bool saw_record; /* other than manifests */
	bool unreadable, prune_failed, prune_done;
	size_t created, configured, deleted; /* since the last snapshot */
	char *synced;			     /* source that has just been */
	char *warned;			     /* the last problem that went to the log */
	struct err fatal;
};

static void end(struct applier *a);

static void fail(struct applier *a, const struct err *err)
{
	if (a->fatal.status == EXIT_OK)
		a->fatal = *err;
	end(a);
}

static struct dir_control *control(struct applier *a)
{
	return dir_get_control(a->dir);
}

/* From the plan. */

static void on_result(void *arg, const struct plan_result *r)
{
	struct applier *a = arg;
	cleanup_free char *line = report_line(a->config->format, r, a->config->dry_run, wall_ms());
	struct err err = ERR_INIT;

	a->created += r->action == PLAN_CREATED;
	a->configured += r->action == PLAN_CONFIGURED;
	a->deleted += r->action == PLAN_DELETED;
	report_log_problem(r, &a->warned);
	if (line == NULL || a->fatal.status == EXIT_OUTPUT)
		return;
	out_line(a->out, line);
	if (out_pending(a->out) > MAX_PENDING_BYTES) {
		err_set(&err, EXIT_OUTPUT, "nobody reads our output");
		fail(a, &err);
	}
}

static void on_notice(void *arg, const struct plan_notice *n)
{
	struct applier *a = arg;

	if (n->kind == PLAN_SYNCED) {
		free(a->synced);
		a->synced = xstrdup(n->source);
	}
	/* An approval that was there before was for something else. */
	if (n->kind == PLAN_HOLD)
		dir_control_drop_approval(control(a));
	report_log_notice(n, control(a)->approval_path);
}

static void on_remember(void *arg, const char *source, const char *scope)
{
	struct applier *a = arg;
	struct err err = ERR_INIT;

	if (dir_control_remember(control(a), source, scope, &err) < 0)
		log_warn("cannot remember a source", "source", source, "error", err.msg);
}

/* From the target. */

static bool on_found(void *arg, const char *source, const char *key, const struct manifest *m)
{
	struct applier *a = arg;

	return plan_found(a->plan, source, key, m);
}

static void on_lost(void *arg, const struct object_id *id)
{
	struct applier *a = arg;

	plan_lost(a->plan, id);
}

static void on_source(void *arg, const char *source, const char *scope)
{
	struct applier *a = arg;

	plan_remember(a->plan, source, scope);
}

static void on_done(
	void *arg, struct plan_object *object, enum plan_outcome outcome, const char *error)
{
	struct applier *a = arg;

	plan_done(a->plan, steady_ms(), object, outcome, error);
}

static void on_warning(void *arg UNUSED, const char *text)
{
	log_warn(text);
}

/* Work. */

static void arm_timer(struct applier *a);

static void look_frozen(struct applier *a)
{
	bool frozen = dir_control_is_frozen(control(a));

	if (frozen != a->frozen)
		log_warn(frozen ? "frozen: nothing is written" : "no longer frozen");
	a->frozen = frozen;
	plan_freeze(a->plan, frozen);
}

/* Does all that the plan has to do now. */
static void pump(struct applier *a)
{
	struct plan_op op;
	size_t count;

	look_frozen(a);
	do {
		count = 0;
		while (plan_next(a->plan, steady_ms(), &op)) {
			count++;
			if (a->config->dry_run)
				plan_done(a->plan, steady_ms(), op.object, PLAN_OK, NULL);
			else
				dir_stage(a->dir, &op);
		}
		if (!a->config->dry_run && !a->frozen)
			dir_flush(a->dir);
	} while (count > 0);
	arm_timer(a);
}

static void look_approval(struct applier *a)
{
	struct plan_counts counts;
	struct err err = ERR_INIT;
	uint64_t keys = 0;
	int rc;

	plan_count(a->plan, &counts);
	if (counts.held_keys == 0 || a->config->dry_run)
		return;
	rc = dir_control_approval(control(a), &keys, &err);
	if (rc == 0)
		return;
	dir_control_drop_approval(control(a));
	if (rc < 0)
		log_warn("cannot take the approval", "error", err.msg);
	else if (plan_approve(a->plan, keys))
		log_info("held deletions released", "approved", log_num((long long)keys));
}

static void on_timer(uv_timer_t *timer)
{
	struct applier *a = timer->data;

	look_approval(a);
	pump(a);
}

static void arm_timer(struct applier *a)
{
	struct plan_counts counts;
	int64_t wake = plan_wake_ms(a->plan);
	int64_t pause = wake >= 0 ? wake - steady_ms() : INT64_MAX;

	plan_count(a->plan, &counts);
	if ((counts.held_keys > 0 || a->frozen) && pause > LOOK_MS)
		pause = LOOK_MS;
	if (a->ending || pause == INT64_MAX)
		uv_timer_stop(&a->timer);
	else
		uv_timer_start(&a->timer, on_timer, pause > 0 ? (uint64_t)pause : 0, 0);
}

/* Once: when a source has spoken, or never will. */
static void prune_named_sources(struct applier *a)
{
	const struct opt_list *names = &a->config->prune_sources;

	for (size_t i = 0; i < names->count && !a->prune_done; i++) {
		if (plan_prune_source(a->plan, steady_ms(), names->item[i]))
			continue;
		log_warn("source not pruned: it is unknown, or in use", "source", names->item[i]);
		a->prune_failed = true;
	}
	a->prune_done = true;
}

static void say_synced(struct applier *a)
{
	size_t keys, objects;

	plan_count_source(a->plan, a->synced, &keys, &objects);
	log_info("synced", "source", a->synced, "keys", log_num((long long)keys), "objects",
		log_num((long long)objects), "written",
		log_num((long long)(a->created + a->configured)), "deleted",
		log_num((long long)a->deleted));
	a->created = a->configured = a->deleted = 0;
	free(TAKE(a->synced));
}

/* From the input. */

static void feed_start(void *arg, const char *source, const char *snapshot, const char *scope)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_start(a->plan, source, snapshot, scope);
}

static void feed_apply(void *arg, struct plan_desired *desired)
{
	struct applier *a = arg;

	a->saw_record = a->saw_record || *desired->source != '\0';
	/* While frozen a file that was edited stays so; it is looked at when it is written. */
	if (!a->frozen && !a->config->dry_run)
		dir_said(a->dir, desired->source, desired->key);
	plan_apply(a->plan, steady_ms(), desired);
}

static void feed_keep(void *arg, const char *source, const char *key)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_keep_key(a->plan, source, key);
}

static void feed_synced(void *arg, const char *source, const char *snapshot, uint64_t services)
{
	struct applier *a = arg;

	a->saw_record = true;
	plan_synced(a->plan, steady_ms(), source, snapshot, services);
	prune_named_sources(a);
}

static int on_value(void *arg, jv v, struct err *err)
{
	struct applier *a = arg;
	const struct feed_handler handler = {
		.on_start = feed_start,
		.on_apply = feed_apply,
		.on_keep = feed_keep,
		.on_synced = feed_synced,
		.arg = a,
	};
	int rc = feed_value(v, a->config->namespace, &handler, err);

	pump(a);
	if (a->synced != NULL)
		say_synced(a);
	if (a->config->once && !a->ending && plan_all_synced(a->plan))
		end(a);
	return rc;
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
	fail(a, &strict);
}

static void open_next(struct applier *a);

static void on_input_end(void *arg, const struct err *err)
{
	struct applier *a = arg;

	input_close(a->input);
	a->input = NULL;
	if (err != NULL)
		fail(a, err);
	else
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

	if (a->next_file == a->file_count) {
		end(a);
		return;
	}
	f = &a->files[a->next_file++];
	a->input = input_open(&a->loop, f->fd, f->name, &handler, &err);
	if (a->input == NULL)
		fail(a, &err);
}

/* Beginning and end. */

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

/* Reads no more; what was read is done and said, then the loop runs out. */
static void end(struct applier *a)
{
	if (a->ending)
		return;
	a->ending = true;
	input_close(a->input);
	a->input = NULL;
	if (a->fatal.status == EXIT_OK && !a->told_to_end)
		prune_named_sources(a);
	pump(a);
	if (a->fatal.status == EXIT_OUTPUT || out_pending(a->out) == 0)
		close_handles(a);
}

static void on_room(void *arg)
{
	struct applier *a = arg;

	if (a->ending && out_pending(a->out) == 0)
		close_handles(a);
}

static void on_gone(void *arg, const struct err *err)
{
	struct applier *a = arg;

	if (!a->ending) {
		fail(a, err);
		return;
	}
	/* While the last lines drained. */
	a->fatal = *err;
	close_handles(a);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct applier *a = handle->data;

	if (signum == SIGHUP) {
		plan_retry_all(a->plan);
		pump(a);
		return;
	}
	a->told_to_end = true;
	end(a);
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
		struct file *f = &a->files[i];

		f->name = standard ? "stdin" : names[i];
		f->fd = standard ? STDIN_FILENO : open(names[i], O_RDONLY | O_CLOEXEC);
		if (f->fd < 0)
			return err_errno(err, EXIT_USAGE, "cannot open '%s'", names[i]);
		if (!standard && fstat(f->fd, &st) == 0 && S_ISDIR(st.st_mode))
			return err_set(err, EXIT_USAGE, "'%s' is a directory", names[i]);
	}
	return 0;
}

static int open_target(struct applier *a, struct err *err)
{
	const struct dir_config config = {
		.path = a->config->dir,
		.set = a->config->set,
		.read_only = a->config->dry_run,
	};
	const struct dir_handler handler = {
		.on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning,
		.arg = a,
	};

	a->dir = dir_open(&config, &handler, err);
	return a->dir != NULL ? dir_load(a->dir, err) : -1;
}

static void open_plan(struct applier *a)
{
	const struct plan_config config = {
		.accept_scope = a->config->accept_scope,
		.approved_keys = a->config->approve_deletes,
	};
	const struct plan_handler handler = {
		.on_result = on_result,
		.on_notice = on_notice,
		.on_remember = on_remember,
		.arg = a,
	};

	a->plan = plan_new(&config, &handler);
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
	if (a->frozen && counts.waiting > 0)
		log_warn("frozen: not everything is written", "objects",
			log_num((long long)counts.waiting));
	if (counts.failed > 0 || a->unreadable || a->prune_failed)
		return EXIT_SOME_FAILED;
	return counts.held_keys > 0 || counts.waiting > 0 ? EXIT_HELD : EXIT_OK;
}

static int run(struct applier *a, struct err *err)
{
	open_plan(a);
	if (open_files(a, err) < 0 || open_loop(a, err) < 0 || open_target(a, err) < 0)
		return -1;
	look_frozen(a);
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
