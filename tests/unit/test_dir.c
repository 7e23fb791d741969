/*
 * The directory target together with the plan, in a directory of its own, as
 * the applier puts them together: apply() is an `apply` record and the work that
 * follows from it; reopen() is the next run of the process.
 */
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

static bool on_found(void *arg, const char *source, const char *key, const struct manifest *m)
{
	return plan_found(((struct bench *)arg)->plan, source, key, m);
}

static void on_lost(void *arg, const struct object_id *id)
{
	plan_lost(((struct bench *)arg)->plan, id);
}

static void on_source(void *arg, const char *source, const char *scope)
{
	plan_remember(((struct bench *)arg)->plan, source, scope);
}

static void on_done(
	void *arg, struct plan_object *object, enum plan_outcome outcome, const char *error)
{
	struct bench *b = arg;

	plan_done(b->plan, b->now_ms, object, outcome, error);
}

static void on_warning(void *arg, const char *text)
{
	struct bench *b = arg;

	assert_int_equal(buf_addf(&b->said, "warning %s\n", text), 0);
}

static void on_result(void *arg, const struct plan_result *r)
{
	struct bench *b = arg;

	if (r->action == PLAN_UNCHANGED)
		return;
	assert_int_equal(buf_addf(&b->said, "%s %s/%s %s%s%s\n", plan_action_name(r->action),
				 r->source, r->key, r->id->name, r->error != NULL ? ": " : "",
				 r->error != NULL ? r->error : ""),
		0);
}

static void on_notice(void *arg UNUSED, const struct plan_notice *n UNUSED)
{
}

static void on_remember(void *arg, const char *source, const char *scope)
{
	struct bench *b = arg;
	struct err err = ERR_INIT;

	assert_int_equal(dir_control_remember(dir_get_control(b->dir), source, scope, &err), 0);
}

static void open_bench(struct bench *b)
{
	const struct plan_config plan_config = { .approved_keys = 1000 };
	const struct plan_handler plan_handler = { on_result, on_notice, on_remember, b };
	const struct dir_config config = { .path = b->path, .set = "meshpipe" };
	const struct dir_handler handler = { on_found, on_lost, on_source, on_done, on_warning, b };
	struct err err = ERR_INIT;

	b->plan = plan_new(&plan_config, &plan_handler);
	b->dir = dir_open(&config, &handler, &err);
	if (b->dir == NULL || dir_load(b->dir, &err) < 0)
		fail_msg("%s", err.msg);
}

static void close_bench(struct bench *b)
{
	dir_close(b->dir);
	plan_free(b->plan);
}

static void reopen(struct bench *b)
{
	close_bench(b);
	open_bench(b);
}

static int setup(void **state)
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

static int remove_one(
	const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct bench *b = *state;

	close_bench(b);
	nftw(b->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	buf_release(&b->said);
	free(b->path);
	free(b);
	return 0;
}

static void work(struct bench *b)
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

static void take(void *arg, struct plan_desired *d)
{
	struct bench *b = arg;

	dir_said(b->dir, d->source, d->key);
	plan_apply(b->plan, b->now_ms, d);
	work(b);
}

static void take_start(void *arg, const char *source, const char *snapshot, const char *scope)
{
	plan_start(((struct bench *)arg)->plan, source, snapshot, scope);
}

static void take_synced(void *arg, const char *source, const char *snapshot, uint64_t services)
{
	struct bench *b = arg;

	plan_synced(b->plan, b->now_ms, source, snapshot, services);
	work(b);
}

static void record(struct bench *b, const char *json)
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
static void apply(struct bench *b, const char *source, const char *key, const char *words)
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

static void expect_said(struct bench *b, const char *expected)
{
	assert_string_equal(buf_str(&b->said), expected);
	buf_reset(&b->said);
}

static char *in(const struct bench *b, const char *name)
{
	return xasprintf("%s/%s", b->path, name);
}

static char *content(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);

	return read_whole_file(path, 1u << 20, NULL);
}

static void put(const struct bench *b, const char *name, const char *text)
{
	cleanup_free char *path = in(b, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static bool exists(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);

	return access(path, F_OK) == 0;
}

static void expect_content(const struct bench *b, const char *name, const char *expected)
{
	cleanup_free char *text = content(b, name);

	if (text == NULL)
		fail_msg("no file '%s'", name);
	assert_string_equal(text, expected);
}

static struct stat look(const struct bench *b, const char *name)
{
	cleanup_free char *path = in(b, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st;
}

static void expect_untouched(const struct stat *before, const struct bench *b, const char *name)
{
	struct stat now = look(b, name);

	assert_int_equal(before->st_ino, now.st_ino);
	assert_memory_equal(&before->st_mtim, &now.st_mtim, sizeof(now.st_mtim));
	assert_memory_equal(&before->st_ctim, &now.st_ctim, sizeof(now.st_ctim));
}

#define DOC(name, spec) "apiVersion: v1\nkind: Thing\nmetadata:\n  name: " name "\nspec: " spec "\n"
#define MARK(source, key)                                                                          \
	"# meshpipe: {\"key\":\"" key "\",\"set\":\"meshpipe\",\"source\":\"" source "\"}\n"

static void a_key_is_a_file(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "student", "xy=2 x=1");
	expect_content(
		b, "dc1/student.yaml", MARK("dc1", "student") DOC("x", "1") "---\n" DOC("xy", "2"));
	apply(b, "dc1", "student", "xy=3");
	expect_content(b, "dc1/student.yaml", MARK("dc1", "student") DOC("xy", "3"));
	apply(b, "dc1", "student", "");
	assert_false(exists(b, "dc1/student.yaml"));
	expect_said(b, "created dc1/student x\ncreated dc1/student xy\n"
		       "configured dc1/student xy\ndeleted dc1/student x\n"
		       "deleted dc1/student xy\n");
}

static void an_unchanged_file_is_not_touched(void **state)
{
	struct bench *b = *state;
	struct stat before;

	apply(b, "dc1", "a", "x=1 xy=2");
	before = look(b, "dc1/a.yaml");
	buf_reset(&b->said);
	apply(b, "dc1", "a", "xy=2 x=1");
	expect_untouched(&before, b, "dc1/a.yaml");
	reopen(b);
	apply(b, "dc1", "a", "x=1 xy=2");
	expect_untouched(&before, b, "dc1/a.yaml");
	expect_said(b, "");
}

static void the_files_are_the_memory(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1 xy=2");
	apply(b, "dc1", "b", "z=1");
	apply(b, "dc2", "c", "w=1");
	record(b, "{\"type\":\"start\",\"source\":\"dc1\",\"snapshot\":\"1\",\"scope\":\"all\"}");
	buf_reset(&b->said);
	reopen(b);
	record(b, "{\"type\":\"start\",\"source\":\"dc1\",\"snapshot\":\"2\",\"scope\":\"web\"}");
	apply(b, "dc1", "a", "x=1");
	record(b, "{\"type\":\"synced\",\"source\":\"dc1\",\"snapshot\":\"2\",\"services\":1}");
	assert_true(exists(b, "dc1/b.yaml"));
	record(b, "{\"type\":\"start\",\"source\":\"dc1\",\"snapshot\":\"3\",\"scope\":\"all\"}");
	apply(b, "dc1", "a", "x=1");
	record(b, "{\"type\":\"synced\",\"source\":\"dc1\",\"snapshot\":\"3\",\"services\":1}");
	expect_said(b, "deleted dc1/a xy\ndeleted dc1/b z\n");
	assert_false(exists(b, "dc1/b.yaml"));
	assert_true(exists(b, "dc2/c.yaml"));
}

static void foreign_files_are_left_alone(void **state)
{
	struct bench *b = *state;
	cleanup_free char *said = xasprintf(
		"conflict dc1/a x: '%s/dc1/a.yaml' is somebody else's file (move it away)\n",
		b->path);
	cleanup_free char *path = in(b, "dc1/a.yaml");

	apply(b, "dc1", "other", "z=1");
	put(b, "dc1/a.yaml", "kind: Mine\n");
	put(b, "dc1/notes.yaml", "# meshpipe is here\n");
	put(b, "top.yaml", "a: 1\n");
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=1");
	apply(b, "dc1", "a", "x=2");
	apply(b, "dc1", "a", "");
	expect_said(b, said);
	expect_content(b, "dc1/a.yaml", "kind: Mine\n");
	expect_content(b, "dc1/notes.yaml", "# meshpipe is here\n");
	expect_content(b, "top.yaml", "a: 1\n");
	assert_int_equal(unlink(path), 0);
	apply(b, "dc1", "a", "x=1");
	expect_said(b, "created dc1/a x\n");
}

/* `cp a.yaml b.yaml`: the copy says that it is a, and its name says that it is not. */
static void a_copy_of_ours_is_foreign(void **state)
{
	struct bench *b = *state;
	const char *copy = MARK("dc1", "a") DOC("x", "1") "---\n" DOC("z", "1");

	apply(b, "dc1", "a", "x=1");
	put(b, "dc1/b.yaml", copy);
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=1");
	apply(b, "dc1", "a", "");
	expect_said(b, "deleted dc1/a x\n");
	expect_content(b, "dc1/b.yaml", copy);
}

static void a_symbolic_link_is_foreign(void **state)
{
	struct bench *b = *state;
	cleanup_free char *victim = xasprintf("%s/victim", b->top), *link = in(b, "dc1/a.yaml");
	cleanup_free char *text = NULL;
	struct stat st;

	apply(b, "dc1", "z", "z=1");
	put(b, "../victim", MARK("dc1", "a") DOC("x", "1"));
	assert_int_equal(symlink(victim, link), 0);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=2");
	assert_true(str_starts(buf_str(&b->said), "conflict dc1/a x: "));
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	text = read_whole_file(victim, 4096, NULL);
	assert_string_equal(text, MARK("dc1", "a") DOC("x", "1"));
}

static void what_was_done_to_a_file_is_put_right_when_its_key_is_said(void **state)
{
	struct bench *b = *state;
	const char *right = MARK("dc1", "a") DOC("x", "1") "---\n" DOC("xy", "2");
	cleanup_free char *path = in(b, "dc1/a.yaml");
	static const struct {
		const char *text, *said;
	} cases[] = {
		{ MARK("dc1", "a") DOC("x", "9") "---\n" DOC("xy", "2"), "configured dc1/a x\n" },
		{ MARK("dc1", "a") DOC("xy", "2"), "created dc1/a x\n" },
		{ MARK("dc1", "a") DOC("x", "1") "---\n" DOC("xy", "2") "---\n" DOC("z", "3"),
			"deleted dc1/a z\n" },
		/* Another layout of the same objects is not worth a word. */
		{ MARK("dc1", "a") "# hello\n" DOC("x", "1") "---\n" DOC("xy", "2"), "" },
		{ "", "created dc1/a x\ncreated dc1/a xy\n" },
	};

	apply(b, "dc1", "a", "x=1 xy=2");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_reset(&b->said);
		put(b, "dc1/a.yaml", cases[i].text);
		apply(b, "dc1", "a", "x=1 xy=2");
		expect_said(b, cases[i].said);
		expect_content(b, "dc1/a.yaml", right);
		/* The same when it was done while no process ran. */
		put(b, "dc1/a.yaml", cases[i].text);
		reopen(b);
		apply(b, "dc1", "a", "x=1 xy=2");
		expect_said(b, cases[i].said);
		expect_content(b, "dc1/a.yaml", right);
	}
	assert_int_equal(unlink(path), 0);
	apply(b, "dc1", "a", "x=1 xy=2");
	expect_said(b, "created dc1/a x\ncreated dc1/a xy\n");
	expect_content(b, "dc1/a.yaml", right);
}

/* Sooner after our own write than the times of a file can tell, and of the same size. */
static void a_quick_edit_is_seen(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 100; i++) {
		apply(b, "dc1", "a", i % 2 == 0 ? "x=1" : "x=2");
		buf_reset(&b->said);
		put(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "9"));
		apply(b, "dc1", "a", i % 2 == 0 ? "x=1" : "x=2");
		expect_said(b, "configured dc1/a x\n");
	}
}

static void a_damaged_file_is_written_anew(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1 xy=2");
	buf_reset(&b->said);
	put(b, "dc1/a.yaml", MARK("dc1", "a") "apiVersion: [\n");
	/* What is kept is still known from before. */
	apply(b, "dc1", "a", "x=1 ?xy");
	assert_non_null(strstr(buf_str(&b->said), "it is written anew when its key is said"));
	assert_non_null(strstr(buf_str(&b->said), "configured dc1/a x\n"));
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "1") "---\n" DOC("xy", "2"));
	put(b, "dc1/a.yaml", MARK("dc1", "a") "apiVersion: [\n");
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=1");
	expect_said(b, "created dc1/a x\n");
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "1"));
}

static void a_person_can_take_a_file_over(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1");
	put(b, "dc1/a.yaml", DOC("x", "7"));
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=2");
	assert_true(str_starts(buf_str(&b->said), "conflict dc1/a x: "));
	expect_content(b, "dc1/a.yaml", DOC("x", "7"));
}

static void hands_off_in_the_file_is_obeyed(void **state)
{
	struct bench *b = *state;
	const char *edited = MARK("dc1", "a") "apiVersion: v1\n"
					      "kind: Thing\n"
					      "metadata:\n"
					      "  annotations:\n"
					      "    meshpipe.io/reconcile: disabled\n"
					      "  name: x\n"
					      "spec: 9\n";
	cleanup_free char *both = xasprintf("%s---\n%s", edited, DOC("xy", "1"));

	apply(b, "dc1", "a", "x=1");
	put(b, "dc1/a.yaml", edited);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=2");
	expect_said(b, "skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n");
	expect_content(b, "dc1/a.yaml", edited);
	/* Its neighbours go on. */
	apply(b, "dc1", "a", "x=2 xy=1");
	expect_said(b, "created dc1/a xy\n");
	expect_content(b, "dc1/a.yaml", both);
	/* Deletion, too, and also when nobody had looked at the file since. */
	put(b, "dc1/a.yaml", both);
	record(b, "{\"type\":\"start\",\"source\":\"dc1\",\"snapshot\":\"1\",\"scope\":\"\"}");
	record(b, "{\"type\":\"synced\",\"source\":\"dc1\",\"snapshot\":\"1\",\"services\":0}");
	expect_said(b, "deleted dc1/a xy\n");
	expect_content(b, "dc1/a.yaml", edited);
}

static void an_edit_is_seen_before_a_deletion(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1");
	put(b, "dc1/a.yaml",
		MARK("dc1", "a") "apiVersion: v1\n"
				 "kind: Thing\n"
				 "metadata:\n"
				 "  annotations: {meshpipe.io/reconcile: disabled}\n"
				 "  name: x\n");
	buf_reset(&b->said);
	record(b, "{\"type\":\"start\",\"source\":\"dc1\",\"snapshot\":\"1\",\"scope\":\"\"}");
	record(b, "{\"type\":\"synced\",\"source\":\"dc1\",\"snapshot\":\"1\",\"services\":0}");
	expect_said(b, "skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n");
	assert_true(exists(b, "dc1/a.yaml"));
}

static void what_is_kept_stays_in_the_file(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1 xy=2 z=3");
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", "a", "x=5 ?xy");
	expect_said(b, "configured dc1/a x\ndeleted dc1/a z\n");
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "5") "---\n" DOC("xy", "2"));
}

static void an_object_moves_to_another_file(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1 xy=1");
	apply(b, "dc1", "b", "x=2");
	buf_reset(&b->said);
	apply(b, "dc1", "a", "xy=1");
	expect_said(b, "configured dc1/b x\n");
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("xy", "1"));
	expect_content(b, "dc1/b.yaml", MARK("dc1", "b") DOC("x", "2"));
	/* The last one of a file. */
	apply(b, "dc1", "c", "xy=3");
	apply(b, "dc1", "a", "");
	assert_false(exists(b, "dc1/a.yaml"));
	expect_content(b, "dc1/c.yaml", MARK("dc1", "c") DOC("xy", "3"));
}

/* A process that was killed between the two writes of a move. */
static void an_object_in_two_files_ends_in_one(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1 xy=1");
	apply(b, "dc1", "b", "z=1");
	put(b, "dc1/b.yaml", MARK("dc1", "b") DOC("x", "1") "---\n" DOC("z", "1"));
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", "b", "x=1 z=1");
	apply(b, "dc1", "a", "xy=1");
	expect_said(b, "conflict dc1/b x: 'dc1/a' has it\nconfigured dc1/b x\n");
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("xy", "1"));
	expect_content(b, "dc1/b.yaml", MARK("dc1", "b") DOC("x", "1") "---\n" DOC("z", "1"));
}

static void names_stay_in_the_directory(void **state)
{
	struct bench *b = *state;
	static const struct {
		const char *source, *key, *file;
	} cases[] = {
		{ "dc1", "..", "dc1/%2E..yaml" },
		{ "dc1", "../../victim", "dc1/%2E.%2F..%2Fvictim.yaml" },
		{ "..", "x", "%2E./x.yaml" },
		{ "/etc", "passwd", "%2Fetc/passwd.yaml" },
		{ ".meshpipe", "lock", "%2Emeshpipe/lock.yaml" },
		{ "dc1", "a b", "dc1/a%20b.yaml" },
		{ "dc1", "a%20b", "dc1/a%2520b.yaml" },
		{ "dc1", "\xc3\xa9", "dc1/%C3%A9.yaml" },
		{ "dc1", "a\nb", "dc1/a%0Ab.yaml" },
		{ "dc1", "a/b", "dc1/a%2Fb.yaml" },
		{ "dc1/a", "b", "dc1%2Fa/b.yaml" },
		{ "manifests", "x", "%6Danifests/x.yaml" },
		{ "", "x", "manifests/x.yaml" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *name = dir_name_file(cases[i].source, cases[i].key);
		cleanup_free char *object = xasprintf("o%zu=1", i);

		assert_string_equal(name, cases[i].file);
		if (*cases[i].source == '\0')
			continue;
		apply(b, cases[i].source, cases[i].key, object);
		assert_true(exists(b, cases[i].file));
	}
	buf_reset(&b->said);
	reopen(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (*cases[i].source == '\0')
			continue;
		apply(b, cases[i].source, cases[i].key, "");
		assert_false(exists(b, cases[i].file));
	}
}

static void long_names_are_cut_and_differ(void **state)
{
	struct bench *b = *state;
	char key[1001], other[1001];
	cleanup_free char *name = NULL, *other_name = NULL, *cut = NULL;

	memset(key, 'k', 1000);
	key[1000] = '\0';
	memcpy(other, key, sizeof(key));
	other[999] = 'l';
	name = dir_name_file("dc1", key);
	other_name = dir_name_file("dc1", other);
	assert_string_not_equal(name, other_name);
	assert_true(strlen(name) < 255);
	/* A key that is the very name of the other's file has a name of its own. */
	cut = xstrndup(name + strlen("dc1/"), strlen(name) - strlen("dc1/") - strlen(".yaml"));
	free(TAKE(other_name));
	other_name = dir_name_file("dc1", cut);
	assert_string_not_equal(name, other_name);
	apply(b, "dc1", key, "x=1");
	apply(b, "dc1", other, "xy=1");
	reopen(b);
	buf_reset(&b->said);
	apply(b, "dc1", key, "x=1");
	apply(b, "dc1", other, "xy=1");
	expect_said(b, "");
}

static void a_second_writer_is_refused(void **state)
{
	struct bench *b = *state;
	const struct dir_config config = { .path = b->path, .set = "meshpipe" };
	const struct dir_config reading = { .path = b->path, .set = "meshpipe", .read_only = true };
	const struct dir_handler handler = { on_found, on_lost, on_source, on_done, on_warning, b };
	cleanup_free char *expected = xasprintf("'%s' has a writer already (process %ld holds "
						"'%s/.meshpipe/lock')",
		b->path, (long)getpid(), b->path);
	struct err err = ERR_INIT;
	struct dir *second = dir_open(&config, &handler, &err);

	assert_null(second);
	assert_int_equal(err.status, EXIT_REFUSED);
	assert_string_equal(err.msg, expected);
	second = dir_open(&reading, &handler, &err);
	assert_non_null(second);
	dir_close(second);
}

static void a_directory_that_cannot_be_is_an_error(void **state)
{
	struct bench *b = *state;
	cleanup_free char *file = xasprintf("%s/file", b->top);
	cleanup_free char *below = xasprintf("%s/file/D", b->top);
	cleanup_free char *deep = xasprintf("%s/not/there", b->top);
	const char *paths[] = { file, below, deep };
	const struct dir_handler handler = { on_found, on_lost, on_source, on_done, on_warning, b };

	put(b, "../file", "x");
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct dir_config config = { .path = paths[i], .set = "meshpipe" };
		struct err err = ERR_INIT;

		assert_null(dir_open(&config, &handler, &err));
		assert_int_equal(err.status, EXIT_SYSTEM);
		assert_non_null(strstr(err.msg, paths[i]));
	}
}

static void what_cannot_be_written_is_tried_again(void **state)
{
	struct bench *b = *state;
	cleanup_free char *folder = in(b, "dc1"), *said = NULL;

	/* A file where the folder should go stops root, too. */
	put(b, "dc1", "in the way");
	said = xasprintf("failed dc1/a x: cannot write '%s/a.yaml': Not a directory\n"
			 "created dc2/b xy\n",
		folder);
	apply(b, "dc1", "a", "x=1");
	apply(b, "dc2", "b", "xy=1");
	expect_said(b, said);
	assert_int_equal(unlink(folder), 0);
	work(b);
	expect_said(b, "");
	b->now_ms += 1000;
	work(b);
	expect_said(b, "created dc1/a x\n");
	assert_true(exists(b, "dc1/a.yaml"));
}

/* A move whose second file cannot be written leaves the object where it was. */
static void a_move_that_fails_loses_nothing(void **state)
{
	static const char *const contents[] = { "1", "2" };

	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		struct bench *b = *state;
		cleanup_free char *folder = in(b, "dc2");
		cleanup_free char *words = xasprintf("xy=%s", contents[i]);
		cleanup_free char *before = NULL, *after = NULL;

		put(b, "dc2", "in the way");
		apply(b, "dc1", "a", "x=1 xy=1");
		apply(b, "dc2", "b", "x=2");
		buf_reset(&b->said);
		/* With and without something else to be written to the first file. */
		apply(b, "dc1", "a", words);
		assert_non_null(strstr(buf_str(&b->said), "failed dc2/b x: "));
		before = content(b, "dc1/a.yaml");
		assert_non_null(strstr(before, "name: x\n"));
		assert_int_equal(unlink(folder), 0);
		b->now_ms += 1000;
		work(b);
		after = content(b, "dc1/a.yaml");
		assert_null(strstr(after, "name: x\n"));
		expect_content(b, "dc2/b.yaml", MARK("dc2", "b") DOC("x", "2"));
		teardown(state);
		setup(state);
	}
}

static void what_a_killed_process_left_is_cleaned_up(void **state)
{
	struct bench *b = *state;

	apply(b, "dc1", "a", "x=1");
	put(b, "dc1/" DIR_FILE_TEMP, "half a fi");
	reopen(b);
	assert_false(exists(b, "dc1/" DIR_FILE_TEMP));
	put(b, "dc1/" DIR_FILE_TEMP, "half a fi");
	apply(b, "dc1", "a", "x=2");
	assert_false(exists(b, "dc1/" DIR_FILE_TEMP));
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "2"));
}

/* Killed at any moment: whoever reads the file sees one of its states, whole. */
static void a_reader_never_sees_half_a_file(void **state)
{
	struct bench *b = *state;
	cleanup_free char *path = in(b, "dc1/a.yaml");
	char big[] = "x=1", other[] = "x=2 xy=2";

	apply(b, "dc1", "a", big);
	for (int round = 0; round < 20; round++) {
		pid_t child = fork();
		bool whole = false;

		assert_true(child >= 0);
		if (child == 0) {
			for (;;) {
				apply(b, "dc1", "a", other);
				apply(b, "dc1", "a", big);
			}
		}
		for (int i = 0; i < 200; i++) {
			cleanup_free char *text = read_whole_file(path, 1u << 20, NULL);

			whole = text != NULL &&
				(strcmp(text, MARK("dc1", "a") DOC("x", "1")) == 0 ||
					strcmp(text, MARK("dc1", "a") DOC("x", "2") "---\n" DOC(
							     "xy", "2")) == 0);
			if (!whole)
				break;
		}
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		assert_true(whole);
	}
	buf_reset(&b->said);
	reopen(b);
	apply(b, "dc1", "a", "x=3");
	expect_content(b, "dc1/a.yaml", MARK("dc1", "a") DOC("x", "3"));
}

static void a_persons_words_are_read(void **state)
{
	struct bench *b = *state;
	const struct dir_control *c = dir_get_control(b->dir);
	struct err err = ERR_INIT;
	uint64_t n = 0;

	assert_false(dir_control_is_frozen(c));
	put(b, ".meshpipe/freeze", "");
	assert_true(dir_control_is_frozen(c));
	assert_int_equal(dir_control_approval(c, &n, &err), 0);
	put(b, ".meshpipe/approve-deletes", "");
	assert_int_equal(dir_control_approval(c, &n, &err), 0);
	put(b, ".meshpipe/approve-deletes", "40\n");
	assert_int_equal(dir_control_approval(c, &n, &err), 1);
	assert_int_equal(n, 40);
	put(b, ".meshpipe/approve-deletes", "all\n");
	assert_int_equal(dir_control_approval(c, &n, &err), -1);
	dir_control_drop_approval(c);
	assert_false(exists(b, ".meshpipe/approve-deletes"));
}

static void a_damaged_memory_of_sources_is_an_error(void **state)
{
	struct bench *b = *state;
	struct err err = ERR_INIT;

	put(b, ".meshpipe/sources", "{\"dc1\":");
	assert_int_equal(dir_load(b->dir, &err), -1);
	assert_int_equal(err.status, EXIT_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_is_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unchanged_file_is_not_touched, setup, teardown),
		cmocka_unit_test_setup_teardown(the_files_are_the_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_files_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_of_ours_is_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(a_symbolic_link_is_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_was_done_to_a_file_is_put_right_when_its_key_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(a_quick_edit_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_written_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_person_can_take_a_file_over, setup, teardown),
		cmocka_unit_test_setup_teardown(hands_off_in_the_file_is_obeyed, setup, teardown),
		cmocka_unit_test_setup_teardown(an_edit_is_seen_before_a_deletion, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_kept_stays_in_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(an_object_moves_to_another_file, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_object_in_two_files_ends_in_one, setup, teardown),
		cmocka_unit_test_setup_teardown(names_stay_in_the_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(long_names_are_cut_and_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_writer_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_directory_that_cannot_be_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_written_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_move_that_fails_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_a_killed_process_left_is_cleaned_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_never_sees_half_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_persons_words_are_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_damaged_memory_of_sources_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
