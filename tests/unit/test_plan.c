/*
 * The decision module. A test is a script: commands in, and after each of them
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
 *   freeze, thaw, approve N, prune SOURCE, wait MS, retry
 *   answer NAME OUTCOME        what the target says to operations on NAME from now on
 *   later, now                 the target answers when told: done NAME OUTCOME
 *   counts                     shows objects, waiting, failed, held keys and objects
 *   ops, loud                  shows operations, unchanged objects
 *   hush, speak                shows nothing, shows all
 */
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
	say(b, "%s %s/%s %s%s%s", plan_action_name(r->action), r->source, r->key, r->id->name,
		r->error != NULL ? ": " : "", r->error != NULL ? r->error : "");
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
		[PLAN_RETRY] = "retry",
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

	if (!plan_found(b->plan, words[0], words[1], &m))
		say(b, "[another has it]");
	manifest_release(&m);
}

static void lost(struct bench *b, const char *name)
{
	struct manifest m = manifest(name);

	plan_lost(b->plan, &m.id);
	manifest_release(&m);
}

static void done(struct bench *b, const char *name, const char *outcome)
{
	for (size_t i = 0; i < b->pending_count; i++) {
		if (strcmp(b->pending[i].name, name) != 0)
			continue;
		plan_done(
			b->plan, b->now_ms, b->pending[i].object, outcome_from(outcome), "no luck");
		b->pending[i] = b->pending[--b->pending_count];
		return;
	}
	fail_msg("'%s' is not in flight", name);
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
	else if (IS("retry", 0))
		plan_retry_all(b->plan);
	else if (IS("answer", 2))
		set_answer(b, w[1], w[2]);
	else if (IS("done", 2))
		done(b, w[1], w[2]);
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

static void the_same_again_is_nothing(void **state UNUSED)
{
	check("loud\n"
	      "apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=1 y=1\n"
	      "> unchanged dc1/a x\n"
	      "> unchanged dc1/a y\n"
	      "apply dc1 a x=2 y=1\n"
	      "> unchanged dc1/a y\n"
	      "> configured dc1/a x\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void what_a_key_no_longer_names_goes_at_once_and_last(void **state UNUSED)
{
	check("ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "apply dc1 a y=2 z=1\n"
	      "> op write dc1/a y\n"
	      "> configured dc1/a y\n"
	      "> op write dc1/a z new\n"
	      "> created dc1/a z\n"
	      "> op delete dc1/a x\n"
	      "> deleted dc1/a x\n");
}

static void a_deletion_waits_for_the_writes_of_its_key(void **state UNUSED)
{
	const struct plan_config config = { .deletes_wait = true };

	check_with(&config, "apply dc1 a x=1\n"
			    "> created dc1/a x\n"
			    "ops\n"
			    "later\n"
			    "apply dc1 a y=1 z=1\n"
			    "> op write dc1/a y new\n"
			    "> op write dc1/a z new\n"
			    "done z ok\n"
			    "> created dc1/a z\n"
			    "done y retry\n"
			    "> failed dc1/a y: no luck\n"
			    "> op delete dc1/a x\n"
			    "done x ok\n"
			    "> deleted dc1/a x\n");
}

static void what_is_kept_is_left_as_it_is(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1 z=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "> created dc1/a z\n"
	      "apply dc1 a x=1 ?y\n"
	      "> deleted dc1/a z\n"
	      "keep dc1 a\n"
	      "apply dc1 a ?x\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void a_key_that_is_kept_takes_back_its_deletions(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "answer y retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a y: no luck\n"
	      "keep dc1 a\n"
	      "answer y ok\n"
	      "wait 3600000\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void an_object_that_cannot_be_read_is_left_and_said_once(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=2 #y\n"
	      "> failed dc1/a y: bad\n"
	      "> configured dc1/a x\n"
	      "apply dc1 a x=2 #y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 a x=2 y=1\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void an_object_without_a_name_stops_the_deletions_of_its_key(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "apply dc1 a x=2 BROKEN\n"
	      "> [broken dc1/a: no name]\n"
	      "> configured dc1/a x\n"
	      "apply dc1 a x=2 BROKEN\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 a x=2\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void after_a_restart_nothing_is_deleted_before_its_key_is_said(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 a y=1\n"
	      "found dc1 b z=1\n"
	      "apply dc1 a x=1\n"
	      "> deleted dc1/a y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_counted_snapshot_prunes_the_keys_it_does_not_name(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "found dc2 c z=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_keep_names_a_key_too(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "keep dc1 b\n"
	      "synced dc1 s1 2\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_snapshot_of_the_wrong_size_prunes_nothing(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 2\n"
	      "> [not pruned dc1: it announces 2 keys, 1 came]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n");
}

static void a_synced_without_its_start_prunes_nothing(void **state UNUSED)
{
	check("found dc1 b y=1\n"
	      "apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n"
	      "start dc1 s2 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: the start of this snapshot was not seen]\n");
}

static void an_unreadable_line_spoils_the_snapshots_that_are_open(void **state UNUSED)
{
	check("found dc1 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "unreadable\n"
	      "apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: a line since its start could not be read]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b y\n");
}

static void another_scope_prunes_nothing_but_keys_go_on(void **state UNUSED)
{
	check("remember dc1 all\n"
	      "found dc1 a x=1\n"
	      "found dc1 a y=1\n"
	      "found dc1 b z=1\n"
	      "start dc1 s1 web-only\n"
	      "apply dc1 a x=1\n"
	      "> deleted dc1/a y\n"
	      "synced dc1 s1 1\n"
	      "> [not pruned dc1: it is of 'web-only', what is there is of 'all' (if that is "
	      "meant, run once with --accept-scope)]\n"
	      "start dc1 s2 all\n"
	      "apply dc1 a x=1\n"
	      "synced dc1 s2 1\n"
	      "> [synced dc1]\n"
	      "> deleted dc1/b z\n");
}

static void another_scope_can_be_accepted(void **state UNUSED)
{
	const struct plan_config config = { .accept_scope = true };

	check_with(&config, "remember dc1 all\n"
			    "found dc1 a x=1\n"
			    "found dc1 b z=1\n"
			    "start dc1 s1 web-only\n"
			    "> [remember dc1 web-only]\n"
			    "apply dc1 a x=1\n"
			    "synced dc1 s1 1\n"
			    "> [synced dc1]\n"
			    "> deleted dc1/b z\n");
}

static void the_last_keys_of_a_source_are_held(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc2 b y=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "synced dc1 s1 0\n"
	      "> [hold dc1 1/1: nothing would be left of the source]\n"
	      "> held dc1/a x\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 1/1\n"
	      "start dc1 s2 all\n"
	      "synced dc1 s2 0\n"
	      "> [synced dc1]\n"
	      "apply dc1 a x=1\n"
	      "> [nothing held]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void a_key_that_becomes_empty_counts_as_one_that_vanished(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "apply dc1 a\n"
	      "> [hold dc1 1/1: nothing would be left of the source]\n"
	      "> held dc1/a x\n"
	      "apply dc1 a\n"
	      "keep dc1 a\n"
	      "> [nothing held]\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void twenty_keys_may_go_but_not_one_more(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 21 100\n"
	      "empty dc1 1 19\n"
	      "counts\n"
	      "> objects 81 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 k020\n"
	      "> deleted dc1/k020 dc1-k020\n"
	      "apply dc1 k021\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k021 dc1-k021\n"
	      "apply dc1 k022\n"
	      "> held dc1/k022 dc1-k022\n"
	      "apply dc1 new n=1\n"
	      "> created dc1/new n\n"
	      "counts\n"
	      "> objects 81 waiting 0 failed 0 held 2/2\n");
}

static void the_ten_minutes_pass(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "empty dc1 1 20\n"
	      "wait 599999\n"
	      "apply dc1 k021\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k021 dc1-k021\n"
	      "keys dc1 21 21\n"
	      "wait 1\n"
	      "apply dc1 k021\n"
	      "> deleted dc1/k021 dc1-k021\n");
}

static void a_tenth_of_many_keys_may_go(void **state UNUSED)
{
	check("keys dc1 1 500\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 51 500\n"
	      "hush\n"
	      "synced dc1 s1 450\n"
	      "speak\n"
	      "counts\n"
	      "> objects 450 waiting 0 failed 0 held 0/0\n");
}

/* Of a snapshot that lacks too many nothing goes, the first twenty neither. */
static void a_batch_is_held_whole(void **state UNUSED)
{
	check("keys dc1 1 100\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "keys dc1 22 101\n"
	      "hush\n"
	      "synced dc1 s1 80\n"
	      "speak\n"
	      "counts\n"
	      "> objects 101 waiting 0 failed 0 held 21/21\n");
}

static void two_sources_share_the_ten_minutes(void **state UNUSED)
{
	check("keys dc1 1 50\n"
	      "keys dc2 1 50\n"
	      "empty dc1 1 15\n"
	      "empty dc2 1 15\n"
	      "counts\n"
	      "> objects 80 waiting 0 failed 0 held 10/10\n");
}

static void an_approval_is_a_ceiling(void **state UNUSED)
{
	check("keys dc1 1 30\n"
	      "empty dc1 1 22\n"
	      "counts\n"
	      "> objects 10 waiting 0 failed 0 held 2/2\n"
	      "approve 1\n"
	      "> [approval too low 2/2]\n"
	      "approve 2\n"
	      "> deleted dc1/k021 dc1-k021\n"
	      "> deleted dc1/k022 dc1-k022\n"
	      "approve 100\n"
	      "counts\n"
	      "> objects 8 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 k023\n"
	      "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, within ten "
	      "minutes]\n"
	      "> held dc1/k023 dc1-k023\n");
}

static void an_approval_given_before_is_used_up(void **state UNUSED)
{
	const struct plan_config config = { .approved_keys = 2 };

	check_with(&config, "keys dc1 1 30\n"
			    "empty dc1 1 20\n"
			    "apply dc1 k021\n"
			    "> deleted dc1/k021 dc1-k021\n"
			    "apply dc1 k022\n"
			    "> deleted dc1/k022 dc1-k022\n"
			    "apply dc1 k023\n"
			    "> [hold dc1 1/1: more than 20 keys, and more than a tenth of them, "
			    "within ten minutes]\n"
			    "> held dc1/k023 dc1-k023\n");
}

static void an_approval_given_before_is_a_ceiling_too(void **state UNUSED)
{
	const struct plan_config config = { .approved_keys = 2 };

	check_with(&config, "found dc1 a x=1\n"
			    "found dc1 b y=1\n"
			    "found dc1 c z=1\n"
			    "start dc1 s1 all\n"
			    "> [remember dc1 all]\n"
			    "synced dc1 s1 0\n"
			    "> [hold dc1 3/3: nothing would be left of the source]\n"
			    "> held dc1/a x\n"
			    "> held dc1/b y\n"
			    "> held dc1/c z\n"
			    "> [synced dc1]\n");
}

static void who_has_an_object_keeps_it(void **state UNUSED)
{
	check("apply dc1 b x=1\n"
	      "> created dc1/b x\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/a x: 'dc1/b' has it\n"
	      "apply dc1 a x=3\n"
	      "apply dc1 b x=4\n"
	      "> configured dc1/b x\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "> configured dc1/a x\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n"
	      "apply dc1 b x=1 y=1\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n");
}

static void with_none_having_it_the_lesser_key_gets_it(void **state UNUSED)
{
	check("ops\n"
	      "freeze\n"
	      "apply dc1 b x=1\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n"
	      "apply dc1 c x=3\n"
	      "> conflict dc1/c x: 'dc1/a' has it\n"
	      "thaw\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n");
}

/* "dc1-x/k" comes before "dc1/k": the order is that of the whole text. */
static void the_order_of_keys_is_that_of_their_text(void **state UNUSED)
{
	check("freeze\n"
	      "apply dc1 k x=1\n"
	      "apply dc1-x k x=2\n"
	      "> conflict dc1/k x: 'dc1-x/k' has it\n");
}

static void after_a_restart_the_one_who_had_it_has_it(void **state UNUSED)
{
	check("found dc1 b x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 a x=2\n"
	      "> conflict dc1/a x: 'dc1/b' has it\n"
	      "apply dc1 b x=1\n"
	      "synced dc1 s1 2\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n");
}

static void an_object_that_moves_is_never_deleted(void **state UNUSED)
{
	check("ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "apply dc1 b x=1\n"
	      "> conflict dc1/b x: 'dc1/a' has it\n"
	      "apply dc1 a y=1\n"
	      "> op write dc1/b x from dc1/a\n"
	      "> configured dc1/b x\n");
}

static void an_object_moves_from_a_key_that_vanished(void **state UNUSED)
{
	check("found dc1 old x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 new x=1\n"
	      "> conflict dc1/new x: 'dc1/old' has it\n"
	      "ops\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "> op write dc1/new x from dc1/old\n"
	      "> configured dc1/new x\n");
}

static void hands_off_is_obeyed_and_said_once(void **state UNUSED)
{
	check("found dc1 a x=1!\n"
	      "found dc1 a y=1!\n"
	      "apply dc1 a x=2\n"
	      "> skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n"
	      "> skipped dc1/a y: 'meshpipe.io/reconcile' is 'disabled' on it\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n"
	      "found dc1 a x=1\n"
	      "> configured dc1/a x\n"
	      "found dc1 a y=1\n"
	      "> deleted dc1/a y\n");
}

static void drift_is_put_right(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "found dc1 a x=edited\n"
	      "> configured dc1/a x\n"
	      "lost x\n"
	      "> created dc1/a x\n"
	      "found dc1 a more=1\n"
	      "> deleted dc1/a more\n");
}

static void what_another_key_has_stays_there(void **state UNUSED)
{
	check("found dc1 a x=1\n"
	      "found dc1 b x=1\n"
	      "> [another has it]\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void while_frozen_nothing_is_done_and_nothing_forgotten(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "freeze\n"
	      "apply dc1 a x=2\n"
	      "apply dc1 b z=1\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 2 waiting 3 failed 0 held 0/0\n"
	      "thaw\n"
	      "> configured dc1/a x\n"
	      "> deleted dc1/a y\n"
	      "> created dc1/b z\n");
}

static void a_failure_is_said_once_and_tried_again_with_growing_pauses(void **state UNUSED)
{
	check("ops\n"
	      "answer x retry\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n"
	      "> failed dc1/a x: no luck\n"
	      "> op write dc1/a y new\n"
	      "> created dc1/a y\n"
	      "wait 999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "wait 1999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n"
	      "retry\n"
	      "> op write dc1/a x new\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a x new\n");
}

static void after_it_succeeds_a_failure_is_said_again(void **state UNUSED)
{
	check("answer x retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "answer x ok\n"
	      "wait 1000\n"
	      "> created dc1/a x\n"
	      "answer x refused\n"
	      "apply dc1 a x=2\n"
	      "> failed dc1/a x: no luck\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 1 held 0/0\n");
}

static void the_pause_ends_at_five_minutes(void **state UNUSED)
{
	check("answer x retry\n"
	      "apply dc1 a x=1\n"
	      "> failed dc1/a x: no luck\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "wait 300000\n"
	      "ops\n"
	      "wait 299999\n"
	      "wait 1\n"
	      "> op write dc1/a x new\n");
}

static void what_is_refused_waits_for_another_word(void **state UNUSED)
{
	check("ops\n"
	      "answer x refused\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "> failed dc1/a x: no luck\n"
	      "wait 86400000\n"
	      "retry\n"
	      "answer x ok\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "> created dc1/a x\n");
}

static void what_somebody_else_has_is_a_conflict(void **state UNUSED)
{
	check("answer x foreign\n"
	      "apply dc1 a x=1\n"
	      "> conflict dc1/a x: no luck\n"
	      "counts\n"
	      "> objects 0 waiting 0 failed 1 held 0/0\n"
	      "answer x ok\n"
	      "wait 299999\n"
	      "wait 1\n"
	      "> created dc1/a x\n");
}

static void the_latest_word_wins_while_one_is_in_flight(void **state UNUSED)
{
	check("ops\n"
	      "later\n"
	      "apply dc1 a x=1\n"
	      "> op write dc1/a x new\n"
	      "apply dc1 a x=2\n"
	      "apply dc1 a x=3\n"
	      "counts\n"
	      "> objects 0 waiting 1 failed 0 held 0/0\n"
	      "done x ok\n"
	      "> created dc1/a x\n"
	      "> op write dc1/a x\n"
	      "apply dc1 a x=4\n"
	      "done x retry\n"
	      "> failed dc1/a x: no luck\n"
	      "> op write dc1/a x\n"
	      "done x ok\n"
	      "> configured dc1/a x\n");
}

static void what_is_unwanted_by_the_time_it_is_made_goes(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "later\n"
	      "ops\n"
	      "apply dc1 a x=1 y=1\n"
	      "> op write dc1/a y new\n"
	      "apply dc1 a x=1\n"
	      "done y ok\n"
	      "> created dc1/a y\n"
	      "> op delete dc1/a y\n"
	      "done y ok\n"
	      "> deleted dc1/a y\n");
}

static void the_target_may_ask_to_decide_again(void **state UNUSED)
{
	check("apply dc1 a x=1\n"
	      "> created dc1/a x\n"
	      "ops\n"
	      "later\n"
	      "apply dc1 a x=2\n"
	      "> op write dc1/a x\n"
	      "found dc1 a x=1!\n"
	      "done x decide\n"
	      "> skipped dc1/a x: 'meshpipe.io/reconcile' is 'disabled' on it\n");
}

static void a_lost_answer_of_a_deletion_is_no_loss(void **state UNUSED)
{
	check("apply dc1 a x=1 y=1\n"
	      "> created dc1/a x\n"
	      "> created dc1/a y\n"
	      "later\n"
	      "apply dc1 a y=1\n"
	      "lost x\n"
	      "done x decide\n"
	      "counts\n"
	      "> objects 1 waiting 0 failed 0 held 0/0\n");
}

static void a_source_can_be_pruned_by_name(void **state UNUSED)
{
	check("remember dc2 all\n"
	      "found dc2 a x=1\n"
	      "found dc2 b y=1\n"
	      "found dc1 c z=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "prune dc1\n"
	      "> [prune no]\n"
	      "prune dc3\n"
	      "> [prune no]\n"
	      "prune dc2\n"
	      "> [remember dc2 nothing]\n"
	      "> [source pruned dc2]\n"
	      "> [prune yes]\n"
	      "> deleted dc2/a x\n"
	      "> deleted dc2/b y\n");
}

static void plain_manifests_are_not_pruned(void **state UNUSED)
{
	check("found - a x=1\n"
	      "start dc1 s1 all\n"
	      "> [remember dc1 all]\n"
	      "apply dc1 b y=1\n"
	      "> created dc1/b y\n"
	      "synced dc1 s1 1\n"
	      "> [synced dc1]\n"
	      "counts\n"
	      "> objects 2 waiting 0 failed 0 held 0/0\n");
}

static void add_silent(void *arg, const char *source, size_t objects)
{
	assert_string_equal(source, "dc2");
	assert_int_equal(objects, 1);
	++*(int *)arg;
}

static void a_source_that_does_not_speak_is_known(void **state UNUSED)
{
	struct bench b = { .quiet = true };
	const struct plan_config config = { .accept_scope = false };
	const struct plan_handler handler = { on_result, on_notice, on_remember, &b };
	char spoken[] = "dc1", silent[] = "dc2", k[] = "k", x[] = "x=1", y[] = "y=1";
	int count = 0;

	b.plan = plan_new(&config, &handler);
	plan_remember(b.plan, "dc1", "all");
	plan_remember(b.plan, "dc2", "all");
	found(&b, (char *[]){ silent, k, x });
	found(&b, (char *[]){ spoken, k, y });
	assert_false(plan_all_synced(b.plan));
	plan_start(b.plan, "dc1", "s1", "all");
	assert_false(plan_all_synced(b.plan));
	plan_keep_key(b.plan, "dc1", "k");
	plan_synced(b.plan, 0, "dc1", "s1", 1);
	assert_true(plan_all_synced(b.plan));
	plan_silent_sources(b.plan, add_silent, &count);
	assert_int_equal(count, 1);
	plan_free(b.plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_again_is_nothing),
		cmocka_unit_test(what_a_key_no_longer_names_goes_at_once_and_last),
		cmocka_unit_test(a_deletion_waits_for_the_writes_of_its_key),
		cmocka_unit_test(what_is_kept_is_left_as_it_is),
		cmocka_unit_test(a_key_that_is_kept_takes_back_its_deletions),
		cmocka_unit_test(an_object_that_cannot_be_read_is_left_and_said_once),
		cmocka_unit_test(an_object_without_a_name_stops_the_deletions_of_its_key),
		cmocka_unit_test(after_a_restart_nothing_is_deleted_before_its_key_is_said),
		cmocka_unit_test(a_counted_snapshot_prunes_the_keys_it_does_not_name),
		cmocka_unit_test(a_keep_names_a_key_too),
		cmocka_unit_test(a_snapshot_of_the_wrong_size_prunes_nothing),
		cmocka_unit_test(a_synced_without_its_start_prunes_nothing),
		cmocka_unit_test(an_unreadable_line_spoils_the_snapshots_that_are_open),
		cmocka_unit_test(another_scope_prunes_nothing_but_keys_go_on),
		cmocka_unit_test(another_scope_can_be_accepted),
		cmocka_unit_test(the_last_keys_of_a_source_are_held),
		cmocka_unit_test(a_key_that_becomes_empty_counts_as_one_that_vanished),
		cmocka_unit_test(twenty_keys_may_go_but_not_one_more),
		cmocka_unit_test(the_ten_minutes_pass),
		cmocka_unit_test(a_tenth_of_many_keys_may_go),
		cmocka_unit_test(a_batch_is_held_whole),
		cmocka_unit_test(two_sources_share_the_ten_minutes),
		cmocka_unit_test(an_approval_is_a_ceiling),
		cmocka_unit_test(an_approval_given_before_is_used_up),
		cmocka_unit_test(an_approval_given_before_is_a_ceiling_too),
		cmocka_unit_test(who_has_an_object_keeps_it),
		cmocka_unit_test(with_none_having_it_the_lesser_key_gets_it),
		cmocka_unit_test(the_order_of_keys_is_that_of_their_text),
		cmocka_unit_test(after_a_restart_the_one_who_had_it_has_it),
		cmocka_unit_test(an_object_that_moves_is_never_deleted),
		cmocka_unit_test(an_object_moves_from_a_key_that_vanished),
		cmocka_unit_test(hands_off_is_obeyed_and_said_once),
		cmocka_unit_test(drift_is_put_right),
		cmocka_unit_test(what_another_key_has_stays_there),
		cmocka_unit_test(while_frozen_nothing_is_done_and_nothing_forgotten),
		cmocka_unit_test(a_failure_is_said_once_and_tried_again_with_growing_pauses),
		cmocka_unit_test(after_it_succeeds_a_failure_is_said_again),
		cmocka_unit_test(the_pause_ends_at_five_minutes),
		cmocka_unit_test(what_is_refused_waits_for_another_word),
		cmocka_unit_test(what_somebody_else_has_is_a_conflict),
		cmocka_unit_test(the_latest_word_wins_while_one_is_in_flight),
		cmocka_unit_test(what_is_unwanted_by_the_time_it_is_made_goes),
		cmocka_unit_test(the_target_may_ask_to_decide_again),
		cmocka_unit_test(a_lost_answer_of_a_deletion_is_no_loss),
		cmocka_unit_test(a_source_can_be_pruned_by_name),
		cmocka_unit_test(plain_manifests_are_not_pruned),
		cmocka_unit_test(a_source_that_does_not_speak_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
