/*
 * For the files test_dir*.c: the directory target together with the plan, in a directory of its own, as
 * the applier puts them together: apply() is an `apply` record and the work that
 * follows from it; reopen() is the next run of the process.
 */
#ifndef MESHPIPE_TESTS_DIR_BENCH_H
#define MESHPIPE_TESTS_DIR_BENCH_H

#include "k8s-apply/dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "k8s-apply/dir_file.h"
#include "k8s-apply/dir_name.h"
#include "k8s-apply/feed.h"
#include "lib/buf.h"

#define BODY "{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"%s\"},\"spec\":%s}"

struct bench {
	char top[512]; /* holds the directory, and what must not be touched beside it */
	char *path;
	struct dir *dir;
	struct plan *plan;
	struct buf said;
	int64_t now_ms;
};

static UNUSED bool on_found(
	void *arg, const char *source, const char *key, const struct manifest *m)
{
	return plan_found(((struct bench *)arg)->plan, source, key, m);
}

static UNUSED void on_lost(void *arg, const struct object_id *id)
{
	plan_lost(((struct bench *)arg)->plan, id);
}

static UNUSED void on_source(void *arg, const char *source, const char *scope)
{
	plan_remember(((struct bench *)arg)->plan, source, scope);
}

static UNUSED void on_done(
	void *arg, struct plan_object *object, enum plan_outcome outcome, const char *error)
{
	struct bench *b = arg;

	plan_done(b->plan, b->now_ms, object, outcome, error);
}

static UNUSED void on_warning(void *arg, const char *text)
{
	struct bench *b = arg;

	assert_int_equal(buf_addf(&b->said, "warning %s\n", text), 0);
}

static UNUSED void on_result(void *arg, const struct plan_result *r)
{
	struct bench *b = arg;

	if (r->action == PLAN_UNCHANGED)
		return;
	assert_int_equal(buf_addf(&b->said, "%s %s/%s %s%s%s\n", plan_action_name(r->action),
				 r->source, r->key, r->id->name, r->error != NULL ? ": " : "",
				 r->error != NULL ? r->error : ""),
		0);
}

static UNUSED void on_notice(void *arg UNUSED, const struct plan_notice *n UNUSED)
{
}

static UNUSED void on_remember(void *arg, const char *source, const char *scope)
{
	struct bench *b = arg;
	struct err err = ERR_INIT;

	assert_int_equal(dir_control_remember(dir_get_control(b->dir), source, scope, &err), 0);
}

static UNUSED void open_bench(struct bench *b)
{
	const struct plan_config plan_config = { .approved_keys = 1000 };
	const struct plan_handler plan_handler = { on_result, on_notice, on_remember, b };
	const struct dir_config config = { .path = b->path, .set = "meshpipe" };
	const struct target_handler handler = {
		.on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning,
		.arg = b,
	};
	struct err err = ERR_INIT;

	b->plan = plan_new(&plan_config, &plan_handler);
	b->dir = dir_open(&config, &handler, &err);
	if (b->dir == NULL || dir_load(b->dir, &err) < 0)
		fail_msg("%s", err.msg);
}

static UNUSED void close_bench(struct bench *b)
{
	dir_close(b->dir);
	plan_free(b->plan);
}

static UNUSED void reopen(struct bench *b)
{
	close_bench(b);
	open_bench(b);
}

static UNUSED int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));

	snprintf(b->top, sizeof(b->top), "%s/test_dir.XXXXXX",
		getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(b->top));
	b->path = xasprintf("%s/D", b->top);
	b->now_ms = 1000000;
	buf_init(&b->said, 1u << 20);
	open_bench(b);
	*state = b;
	return 0;
}

static UNUSED int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static UNUSED int teardown(void **state)
{
	struct bench *b = *state;

	close_bench(b);
	nftw(b->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	buf_release(&b->said);
	free(b->path);
	free(b);
	return 0;
}

static UNUSED void work(struct bench *b)
{
	struct plan_op op;
	size_t count;

	do {
		count = 0;
		for (; plan_next(b->plan, b->now_ms, &op); count++)
			dir_stage(b->dir, &op);
		dir_flush(b->dir);
	} while (count > 0);
}

static UNUSED void take(void *arg, struct plan_desired *d)
{
	struct bench *b = arg;

	dir_said(b->dir, d->source, d->key);
	plan_apply(b->plan, b->now_ms, d);
	work(b);
}

static UNUSED void take_start(
	void *arg, const char *source, const char *snapshot, const char *scope)
{
	plan_start(((struct bench *)arg)->plan, source, snapshot, scope);
}

static UNUSED void take_synced(
	void *arg, const char *source, const char *snapshot, uint64_t services)
{
	struct bench *b = arg;

	plan_synced(b->plan, b->now_ms, source, snapshot, services);
	work(b);
}

static UNUSED void record(struct bench *b, const char *json)
{
	const struct feed_handler h = {
		.on_apply = take, .on_start = take_start, .on_synced = take_synced, .arg = b
	};
	struct err err = ERR_INIT;
	cleanup_jv jv v = jvx_parse(json, strlen(json), &err);

	if (!jv_is_valid(v) || feed_value(v, NULL, &h, &err) < 0)
		fail_msg("%s", err.msg);
}

/* "x=1 xy=2": objects and the content of their spec; "?x": keep. */
static UNUSED void apply(struct bench *b, const char *source, const char *key, const char *words)
{
	cleanup_free char *copy = xstrdup(words);
	cleanup_jv jv r = jv_object();
	cleanup_jv jv objects = jv_array();
	cleanup_jv jv keeps = jv_array();
	struct err err = ERR_INIT;
	char *save = NULL;

	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		char *content = strchr(w, '=');
		cleanup_free char *json = NULL;

		if (content == NULL) {
			json = xasprintf(
				"{\"apiVersion\":\"v1\",\"kind\":\"Thing\",\"name\":\"%s\"}",
				w + 1);
			jvx_append(&keeps, jvx_parse(json, strlen(json), &err));
			continue;
		}
		*content++ = '\0';
		json = xasprintf(BODY, w, content);
		jvx_append(&objects, jvx_parse(json, strlen(json), &err));
	}
	jvx_set_str(&r, "type", "apply");
	jvx_set_str(&r, "source", source);
	jvx_set_str(&r, "key", key);
	jvx_set(&r, "objects", jvx_take(&objects));
	jvx_set(&r, "keep", jvx_take(&keeps));
	{
		cleanup_free char *json = jvx_dump(r);

		record(b, json);
	}
}

static UNUSED void expect_said(struct bench *b, const char *expected)
{
	assert_string_equal(buf_str(&b->said), expected);
	buf_reset(&b->said);
}

static UNUSED char *in(const struct bench *b, const char *name)
{
	return xasprintf("%s/%s", b->path, name);
}

static UNUSED char *content(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);

	return read_whole_file(path, 1u << 20, NULL);
}

static UNUSED void put(const struct bench *b, const char *name, const char *text)
{
	cleanup_free char *path = in(b, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static UNUSED bool exists(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);

	return access(path, F_OK) == 0;
}

static UNUSED void expect_content(const struct bench *b, const char *name, const char *expected)
{
	cleanup_free char *text = content(b, name);

	if (text == NULL)
		fail_msg("no file '%s'", name);
	assert_string_equal(text, expected);
}

static UNUSED struct stat look(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st;
}

static UNUSED void expect_untouched(
	const struct stat *before, const struct bench *b, const char *name)
{
	struct stat now = look(b, name);

	assert_int_equal(before->st_ino, now.st_ino);
	assert_memory_equal(&before->st_mtim, &now.st_mtim, sizeof(now.st_mtim));
	assert_memory_equal(&before->st_ctim, &now.st_ctim, sizeof(now.st_ctim));
}

#define DOC(name, spec) "apiVersion: v1\nkind: Thing\nmetadata:\n  name: " name "\nspec: " spec "\n"
#define MARK(source, key)                                                                          \
	"# meshpipe: {\"key\":\"" key "\",\"set\":\"meshpipe\",\"source\":\"" source "\"}\n"

#endif
