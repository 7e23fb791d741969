/*
 * hosts: ServiceEntries with the same host. A test is a script: lines in, and what is told of
 * pairs out ("+" begins, "-" ends).
 */
#include "k8s-apply/hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"

struct bench {
	struct hosts *hosts;
	struct buf out;
	uint64_t hash;
};

static void put(struct bench *b, char sign, const struct hosts_pair *p)
{
	assert_int_equal(buf_addf(&b->out, "%c%s %s %s%s%s%s\n", sign, p->host, p->ours, p->other,
				 p->both_ours ? " (ours)" : "", p->by != NULL ? " by " : "",
				 p->by != NULL ? p->by : ""),
		0);
}

static void on_pair(void *arg, const struct hosts_pair *pair)
{
	put(arg, '+', pair);
}

static void on_end(void *arg, const struct hosts_pair *pair)
{
	put(arg, '-', pair);
}

static int open_bench(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	const struct hosts_handler handler = { .on_pair = on_pair, .on_end = on_end, .arg = b };

	buf_init(&b->out, 1 << 20);
	b->hosts = hosts_new(&handler);
	*state = b;
	return 0;
}

static int close_bench(void **state)
{
	struct bench *b = *state;

	hosts_free(b->hosts);
	buf_release(&b->out);
	free(b);
	return 0;
}

static void set(struct bench *b, enum hosts_side side, const char *namespace, const char *name,
	const char *spec)
{
	cleanup_free char *text = xasprintf("{\"spec\":%s}", spec);
	struct err err = ERR_INIT;
	cleanup_jv jv object = jvx_parse(text, strlen(text), &err);

	assert_true(jv_is_valid(object));
	hosts_set(b->hosts, side, namespace, name, ++b->hash, object,
		side == HOSTS_THEIRS ? "kubectl" : NULL);
}

static void ours(struct bench *b, const char *namespace, const char *name, const char *spec)
{
	set(b, HOSTS_OURS, namespace, name, spec);
	hosts_here(b->hosts, namespace, name);
}

static void theirs(struct bench *b, const char *namespace, const char *name, const char *spec)
{
	set(b, HOSTS_THEIRS, namespace, name, spec);
}

/* Exactly this was told since the last time. */
static void told(struct bench *b, const char *expected)
{
	assert_string_equal(buf_str(&b->out), expected);
	buf_reset(&b->out);
}

static void whoever_comes_first_a_pair_is_told_once_and_when_it_is_over(void **state)
{
	struct bench *b = *state;

	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	theirs(b, "other", "mine", "{\"hosts\":[\"b.test\",\"A.test\"]}");
	told(b, "+a.test mesh/a other/mine by kubectl\n");
	/* A change of what does not matter here. */
	theirs(b, "other", "mine", "{\"hosts\":[\"b.test\",\"a.test\"],\"ports\":[]}");
	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"],\"ports\":[]}");
	told(b, "");
	ours(b, "mesh", "b", "{\"hosts\":[\"b.test\"]}");
	told(b, "+b.test mesh/b other/mine by kubectl\n");
	assert_int_equal(hosts_pairs(b->hosts), 2);
	theirs(b, "other", "mine", "{\"hosts\":[\"b.test\"]}");
	told(b, "-a.test mesh/a other/mine by kubectl\n");
	hosts_remove(b->hosts, HOSTS_OURS, "mesh", "b");
	told(b, "-b.test mesh/b other/mine by kubectl\n");
	assert_int_equal(hosts_pairs(b->hosts), 0);
}

static void one_that_is_not_on_the_server_is_in_no_pair(void **state)
{
	struct bench *b = *state;

	theirs(b, "mesh", "mine", "{\"hosts\":[\"a.test\"]}");
	set(b, HOSTS_OURS, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	told(b, "");
	hosts_here(b->hosts, "mesh", "a");
	told(b, "+a.test mesh/a mesh/mine by kubectl\n");
	hosts_remove(b->hosts, HOSTS_OURS, "mesh", "a");
	told(b, "-a.test mesh/a mesh/mine by kubectl\n");
	/* Of one that was never said nothing is known. */
	hosts_here(b->hosts, "mesh", "unknown");
	told(b, "");
}

static void export_to_decides_who_meets(void **state)
{
	struct bench *b = *state;

	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	theirs(b, "other", "own", "{\"hosts\":[\"a.test\"],\"exportTo\":[\".\"]}");
	theirs(b, "other", "none", "{\"hosts\":[\"a.test\"],\"exportTo\":[\"~\"]}");
	theirs(b, "other", "third", "{\"hosts\":[\"a.test\"],\"exportTo\":[\"third\",\".\"]}");
	told(b, "");
	theirs(b, "other", "third", "{\"hosts\":[\"a.test\"],\"exportTo\":[\"third\",\"mesh\"]}");
	told(b, "+a.test mesh/a other/third by kubectl\n");
	theirs(b, "mesh", "own", "{\"hosts\":[\"a.test\"],\"exportTo\":[\".\"]}");
	told(b, "+a.test mesh/a mesh/own by kubectl\n");
	theirs(b, "other", "own", "{\"hosts\":[\"a.test\"],\"exportTo\":[\"*\"]}");
	told(b, "+a.test mesh/a other/own by kubectl\n");
	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"],\"exportTo\":[\"~\"]}");
	assert_int_equal(hosts_pairs(b->hosts), 0);
}

static void a_foreign_object_in_place_of_ours_is_no_pair(void **state)
{
	struct bench *b = *state;

	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	theirs(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	told(b, "");
}

static void two_of_ours_are_a_pair_too(void **state)
{
	struct bench *b = *state;

	ours(b, "mesh", "b", "{\"hosts\":[\"a.test\"]}");
	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	told(b, "+a.test mesh/a mesh/b (ours)\n");
	ours(b, "third", "c", "{\"hosts\":[\"a.test\"],\"exportTo\":[\".\"]}");
	told(b, "+a.test mesh/b third/c (ours)\n+a.test mesh/a third/c (ours)\n");
	hosts_remove(b->hosts, HOSTS_OURS, "mesh", "a");
	hosts_remove(b->hosts, HOSTS_OURS, "mesh", "b");
	buf_reset(&b->out);
	/* Each for its own namespace: they never meet. */
	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"],\"exportTo\":[\".\"]}");
	told(b, "");
}

static void what_a_list_does_not_have_is_gone(void **state)
{
	struct bench *b = *state;
	uint64_t one, two;

	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\"]}");
	theirs(b, "x", "1", "{\"hosts\":[\"a.test\"]}");
	theirs(b, "y", "2", "{\"hosts\":[\"a.test\"]}");
	buf_reset(&b->out);
	/* Lists of two namespaces at a time. */
	one = hosts_list(b->hosts);
	theirs(b, "x", "1", "{\"hosts\":[\"a.test\"]}");
	two = hosts_list(b->hosts);
	hosts_listed(b->hosts, "x", one);
	told(b, "");
	hosts_listed(b->hosts, "y", two);
	told(b, "-a.test mesh/a y/2 by kubectl\n");
	hosts_listed(b->hosts, "", hosts_list(b->hosts));
	told(b, "-a.test mesh/a x/1 by kubectl\n");
}

static void odd_bodies_have_no_hosts(void **state)
{
	struct bench *b = *state;

	ours(b, "mesh", "a", "{\"hosts\":[\"a.test\",\"a.test\"]}");
	theirs(b, "x", "1", "null");
	theirs(b, "x", "2", "{\"hosts\":\"a.test\"}");
	theirs(b, "x", "3", "{\"hosts\":[1,null,\"\",{}],\"exportTo\":{}}");
	told(b, "");
}

static void many_of_one_host_are_bounded(void **state)
{
	struct bench *b = *state;
	char name[16];

	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ours(b, "mesh", name, "{\"hosts\":[\"a.test\"]}");
	}
	assert_true(hosts_pairs(b->hosts) > 0);
	assert_true(hosts_pairs(b->hosts) <= HOSTS_MAX_PAIRS);
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_bench, close_bench)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whoever_comes_first_a_pair_is_told_once_and_when_it_is_over),
		T(one_that_is_not_on_the_server_is_in_no_pair),
		T(export_to_decides_who_meets),
		T(a_foreign_object_in_place_of_ours_is_no_pair),
		T(two_of_ours_are_a_pair_too),
		T(what_a_list_does_not_have_is_gone),
		T(odd_bodies_have_no_hosts),
		T(many_of_one_host_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
