/*
 * The decision module under random histories: records, drift, failures, answers
 * in any order, time, freezes. Whatever happens, an operation is only what the
 * last words of the keys allow, and in the end the target is what they say.
 */
#include "k8s-apply/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SOURCES	 2
#define KEYS	 6 /* of each source */
#define OBJECTS	 10
#define CONTENTS 3
#define NONE	 (-1)

enum word { UNKNOWN, APPLIED, KEPT, VANISHED };

struct key {
	enum word word;
	int wants[OBJECTS]; /* content, or NONE */
	bool keeps[OBJECTS];
};

struct flight {
	struct plan_object *object; /* NULL: none */
	bool delete;
	int content;
	struct key *key;
};

struct world {
	struct plan *plan;
	uint64_t seed;
	int64_t now_ms;
	bool frozen, paused[SOURCES];
	struct key keys[SOURCES][KEYS];
	/* The target: the content of each object or NONE, and whose it is there. */
	int live[OBJECTS];
	struct key *owner[OBJECTS];
	struct flight flights[OBJECTS];
	unsigned snapshots, deletions, writes;
};

static const char *const sources[SOURCES] = { "dc1", "dc2" };

/* A small generator of its own, so that every run has the same histories. */
static unsigned dice(struct world *w, unsigned sides)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(w->seed >> 33) % sides;
}

static void on_result(void *arg UNUSED, const struct plan_result *r)
{
	assert_non_null(r->id->name);
}

static void on_notice(void *arg UNUSED, const struct plan_notice *n UNUSED)
{
}

static void on_remember(void *arg UNUSED, const char *source UNUSED, const char *scope UNUSED)
{
}

static struct manifest manifest(int object, int content)
{
	struct manifest m = { .api_version = xstrdup("v1"), .hash = (uint64_t)content + 1 };
	cleanup_free char *name = xasprintf("o%02d", object);

	m.body = xasprintf("%d", content);
	object_id_set(&m.id, "", "Thing", "", name);
	return m;
}

static int object_of(const struct object_id *id)
{
	return atoi(id->name + 1);
}

static struct key *key_of(struct world *w, const char *source, const char *name)
{
	return &w->keys[source[2] - '1'][atoi(name + 1)];
}

/* The key's last word, as it is in the model, as a record. */
static void send_apply(struct world *w, unsigned source, unsigned index)
{
	struct key *k = &w->keys[source][index];
	cleanup_free char *name = xasprintf("k%u", index);
	struct manifest manifests[OBJECTS];
	struct plan_keep keeps[OBJECTS];
	struct plan_desired d = {
		.source = sources[source], .key = name, .manifests = manifests, .keeps = keeps
	};

	k->word = APPLIED;
	for (int o = 0; o < OBJECTS; o++) {
		if (k->wants[o] != NONE)
			manifests[d.count++] = manifest(o, k->wants[o]);
		else if (k->keeps[o])
			keeps[d.keep_count++] = (struct plan_keep){ .m = manifest(o, 0) };
	}
	plan_apply(w->plan, w->now_ms, &d);
	for (size_t i = 0; i < d.keep_count; i++)
		manifest_release(&keeps[i].m);
}

static void apply(struct world *w, unsigned source, unsigned index)
{
	struct key *k = &w->keys[source][index];

	for (int o = 0; o < OBJECTS; o++) {
		k->wants[o] = dice(w, 3) == 0 ? (int)dice(w, CONTENTS) : NONE;
		k->keeps[o] = k->wants[o] == NONE && dice(w, 8) == 0;
	}
	send_apply(w, source, index);
}

static void keep(struct world *w, unsigned source, unsigned index)
{
	cleanup_free char *name = xasprintf("k%u", index);

	w->keys[source][index].word = KEPT;
	plan_keep_key(w->plan, sources[source], name);
}

static void forget(struct key *k)
{
	k->word = VANISHED;
	for (int o = 0; o < OBJECTS; o++) {
		k->wants[o] = NONE;
		k->keeps[o] = false;
	}
}

/* Some keys are named, and some snapshots are not what they say. */
static void snapshot(struct world *w, unsigned source)
{
	cleanup_free char *id = xasprintf("s%u", ++w->snapshots);
	bool named[KEYS], wrong = dice(w, 4) == 0;
	unsigned count = 0;

	plan_start(w->plan, sources[source], id, "all");
	for (unsigned i = 0; i < KEYS; i++) {
		named[i] = dice(w, 4) != 0;
		if (!named[i])
			continue;
		count++;
		if (dice(w, 4) == 0)
			keep(w, source, i);
		else
			apply(w, source, i);
	}
	if (wrong && dice(w, 2) == 0)
		plan_unreadable(w->plan);
	else if (wrong)
		count++;
	for (unsigned i = 0; i < KEYS && !wrong; i++)
		if (!named[i])
			forget(&w->keys[source][i]);
	plan_synced(w->plan, w->now_ms, sources[source], id, count);
}

/* Somebody changes an object of ours in the target, or removes it. */
static void drift(struct world *w)
{
	int o = (int)dice(w, OBJECTS);
	struct manifest m;

	if (w->live[o] == NONE || w->flights[o].object != NULL)
		return;
	w->live[o] = dice(w, 2) == 0 ? CONTENTS : NONE;
	m = manifest(o, w->live[o]);
	if (w->live[o] == NONE) {
		plan_lost(w->plan, &m.id);
	} else {
		long at = w->owner[o] - &w->keys[0][0];
		cleanup_free char *name = xasprintf("k%ld", at % KEYS);

		assert_true(plan_found(w->plan, sources[at / KEYS], name, &m));
	}
	manifest_release(&m);
}

static void check_op(struct world *w, const struct plan_op *op)
{
	struct key *k = key_of(w, op->source, op->key);
	int o = object_of(op->id);

	assert_false(w->frozen);
	assert_false(w->paused[(k - &w->keys[0][0]) / KEYS]);
	assert_null(w->flights[o].object);
	assert_int_equal(op->exists, w->live[o] != NONE);
	if (!op->delete) {
		assert_int_equal(k->wants[o], atoi(op->body));
		assert_false(w->live[o] == k->wants[o] && w->owner[o] == k);
		return;
	}
	/* Its key has said that it does not want it, and there is nobody else who does. */
	assert_ptr_equal(w->owner[o], k);
	assert_true(k->word == VANISHED || (k->word == APPLIED && !k->keeps[o]));
	for (unsigned i = 0; i < SOURCES * KEYS; i++)
		assert_int_equal((&w->keys[0][0])[i].wants[o], NONE);
}

static void work(struct world *w)
{
	struct plan_op op;

	while (plan_next(w->plan, w->now_ms, &op)) {
		check_op(w, &op);
		w->flights[object_of(op.id)] = (struct flight){
			.object = op.object,
			.delete = op.delete,
			.content = op.delete ? NONE : atoi(op.body),
			.key = key_of(w, op.source, op.key),
		};
	}
}

static void answer(struct world *w, int o, enum plan_outcome outcome)
{
	struct flight f = w->flights[o];

	if (f.object == NULL)
		return;
	w->flights[o].object = NULL;
	if (outcome == PLAN_OK) {
		w->live[o] = f.content;
		w->owner[o] = f.key;
		w->deletions += f.delete;
		w->writes += !f.delete;
	}
	plan_done(w->plan, w->now_ms, f.object, outcome, "no luck");
}

static void step(struct world *w)
{
	static const enum plan_outcome outcomes[] = { PLAN_OK, PLAN_OK, PLAN_OK, PLAN_OK,
		PLAN_RETRY, PLAN_REFUSED, PLAN_FOREIGN, PLAN_DECIDE };
	unsigned source = dice(w, SOURCES), index = dice(w, KEYS);

	switch (dice(w, 17)) {
	case 16:
		w->paused[source] = dice(w, 8) == 0;
		plan_pause(w->plan, sources[source], w->paused[source]);
		break;
	case 0:
		snapshot(w, source);
		break;
	case 1:
		keep(w, source, index);
		break;
	case 2:
	case 3:
		apply(w, source, index);
		break;
	case 4:
		drift(w);
		break;
	case 5:
		w->now_ms += dice(w, 700000);
		break;
	case 6:
		w->frozen = dice(w, 2) == 0;
		plan_freeze(w->plan, w->frozen);
		break;
	case 7:
		plan_approve(w->plan, dice(w, KEYS));
		break;
	default:
		answer(w, (int)dice(w, OBJECTS), outcomes[dice(w, ARRAY_SIZE(outcomes))]);
		break;
	}
	work(w);
}

static bool in_flight(const struct world *w)
{
	for (int o = 0; o < OBJECTS; o++)
		if (w->flights[o].object != NULL)
			return true;
	return false;
}

/* Everything is said again, nothing fails any more, and a person approves. */
static void come_to_rest(struct world *w)
{
	w->frozen = false;
	plan_freeze(w->plan, false);
	for (unsigned s = 0; s < SOURCES; s++) {
		plan_start(w->plan, sources[s], "last", "all");
		for (unsigned i = 0; i < KEYS; i++) {
			memset(w->keys[s][i].keeps, 0, sizeof(w->keys[s][i].keeps));
			send_apply(w, s, i);
		}
		plan_synced(w->plan, w->now_ms, sources[s], "last", KEYS);
	}
	plan_approve(w->plan, SOURCES * KEYS);
	memset(w->paused, 0, sizeof(w->paused));
	for (unsigned s = 0; s < SOURCES; s++)
		plan_pause(w->plan, sources[s], false);
	plan_hurry(w->plan);
	for (work(w); in_flight(w); work(w))
		for (int o = 0; o < OBJECTS; o++)
			answer(w, o, PLAN_OK);
}

static void check_rest(const struct world *w)
{
	struct plan_counts counts;
	size_t live = 0;

	for (int o = 0; o < OBJECTS; o++) {
		bool wanted = false;

		for (unsigned i = 0; i < SOURCES * KEYS; i++)
			wanted = wanted || (&w->keys[0][0])[i].wants[o] != NONE;
		assert_int_equal(w->live[o] != NONE, wanted);
		if (wanted)
			assert_int_equal(w->live[o], w->owner[o]->wants[o]);
		live += wanted;
	}
	plan_count(w->plan, &counts);
	assert_int_equal(counts.objects, live);
	assert_int_equal(counts.waiting, 0);
	assert_int_equal(counts.held_keys, 0);
	assert_int_equal(counts.held_objects, 0);
	assert_int_equal(plan_wake_ms(w->plan), -1);
}

static void run(uint64_t seed, bool deletes_wait, struct world *w)
{
	const struct plan_config config = {
		.deletes_wait = deletes_wait,
		.quiet_ms = seed % 3 == 0 ? 50 : 0,
		.quiet_max_ms = 1000,
		.prune_delay_ms = seed % 3 == 0 ? 1000 : 0,
	};
	const struct plan_handler handler = { on_result, on_notice, on_remember, w };

	*w = (struct world){ .seed = seed, .now_ms = 1000000 };
	w->plan = plan_new(&config, &handler);
	for (unsigned s = 0; s < SOURCES; s++)
		for (unsigned i = 0; i < KEYS; i++) {
			forget(&w->keys[s][i]);
			w->keys[s][i].word = UNKNOWN;
		}
	for (int o = 0; o < OBJECTS; o++) {
		struct manifest m = manifest(o, 0);

		/* From an earlier run. */
		w->live[o] = o % 2 == 0 ? 0 : NONE;
		w->owner[o] = &w->keys[0][o % KEYS];
		if (o % 2 == 0) {
			cleanup_free char *name = xasprintf("k%d", o % KEYS);

			plan_found(w->plan, "dc1", name, &m);
		}
		manifest_release(&m);
	}
	for (int i = 0; i < 400; i++)
		step(w);
	come_to_rest(w);
	check_rest(w);
	plan_free(w->plan);
}

static void any_history_ends_well(void **state UNUSED)
{
	unsigned deletions = 0, writes = 0;
	struct world w;

	for (uint64_t seed = 1; seed <= 1000; seed++) {
		run(seed, seed % 2 == 0, &w);
		deletions += w.deletions;
		writes += w.writes;
	}
	/* Histories in which nothing happens would prove nothing. */
	assert_true(deletions > 500);
	assert_true(writes > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_history_ends_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
