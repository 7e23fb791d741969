/*
 * A bench for the decision module, for the files test_plan*.c. A test is a script: commands in, and after each of them
 * the lines (with "> ") that must come out. The target here does at once what it is
 * told, unless the script says otherwise.
 *
 *   found SOURCE KEY OBJECT    the target has it            lost OBJECT
 *   remember SOURCE SCOPE      from an earlier run
 *   start|synced SOURCE SNAPSHOT SCOPE|SERVICES             unreadable
 *   apply SOURCE KEY [WORD]... keep SOURCE KEY
 *     NAME=CONTENT wanted ("!" behind it: with the hands-off annotation); ?NAME kept;
 *     #NAME unreadable here; BROKEN an object without a name
 *   keys SOURCE FROM TO        an apply of one object for each key, its results not shown
 *   empty SOURCE FROM TO       an apply of nothing for each, results not shown
 *   freeze, thaw, approve N, prune SOURCE, wait MS, retry, hurry, pause SOURCE, resume SOURCE
 *   answer NAME OUTCOME        what the target says to operations on NAME from now on
 *   later, now                 the target answers when told: done NAME OUTCOME
 *   leave NAME MS              it does so with: not before so long
 *   counts                     shows objects, waiting, failed, held keys and objects
 *   ops, loud                  shows operations, unchanged objects
 *   hush, speak                shows nothing, shows all
 */
#ifndef MESHPIPE_TESTS_PLAN_BENCH_H
#define MESHPIPE_TESTS_PLAN_BENCH_H

#include "k8s-apply/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"

#define MAX_WORDS 64

struct answer {
	char name[64];
	enum plan_outcome outcome;
};

struct pending {
	char name[64];
	struct plan_object *object;
};

struct bench {
	struct plan *plan;
	struct buf out;
	int64_t now_ms;
	struct answer answers[8];
	size_t answer_count;
	struct pending pending[64];
	size_t pending_count;
	bool later, ops, loud, quiet;
};

static void say(struct bench *b, const char *fmt, ...) PRINTF(2, 3);

static void say(struct bench *b, const char *fmt, ...)
{
	cleanup_free char *line = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		abort();
	va_end(ap);
	if (!b->quiet)
		assert_int_equal(buf_addf(&b->out, "> %s\n", line), 0);
}

static void on_result(void *arg, const struct plan_result *r)
{
	struct bench *b = arg;

	if (r->action == PLAN_UNCHANGED && !b->loud)
		return;
	say(b, "%s%s %s/%s %s%s%s", plan_action_name(r->action), r->adopted ? "+adopted" : "",
		r->source, r->key, r->id->name, r->error != NULL ? ": " : "",
		r->error != NULL ? r->error : "");
}

static void on_notice(void *arg, const struct plan_notice *n)
{
	static const char *const names[] = {
		[PLAN_SYNCED] = "synced",
		[PLAN_NOT_PRUNED] = "not pruned",
		[PLAN_HOLD] = "hold",
		[PLAN_HOLD_LOWER] = "approval too low",
		[PLAN_HOLD_ENDED] = "nothing held",
		[PLAN_BROKEN_KEY] = "broken",
		[PLAN_SOURCE_PRUNED] = "source pruned",
	};
	struct bench *b = arg;
	bool counted = n->kind == PLAN_HOLD || n->kind == PLAN_HOLD_LOWER;
	cleanup_free char *counts =
		counted ? xasprintf(" %zu/%zu", n->keys, n->objects) : xstrdup("");

	say(b, "[%s%s%s%s%s%s%s%s]", names[n->kind], n->source != NULL ? " " : "",
		n->source != NULL ? n->source : "", n->key != NULL ? "/" : "",
		n->key != NULL ? n->key : "", counts, n->why != NULL ? ": " : "",
		n->why != NULL ? n->why : "");
}

static void on_remember(void *arg, const char *source, const char *scope)
{
	say(arg, "[remember %s %s]", source, scope != NULL ? scope : "nothing");
}

static enum plan_outcome outcome_from(const char *name)
{
	static const char *const names[] = { [PLAN_OK] = "ok",
		[PLAN_ADOPTED] = "adopted",
		[PLAN_SAME] = "same",
		[PLAN_RETRY] = "retry",
		[PLAN_DENIED] = "denied",
		[PLAN_REFUSED] = "refused",
		[PLAN_FOREIGN] = "foreign",
		[PLAN_DECIDE] = "decide" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum plan_outcome)i;
	fail_msg("no such outcome: %s", name);
	return PLAN_OK;
}

static void answer(struct bench *b, struct plan_object *object, const char *name)
{
	enum plan_outcome outcome = PLAN_OK;

	for (size_t i = 0; i < b->answer_count; i++)
		if (strcmp(b->answers[i].name, name) == 0)
			outcome = b->answers[i].outcome;
	plan_done(b->plan, b->now_ms, object, outcome, outcome == PLAN_OK ? NULL : "no luck");
}

static void work(struct bench *b)
{
	struct plan_op op;

	while (plan_next(b->plan, b->now_ms, &op)) {
		cleanup_free char *name = xstrdup(op.id->name);

		if (b->ops)
			say(b, "op %s %s/%s %s%s%s%s%s%s", op.delete ? "delete" : "write",
				op.source, op.key, name, op.exists ? "" : " new",
				op.from_key != NULL ? " from " : "",
				op.from_key != NULL ? op.from_source : "",
				op.from_key != NULL ? "/" : "",
				op.from_key != NULL ? op.from_key : "");
		assert_true(op.delete == (op.body == NULL));
		if (!b->later) {
			answer(b, op.object, name);
			continue;
		}
		assert_true(b->pending_count < ARRAY_SIZE(b->pending));
		b->pending[b->pending_count].object = op.object;
		snprintf(b->pending[b->pending_count++].name, 64, "%s", name);
	}
}

/* "x=1": an object named x with content 1; "x=1!": with the hands-off annotation. */
static struct manifest manifest(const char *word)
{
	cleanup_free char *name = xstrndup(word, strcspn(word, "="));
	const char *content = strchr(word, '=');
	struct manifest m = { .api_version = xstrdup("v1") };

	object_id_set(&m.id, "", "Thing", "", name);
	m.body = xstrdup(content != NULL ? content : "");
	for (const char *c = m.body; *c != '\0'; c++)
		m.hash = m.hash * 31 + (uint64_t)*c;
	m.hands_off = str_ends(m.body, "!");
	return m;
}

static int compare(const void *a, const void *b)
{
	return object_id_compare(
		&((const struct manifest *)a)->id, &((const struct manifest *)b)->id);
}

static void apply(struct bench *b, char **words, size_t count)
{
	struct manifest manifests[MAX_WORDS] = { { .body = NULL } };
	struct plan_keep keeps[MAX_WORDS];
	struct plan_desired d = { .source = words[0],
		.key = words[1],
		.at_ms = 7,
		.manifests = manifests,
		.keeps = keeps };

	for (size_t i = 2; i < count; i++) {
		if (strcmp(words[i], "BROKEN") == 0)
			d.broken = "no name";
		else if (words[i][0] == '?' || words[i][0] == '#')
			keeps[d.keep_count++] = (struct plan_keep){
				.m = manifest(words[i] + 1),
				.error = xstrdup("bad"),
				.failed = words[i][0] == '#',
			};
		else
			manifests[d.count++] = manifest(words[i]);
	}
	qsort(manifests, d.count, sizeof(*manifests), compare);
	plan_apply(b->plan, b->now_ms, &d);
	for (size_t i = 0; i < d.count; i++)
		assert_null(manifests[i].body);
	for (size_t i = 0; i < d.keep_count; i++) {
		manifest_release(&keeps[i].m);
		free(keeps[i].error);
	}
}

static void many(struct bench *b, char **words, bool with_object)
{
	bool before = b->quiet;

	b->quiet = true;
	for (int i = atoi(words[1]); i <= atoi(words[2]); i++) {
		cleanup_free char *key = xasprintf("k%03d", i);
		cleanup_free char *object = xasprintf("%s-%s=1", words[0], key);
		char *one[] = { words[0], key, object };

		apply(b, one, with_object ? 3 : 2);
		work(b);
	}
	b->quiet = before;
}

static void found(struct bench *b, char **words)
{
	struct manifest m = manifest(words[2]);

	/* "-": whose it is, nobody knows. */
	if (!plan_found(b->plan, strcmp(words[0], "-") == 0 ? NULL : words[0], words[1], &m))
		say(b, "[another has it]");
	manifest_release(&m);
}

static void lost(struct bench *b, const char *name)
{
	struct manifest m = manifest(name);

	plan_lost(b->plan, &m.id);
	manifest_release(&m);
}

static struct plan_object *take_pending(struct bench *b, const char *name)
{
	for (size_t i = 0; i < b->pending_count; i++) {
		struct plan_object *object = b->pending[i].object;

		if (strcmp(b->pending[i].name, name) != 0)
			continue;
		b->pending[i] = b->pending[--b->pending_count];
		return object;
	}
	fail_msg("'%s' is not in flight", name);
	return NULL;
}

static void done(struct bench *b, const char *name, const char *outcome)
{
	plan_done(b->plan, b->now_ms, take_pending(b, name), outcome_from(outcome), "no luck");
}

static void leave(struct bench *b, const char *name, int64_t ms)
{
	plan_later(b->plan, b->now_ms, take_pending(b, name), b->now_ms + ms, "a fight");
}

static void counts(struct bench *b)
{
	struct plan_counts c;

	plan_count(b->plan, &c);
	say(b, "objects %zu waiting %zu failed %zu held %zu/%zu", c.objects, c.waiting, c.failed,
		c.held_keys, c.held_objects);
}

static void set_answer(struct bench *b, const char *name, const char *outcome)
{
	struct answer *a = &b->answers[b->answer_count++];

	assert_true(b->answer_count <= ARRAY_SIZE(b->answers));
	snprintf(a->name, sizeof(a->name), "%s", name);
	a->outcome = outcome_from(outcome);
}

static void command(struct bench *b, char **w, size_t n)
{
	const char *c = w[0];

#define IS(name, args) (strcmp(c, name) == 0 && n >= 1 + (args))
	if (IS("found", 3))
		found(b, w + 1);
	else if (IS("lost", 1))
		lost(b, w[1]);
	else if (IS("remember", 2))
		plan_remember(b->plan, w[1], w[2]);
	else if (IS("start", 3))
		plan_start(b->plan, w[1], w[2], w[3]);
	else if (IS("synced", 3))
		plan_synced(b->plan, b->now_ms, w[1], w[2], (uint64_t)atoi(w[3]));
	else if (IS("unreadable", 0))
		plan_unreadable(b->plan);
	else if (IS("apply", 2))
		apply(b, w + 1, n - 1);
	else if (IS("keep", 2))
		plan_keep_key(b->plan, w[1], w[2]);
	else if (IS("keys", 3))
		many(b, w + 1, true);
	else if (IS("empty", 3))
		many(b, w + 1, false);
	else if (IS("freeze", 0))
		plan_freeze(b->plan, true);
	else if (IS("thaw", 0))
		plan_freeze(b->plan, false);
	else if (IS("approve", 1))
		plan_approve(b->plan, (uint64_t)atoi(w[1]));
	else if (IS("prune", 1))
		say(b, "[prune %s]", plan_prune_source(b->plan, b->now_ms, w[1]) ? "yes" : "no");
	else if (IS("wait", 1))
		b->now_ms += atoi(w[1]);
	else if (IS("hurry", 0))
		plan_hurry(b->plan);
	else if (IS("pause", 1) || IS("resume", 1))
		plan_pause(b->plan, w[1], c[0] == 'p');
	else if (IS("retry", 0))
		plan_retry_all(b->plan);
	else if (IS("answer", 2))
		set_answer(b, w[1], w[2]);
	else if (IS("done", 2))
		done(b, w[1], w[2]);
	else if (IS("leave", 2))
		leave(b, w[1], atoi(w[2]));
	else if (IS("later", 0) || IS("now", 0))
		b->later = c[0] == 'l';
	else if (IS("hush", 0) || IS("speak", 0))
		b->quiet = c[0] == 'h';
	else if (IS("counts", 0))
		counts(b);
	else if (IS("ops", 0))
		b->ops = true;
	else if (IS("loud", 0))
		b->loud = true;
	else
		fail_msg("no such command: %s", c);
#undef IS
}

static void run_line(struct bench *b, char *line)
{
	char *words[MAX_WORDS], *save = NULL;
	size_t n = 0;

	for (char *w = strtok_r(line, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	if (n == 0)
		return;
	command(b, words, n);
	work(b);
}

/* Runs the script and writes it anew, with what really came out. */
static void check_with(const struct plan_config *config, const char *script)
{
	struct bench b = { .now_ms = 1000000 };
	const struct plan_handler handler = {
		.on_result = on_result,
		.on_notice = on_notice,
		.on_remember = on_remember,
		.arg = &b,
	};
	cleanup_free char *copy = xstrdup(script);
	char *save = NULL;

	buf_init(&b.out, 1u << 20);
	b.plan = plan_new(config, &handler);
	for (char *line = strtok_r(copy, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		if (line[0] == '>')
			continue;
		assert_int_equal(buf_addf(&b.out, "%s\n", line), 0);
		run_line(&b, line);
	}
	/* Whatever is still in flight is lost with the process. */
	plan_free(b.plan);
	assert_string_equal(buf_str(&b.out), script);
	buf_release(&b.out);
}

static void check(const char *script)
{
	const struct plan_config plain = { .accept_scope = false };

	check_with(&plain, script);
}

#endif
