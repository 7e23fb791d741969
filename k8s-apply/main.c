/*
 * k8s-apply: makes a target be what the records on standard input say.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "k8s-apply/dir.h"
#include "k8s-apply/feed.h"
#include "k8s-apply/input.h"
#include "k8s-apply/plan.h"
#include "k8s-apply/report.h"
#include "lib/log.h"
#include "lib/opt.h"
#include "lib/out.h"

/* Result lines that wait for a reader who has stopped reading. */
#define MAX_PENDING_BYTES (64u << 20)

/* How soon a person's word in a file is noticed. */
#define LOOK_MS 500

static struct {
	const char *dir, *namespace, *set, *output, *dry_run_name;
	struct opt_list files, prune_sources;
	uint64_t approve_deletes;
	bool once, accept_scope, strict;
	/* Worked out from them. */
	bool dry_run;
	enum report_format format;
} arg = { .set = "meshpipe", .output = "", .dry_run_name = "none" };

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "Target" },
	{ OPT_STR, 0, "dir", &arg.dir, "DIR", NULL,
		"directory to write to, one YAML file a key; made if missing", 0 },
	{ OPT_STR, 'n', "namespace", &arg.namespace, "NS", NULL,
		"namespace of objects that have none", 0 },
	{ OPT_STR, 0, "set", &arg.set, "NAME", NULL, "name of the set of objects (meshpipe)", 0 },
	{ OPT_SECTION, .help = "Input and output" },
	{ OPT_LIST, 'f', "filename", &arg.files, "FILE", NULL,
		"records or manifests to read; '-' for standard input (default)", 0 },
	{ OPT_STR, 'o', "output", &arg.output, "FORMAT", NULL,
		"result lines: name, json, or wide (with key, and unchanged ones)", 0 },
	{ OPT_STR, 0, "dry-run", &arg.dry_run_name, "WHERE", NULL,
		"none (default), or client: say what would be done", 0 },
	{ OPT_FLAG, 0, "once", &arg.once, NULL, NULL, "end at 'synced'", 0 },
	{ OPT_FLAG, 0, "strict", &arg.strict, NULL, NULL,
		"end at the first line that cannot be read", 0 },
	{ OPT_SECTION, .help = "Deletions" },
	{ OPT_FLAG, 0, "accept-scope", &arg.accept_scope, NULL, NULL,
		"a source that speaks of another selection than before is meant to", 0 },
	{ OPT_UINT, 0, "approve-deletes", &arg.approve_deletes, "N", NULL,
		"let deletions go that are held, if they are of at most N keys", 0 },
	{ OPT_LIST, 0, "prune-source", &arg.prune_sources, "NAME", NULL,
		"delete all of a source that is not named any more", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "k8s-apply",
	.summary = "Makes a directory of manifests be what records say, and keeps it so.",
	.synopsis = "--dir DIR [OPTION]...",
	.epilogue = "Examples:\n"
		    "  consul-watch | mesh-map | k8s-apply --dir manifests -n mesh\n"
		    "  k8s-apply --dir manifests -f service.yaml --dry-run=client\n",
	.opts = opts,
};

struct file {
	int fd;
	const char *name;
};

static struct {
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t signals[3];
	struct plan *plan;
	struct dir *dir;
	struct out *out;
	struct input *input;
	struct file *files;
	size_t file_count, next_file;
	bool open;	   /* the handles of the loop */
	bool ending;	   /* nothing is read any more */
	bool told_to_end;  /* by a signal */
	bool frozen;
	bool saw_record;   /* other than manifests */
	bool unreadable, prune_failed;
	size_t created, configured, deleted; /* since the last snapshot */
	const char *synced;		     /* source that has just been */
	char *warned;			     /* the last problem that went to the log */
	struct err fatal;
} app;

static void end(void);

static void fail(const struct err *err)
{
	if (app.fatal.status == EXIT_OK)
		app.fatal = *err;
	end();
}

/* One line a key on stderr, not one an object. */
static void log_problem(const struct plan_result *r)
{
	cleanup_free char *object = object_id_display(r->id);
	cleanup_free char *what = xasprintf("%s\n%s\n%s", r->source, r->key, r->error);

	if (app.warned != NULL && strcmp(app.warned, what) == 0)
		return;
	free(app.warned);
	app.warned = TAKE(what);
	log_warn(r->action == PLAN_CONFLICT ? "conflict" : "failed", "object", object, "source",
		*r->source != '\0' ? r->source : NULL, "key", r->key, "error", r->error);
}

static void on_result(void *unused UNUSED, const struct plan_result *r)
{
	cleanup_free char *line = report_line(arg.format, r, arg.dry_run, wall_ms());
	struct err err = ERR_INIT;

	app.created += r->action == PLAN_CREATED;
	app.configured += r->action == PLAN_CONFIGURED;
	app.deleted += r->action == PLAN_DELETED;
	if (r->action == PLAN_FAILED || r->action == PLAN_CONFLICT)
		log_problem(r);
	if (line == NULL || app.fatal.status == EXIT_OUTPUT)
		return;
	out_line(app.out, line);
	if (out_pending(app.out) > MAX_PENDING_BYTES) {
		err_set(&err, EXIT_OUTPUT, "nobody reads our output");
		fail(&err);
	}
}

static void say_hold(const struct plan_notice *n)
{
	cleanup_free char *how = xasprintf("run once with --approve-deletes %zu, or write %zu to '%s'",
		n->keys, n->keys, dir_approval_path(app.dir));

	log_warn("deletions held", "source", n->source, "keys", log_num((long long)n->keys),
		"objects", log_num((long long)n->objects), "why", n->why, "to_release", how);
}

static void on_notice(void *unused UNUSED, const struct plan_notice *n)
{
	switch (n->kind) {
	case PLAN_SYNCED:
		app.synced = n->source;
		break;
	case PLAN_NOT_PRUNED:
		log_warn("nothing pruned", "source", n->source, "why", n->why);
		break;
	case PLAN_HOLD:
		/* An approval that was there before was for something else. */
		if (!arg.dry_run)
			dir_drop_approval(app.dir);
		say_hold(n);
		break;
	case PLAN_HOLD_LOWER:
		log_warn("approved for fewer keys than are held: nothing released");
		say_hold(n);
		break;
	case PLAN_HOLD_ENDED:
		log_info("no deletions held any more");
		break;
	case PLAN_BROKEN_KEY:
		log_warn("failed: nothing of this key is deleted", "source", n->source, "key",
			n->key, "error", n->why);
		break;
	case PLAN_SOURCE_PRUNED:
		log_info("source pruned", "source", n->source, "keys",
			log_num((long long)n->keys));
		break;
	}
}

static void on_remember(void *unused UNUSED, const char *source, const char *scope)
{
	struct err err = ERR_INIT;

	if (dir_remember(app.dir, source, scope, &err) < 0)
		log_warn("cannot remember a source", "source", source, "error", err.msg);
}

static bool on_found(
	void *unused UNUSED, const char *source, const char *key, const struct manifest *m)
{
	return plan_found(app.plan, source, key, m);
}

static void on_lost(void *unused UNUSED, const struct object_id *id)
{
	plan_lost(app.plan, id);
}

static void on_source(void *unused UNUSED, const char *source, const char *scope)
{
	plan_remember(app.plan, source, scope);
}

static void on_done(void *unused UNUSED, struct plan_object *object, enum plan_outcome outcome,
	const char *error)
{
	plan_done(app.plan, steady_ms(), object, outcome, error);
}

static void on_warning(void *unused UNUSED, const char *text)
{
	log_warn(text);
}

static void arm_timer(void);

static void look_frozen(void)
{
	bool frozen = dir_is_frozen(app.dir);

	if (frozen != app.frozen)
		log_warn(frozen ? "frozen: nothing is written" : "no longer frozen");
	app.frozen = frozen;
	plan_freeze(app.plan, frozen);
}

/* Does all that the plan has to do now. */
static void pump(void)
{
	struct plan_op op;
	size_t count;

	look_frozen();
	do {
		count = 0;
		while (plan_next(app.plan, steady_ms(), &op)) {
			count++;
			if (arg.dry_run)
				plan_done(app.plan, steady_ms(), op.object, PLAN_OK, NULL);
			else
				dir_stage(app.dir, &op);
		}
		if (!arg.dry_run && !app.frozen)
			dir_flush(app.dir);
	} while (count > 0);
	arm_timer();
}

static void look_approval(void)
{
	struct plan_counts counts;
	struct err err = ERR_INIT;
	uint64_t keys = 0;
	int rc;

	plan_count(app.plan, &counts);
	if (counts.held_keys == 0 || arg.dry_run)
		return;
	rc = dir_approval(app.dir, &keys, &err);
	if (rc == 0)
		return;
	dir_drop_approval(app.dir);
	if (rc < 0)
		log_warn("cannot take the approval", "error", err.msg);
	else if (plan_approve(app.plan, keys))
		log_info("held deletions released", "approved", log_num((long long)keys));
}

static void on_timer(uv_timer_t *timer UNUSED)
{
	look_approval();
	pump();
}

static void arm_timer(void)
{
	struct plan_counts counts;
	int64_t wake = plan_wake_ms(app.plan), pause;

	plan_count(app.plan, &counts);
	pause = wake >= 0 ? wake - steady_ms() : INT64_MAX;
	if ((counts.held_keys > 0 || app.frozen) && pause > LOOK_MS)
		pause = LOOK_MS;
	if (app.ending || pause == INT64_MAX)
		uv_timer_stop(&app.timer);
	else
		uv_timer_start(&app.timer, on_timer, pause > 0 ? (uint64_t)pause : 0, 0);
}

static void prune_named_sources(void)
{
	for (size_t i = 0; i < arg.prune_sources.count; i++) {
		const char *name = arg.prune_sources.item[i];

		if (plan_prune_source(app.plan, steady_ms(), name))
			continue;
		log_warn("source not pruned: it is unknown, or in use", "source", name);
		app.prune_failed = true;
	}
	opt_list_release(&arg.prune_sources);
}

static void say_synced(const char *source)
{
	size_t keys, objects;

	plan_count_source(app.plan, source, &keys, &objects);
	log_info("synced", "source", source, "keys", log_num((long long)keys), "objects",
		log_num((long long)objects), "created", log_num((long long)app.created));
	log_debug("since the last snapshot", "configured", log_num((long long)app.configured),
		"deleted", log_num((long long)app.deleted));
	app.created = app.configured = app.deleted = 0;
}

static void feed_start(
	void *unused UNUSED, const char *source, const char *snapshot, const char *scope)
{
	app.saw_record = true;
	plan_start(app.plan, source, snapshot, scope);
}

static void feed_apply(void *unused UNUSED, struct plan_desired *desired)
{
	app.saw_record = app.saw_record || *desired->source != '\0';
	/* While frozen a file that was edited stays so; it is looked at when it is written. */
	if (!app.frozen && !arg.dry_run)
		dir_said(app.dir, desired->source, desired->key);
	plan_apply(app.plan, steady_ms(), desired);
}

static void feed_keep(void *unused UNUSED, const char *source, const char *key)
{
	app.saw_record = true;
	plan_keep_key(app.plan, source, key);
}

static void feed_synced(
	void *unused UNUSED, const char *source, const char *snapshot, uint64_t services)
{
	app.saw_record = true;
	plan_synced(app.plan, steady_ms(), source, snapshot, services);
	prune_named_sources();
}

static int on_value(void *unused UNUSED, jv v, struct err *err)
{
	static const struct feed_handler handler = { .on_start = feed_start,
		.on_apply = feed_apply,
		.on_keep = feed_keep,
		.on_synced = feed_synced };
	int rc = feed_value(v, arg.namespace, &handler, err);

	pump();
	if (app.synced != NULL)
		say_synced(app.synced);
	app.synced = NULL;
	if (arg.once && !app.ending && plan_all_synced(app.plan))
		end();
	return rc;
}

static void on_unreadable(void *unused UNUSED, const struct err *err)
{
	struct err strict = *err;

	plan_unreadable(app.plan);
	app.unreadable = true;
	if (!arg.strict) {
		log_warn("cannot read input", "error", err->msg);
		return;
	}
	strict.status = EXIT_BAD_INPUT;
	fail(&strict);
}

static void open_next(void);

static void on_input_end(void *unused UNUSED, const struct err *err)
{
	input_close(app.input);
	app.input = NULL;
	if (err != NULL)
		fail(err);
	else
		open_next();
}

static void open_next(void)
{
	static const struct input_handler handler = {
		.on_value = on_value, .on_unreadable = on_unreadable, .on_end = on_input_end
	};
	struct err err = ERR_INIT;
	const struct file *f;

	if (app.next_file == app.file_count) {
		end();
		return;
	}
	f = &app.files[app.next_file++];
	app.input = input_open(&app.loop, f->fd, f->name, &handler, &err);
	if (app.input == NULL)
		fail(&err);
}

static void close_handles(void)
{
	if (!app.open)
		return;
	app.open = false;
	uv_close((uv_handle_t *)&app.timer, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(app.signals); i++)
		uv_close((uv_handle_t *)&app.signals[i], NULL);
	out_close(app.out);
}

/* Reads no more; what was read is done and said, then the loop runs out. */
static void end(void)
{
	if (app.ending)
		return;
	app.ending = true;
	input_close(app.input);
	app.input = NULL;
	if (app.fatal.status == EXIT_OK && !app.told_to_end)
		prune_named_sources();
	pump();
	if (app.fatal.status == EXIT_OUTPUT || out_pending(app.out) == 0)
		close_handles();
}

static void on_room(void *unused UNUSED)
{
	if (app.ending && out_pending(app.out) == 0)
		close_handles();
}

static void on_gone(void *unused UNUSED, const struct err *err)
{
	/* Also while the last lines drain. */
	if (app.ending) {
		app.fatal = *err;
		close_handles();
		return;
	}
	fail(err);
}

static void on_signal(uv_signal_t *handle UNUSED, int signum)
{
	if (signum == SIGHUP) {
		plan_retry_all(app.plan);
		pump();
		return;
	}
	app.told_to_end = true;
	end();
}

static int open_files(struct err *err)
{
	static const char *const standard_input[] = { "-" };
	const char *const *names = arg.files.count > 0 ? arg.files.item : standard_input;
	struct stat st;

	app.file_count = arg.files.count > 0 ? arg.files.count : 1;
	app.files = xcalloc(app.file_count, sizeof(*app.files));
	for (size_t i = 0; i < app.file_count; i++) {
		bool standard = strcmp(names[i], "-") == 0;

		app.files[i].name = standard ? "stdin" : names[i];
		app.files[i].fd = standard ? STDIN_FILENO : open(names[i], O_RDONLY | O_CLOEXEC);
		if (app.files[i].fd < 0)
			return err_errno(err, EXIT_USAGE, "cannot open '%s'", names[i]);
		if (!standard && fstat(app.files[i].fd, &st) == 0 && S_ISDIR(st.st_mode))
			return err_set(err, EXIT_USAGE, "'%s' is a directory", names[i]);
	}
	return 0;
}

static int open_target(struct err *err)
{
	const struct dir_config config = {
		.path = arg.dir, .set = arg.set, .read_only = arg.dry_run
	};
	static const struct dir_handler handler = { .on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning };

	app.dir = dir_open(&config, &handler, err);
	return app.dir != NULL ? dir_load(app.dir, err) : -1;
}

static int open_loop(struct err *err)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	const struct out_handler handler = { .on_room = on_room, .on_gone = on_gone };

	app.out = out_open(&app.loop, STDOUT_FILENO, &handler, err);
	if (app.out == NULL)
		return -1;
	uv_timer_init(&app.loop, &app.timer);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(&app.loop, &app.signals[i]);
		uv_signal_start(&app.signals[i], on_signal, numbers[i]);
	}
	app.open = true;
	return 0;
}

static void on_silent_source(void *unused UNUSED, const char *source, size_t objects)
{
	log_warn("a source is not named any more", "source", source, "objects",
		log_num((long long)objects), "to_remove", "run once with --prune-source");
}

/* How it went, once all is done. */
static int outcome(struct err *err)
{
	struct plan_counts counts;

	if (app.fatal.status != EXIT_OK) {
		*err = app.fatal;
		return -1;
	}
	if (app.told_to_end)
		return EXIT_OK;
	plan_count(app.plan, &counts);
	if (app.saw_record)
		plan_silent_sources(app.plan, on_silent_source, NULL);
	if (arg.once && app.saw_record && !plan_all_synced(app.plan))
		return err_set(err, EXIT_UNAVAILABLE, "the input ended before 'synced'");
	if (counts.failed > 0 || app.unreadable || app.prune_failed)
		return EXIT_SOME_FAILED;
	if (app.frozen && counts.waiting > 0)
		log_warn("frozen: not everything is written", "objects",
			log_num((long long)counts.waiting));
	return counts.held_keys > 0 || counts.waiting > 0 ? EXIT_HELD : EXIT_OK;
}

static int run(struct err *err)
{
	const struct plan_config config = { .accept_scope = arg.accept_scope,
		.approved_keys = arg.approve_deletes };
	const struct plan_handler handler = { .on_result = on_result,
		.on_notice = on_notice,
		.on_remember = on_remember };

	app.plan = plan_new(&config, &handler);
	if (open_files(err) < 0 || open_loop(err) < 0 || open_target(err) < 0)
		return -1;
	look_frozen();
	open_next();
	uv_run(&app.loop, UV_RUN_DEFAULT);
	return outcome(err);
}

static int check_arguments(int rest, int argc, char **argv, struct err *err)
{
	if (rest < argc)
		return err_set(err, EXIT_USAGE, "unexpected argument '%s' (use -f for files)",
			argv[rest]);
	if (arg.dir == NULL || *arg.dir == '\0')
		return err_set(err, EXIT_USAGE,
			"--dir DIR is needed (a cluster is no target of this version)");
	if (!report_format_from(arg.output, &arg.format))
		return err_set(err, EXIT_USAGE, "option '--output': '%s' is not name, json or wide",
			arg.output);
	arg.dry_run = strcmp(arg.dry_run_name, "client") == 0;
	if (!arg.dry_run && strcmp(arg.dry_run_name, "none") != 0)
		return err_set(err, EXIT_USAGE, "option '--dry-run': '%s' is not none or client",
			arg.dry_run_name);
	return 0;
}

static void release(void)
{
	close_handles();
	input_close(app.input);
	/* Runs the close callbacks, where the memory of the handles goes. */
	uv_run(&app.loop, UV_RUN_DEFAULT);
	uv_loop_close(&app.loop);
	dir_close(app.dir);
	plan_free(app.plan);
	for (size_t i = 0; i < app.file_count; i++)
		if (app.files[i].fd > STDERR_FILENO)
			close(app.files[i].fd);
	free(app.files);
	free(app.warned);
	opt_list_release(&arg.files);
	opt_list_release(&arg.prune_sources);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int rest, status;

	log_init(program.name);
	signal(SIGPIPE, SIG_IGN);
	rest = opt_parse(&program, argc, argv, &err);
	uv_loop_init(&app.loop);
	status = rest < 0 || check_arguments(rest, argc, argv, &err) < 0 ? -1 : run(&err);
	if (status < 0) {
		log_error(err.msg);
		status = err.status;
	}
	release();
	return status;
}
