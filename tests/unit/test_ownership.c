/* ownership: what is put on an object, and what is read off it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>
#include <xxhash.h>

#include "k8s-apply/ownership.h"

static const char body[] =
	"{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"ServiceEntry\","
	"\"metadata\":{\"labels\":{\"app\":\"a\"},\"name\":\"a\",\"namespace\":\"mesh\"},"
	"\"spec\":{\"hosts\":[\"a.consul\"]}}";

struct bench {
	struct ownership own;
	struct object_id id;
	struct ownership_write write;
};

static void bench_open(struct bench *b)
{
	ownership_init(&b->own, "meshpipe", "mesh");
	object_id_set(&b->id, "networking.istio.io", "ServiceEntry", "mesh", "a");
	b->write = (struct ownership_write){
		.id = &b->id,
		.body = body,
		.hash = XXH3_64bits(body, strlen(body)),
		.source = "dc1",
		.key = "a",
		.counted = true,
	};
}

static void bench_close(struct bench *b)
{
	ownership_release(&b->own);
	object_id_release(&b->id);
}

#define cleanup_bench __attribute__((cleanup(bench_close)))

/* Applies it as an API server would. */
static jv applied(struct bench *b, int64_t generation)
{
	struct ownership_text text;
	struct err err = ERR_INIT;
	jv object, metadata;

	assert_int_equal(ownership_compose(&b->own, &b->write, &text, &err), 0);
	object = jvx_parse(text.body, strlen(text.body), &err);
	metadata = jvx_get(object, "metadata");
	jvx_set_str(&metadata, "uid", "u-1");
	jvx_set_str(&metadata, "resourceVersion", "17");
	jvx_set(&metadata, "generation", jv_number((double)generation));
	jvx_set(&object, "metadata", metadata);
	free(text.body);
	word_hashes_release(&text.words);
	return object;
}

static void edit(jv *object, const char *map, const char *name, const char *value)
{
	jv metadata = jvx_get(*object, "metadata"), words = jvx_get(metadata, map);

	if (value != NULL)
		jvx_set_str(&words, name, value);
	else
		words = jv_object_delete(words, jv_string(name));
	jvx_set(&metadata, map, words);
	jvx_set(object, "metadata", metadata);
}

static void rename_to(jv *object, const char *namespace, const char *name)
{
	jv metadata = jvx_get(*object, "metadata");

	jvx_set_str(&metadata, "namespace", namespace);
	jvx_set_str(&metadata, "name", name);
	jvx_set(object, "metadata", metadata);
}

static struct live read_back(struct bench *b, jv object)
{
	struct live l;

	assert_true(ownership_read(&b->own, "networking.istio.io", "ServiceEntry", object, &l));
	return l;
}

/* sha256("meshpipe.mesh.ConfigMap.") by sha256sum, in base64url. */
static void the_id_is_that_of_the_kep(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);

	assert_string_equal(b.own.id, "applyset-XPlZYHXlqBqa-zVooxJsAjDEV7JS0qaqofdmYm6haO0-v1");
	assert_string_equal(b.own.manager, "meshpipe-meshpipe");
}

static void a_new_object_is_created_and_nothing_else(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	struct ownership_text text;
	struct err err = ERR_INIT;

	assert_int_equal(ownership_compose(&b.own, &b.write, &text, &err), 0);
	assert_non_null(strstr(text.body, "\"resourceVersion\":\"1\""));
	assert_null(strstr(text.body, "\"uid\""));
	assert_non_null(strstr(text.body, "\"meshpipe.io/key\":\"dc1/a\""));
	assert_non_null(strstr(text.body, "\"applyset.kubernetes.io/part-of\":\"applyset-"));
	assert_non_null(strstr(text.body, "\"app\":\"a\""));
	assert_int_equal(text.generation, 1);
	free(text.body);
	word_hashes_release(&text.words);
}

static void a_known_object_is_named_by_its_uid(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	struct ownership_text first, second;
	struct err err = ERR_INIT;

	b.write.uid = "u-1";
	b.write.generation = 4;
	assert_int_equal(ownership_compose(&b.own, &b.write, &first, &err), 0);
	assert_non_null(strstr(first.body, "\"uid\":\"u-1\""));
	assert_null(strstr(first.body, "\"resourceVersion\""));
	assert_int_equal(first.generation, 5);
	/* Only the metadata differs from what is there. */
	b.write.spec_hash = first.spec_hash;
	assert_int_equal(ownership_compose(&b.own, &b.write, &second, &err), 0);
	assert_int_equal(second.generation, 4);
	b.write.counted = false;
	word_hashes_release(&second.words);
	free(second.body);
	assert_int_equal(ownership_compose(&b.own, &b.write, &second, &err), 0);
	assert_int_equal(second.generation, 0);
	free(first.body);
	free(second.body);
	word_hashes_release(&first.words);
	word_hashes_release(&second.words);
}

/* Wherever the metadata is, and whatever looks like it: the rest goes out as it is, and is hashed. */
static void a_body_is_kept_around_its_metadata(void **state UNUSED)
{
	static const char meta[] = "\"metadata\":{\"name\":\"a\"}";
	static const struct {
		const char *before, *after, *rest;
	} cases[] = {
		{ "{", ",\"spec\":{}}", "{\"spec\":{}}" },
		{ "{\"a\":1,", "}", "{\"a\":1}" },
		{ "{\"a\":1,", ",\"z\":[2]}", "{\"a\":1,\"z\":[2]}" },
		{ "{\"data\":{\"metadata\":{\"x\":\"}\"}},", ",\"z\":\"\"}",
			"{\"data\":{\"metadata\":{\"x\":\"}\"}},\"z\":\"\"}" },
		{ "{\"data\":\"\\\"metadata\\\":{\",\"l\":[[],{}],", "}",
			"{\"data\":\"\\\"metadata\\\":{\",\"l\":[[],{}]}" },
	};
	cleanup_bench struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text =
			xasprintf("%s%s%s", cases[i].before, meta, cases[i].after);
		struct ownership_text got;
		struct err err = ERR_INIT;

		b.write.body = text;
		assert_int_equal(ownership_compose(&b.own, &b.write, &got, &err), 0);
		assert_true(str_starts(got.body, cases[i].before));
		assert_true(str_ends(got.body, cases[i].after));
		assert_non_null(strstr(got.body, "\"name\":\"a\",\"resourceVersion\":\"1\""));
		assert_true(got.spec_hash == XXH3_64bits(cases[i].rest, strlen(cases[i].rest)));
		free(got.body);
		word_hashes_release(&got.words);
	}
}

static void what_is_taken_over_must_be_as_it_was_seen(void **state UNUSED)
{
	struct bench b cleanup_bench;
	struct ownership_text text;
	struct err err = ERR_INIT;

	bench_open(&b);
	b.write.uid = "u-1";
	b.write.version = "17";
	b.write.generation = 3;
	assert_int_equal(ownership_compose(&b.own, &b.write, &text, &err), 0);
	assert_non_null(strstr(text.body, "\"uid\":\"u-1\""));
	assert_non_null(strstr(text.body, "\"resourceVersion\":\"17\""));
	assert_int_equal(text.generation, 4);
	free(text.body);
	word_hashes_release(&text.words);
}

static void what_was_applied_is_read_back(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	cleanup_jv jv object = applied(&b, 1);
	struct live l = read_back(&b, object);
	struct word_hashes wanted = ownership_words(&b.own, body, "dc1", "a");

	assert_true(l.ours && l.marked && l.labelled);
	assert_false(l.dying || l.has_owner || l.hands_off);
	assert_string_equal(l.source, "dc1");
	assert_string_equal(l.key, "a");
	assert_true(l.body_hash == b.write.hash);
	assert_int_equal(l.applied_generation, 1);
	assert_int_equal(l.generation, 1);
	assert_true(word_hashes_within(&wanted, &l.words));
	word_hashes_release(&wanted);
	live_release(&l);
}

static void what_others_add_is_no_difference_what_they_change_is(void **state UNUSED)
{
	static const struct {
		const char *map, *name, *value;
		bool within;
	} cases[] = {
		{ "labels", "theirs", "x", true },
		{ "annotations", "theirs", "x", true },
		{ "labels", "app", "b", false },
		{ "labels", "app", NULL, false },
		{ "annotations", "meshpipe.io/key", "dc1/b", false },
		{ "labels", OWNERSHIP_LABEL, NULL, false },
	};
	cleanup_bench struct bench b;

	bench_open(&b);
	struct word_hashes wanted = ownership_words(&b.own, body, "dc1", "a");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_jv jv object = applied(&b, 1);
		struct live l;

		edit(&object, cases[i].map, cases[i].name, cases[i].value);
		l = read_back(&b, object);
		if (word_hashes_within(&wanted, &l.words) != cases[i].within)
			fail_msg("%s %s", cases[i].map, cases[i].name);
		live_release(&l);
	}
	word_hashes_release(&wanted);
}

static void a_mark_that_does_not_name_its_object_is_none(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	cleanup_jv jv copy = applied(&b, 1);
	cleanup_jv jv other_key = applied(&b, 1);
	cleanup_jv jv damaged = applied(&b, 1);
	struct live l;

	rename_to(&copy, "other", "a");
	l = read_back(&b, copy);
	assert_true(l.labelled);
	assert_false(l.ours || l.marked);
	live_release(&l);

	edit(&other_key, "annotations", "meshpipe.io/key", "dc1/b");
	l = read_back(&b, other_key);
	assert_false(l.ours || l.marked);
	live_release(&l);

	edit(&damaged, "annotations", "meshpipe.io/applied", "1.xyz");
	l = read_back(&b, damaged);
	assert_false(l.ours || l.marked);
	live_release(&l);
}

/* As if that field manager had applied it. */
static void manage(jv *object, const char *manager)
{
	jv metadata = jvx_get(*object, "metadata"), fields = jv_array(), entry = jv_object();

	jvx_set_str(&entry, "manager", manager);
	jvx_set_str(&entry, "operation", "Apply");
	jvx_append(&fields, entry);
	jvx_set(&metadata, "managedFields", fields);
	jvx_set(object, "metadata", metadata);
}

static void our_field_manager_shows_that_it_is_ours(void **state UNUSED)
{
	cleanup_bench struct bench b;
	cleanup_jv jv object = jv_invalid();
	struct live l;

	bench_open(&b);
	object = applied(&b, 1);
	edit(&object, "annotations", "meshpipe.io/applied", NULL);
	manage(&object, "meshpipe-meshpipe");
	l = read_back(&b, object);
	assert_true(l.ours);
	assert_false(l.marked);
	live_release(&l);
}

/* It has the same field manager, but not the same id. */
static void a_set_of_the_same_name_elsewhere_is_not_ours(void **state UNUSED)
{
	cleanup_bench struct bench b;
	cleanup_jv jv object = jv_invalid();
	struct ownership other;
	struct live l;

	bench_open(&b);
	object = applied(&b, 1);
	edit(&object, "annotations", "meshpipe.io/applied", NULL);
	manage(&object, "meshpipe-meshpipe");
	ownership_init(&other, "meshpipe", "elsewhere");
	assert_true(ownership_read(&other, "networking.istio.io", "ServiceEntry", object, &l));
	assert_false(l.ours || l.marked || l.labelled);
	live_release(&l);
	/* Without any label only the manager is left to tell. */
	edit(&object, "labels", OWNERSHIP_LABEL, NULL);
	assert_true(ownership_read(&b.own, "networking.istio.io", "ServiceEntry", object, &l));
	assert_true(l.ours);
	live_release(&l);
	ownership_release(&other);
}

static void another_set_is_not_ours(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	cleanup_jv jv object = applied(&b, 1);
	struct ownership other;
	struct live l;

	ownership_init(&other, "second", "mesh");
	assert_true(ownership_read(&other, "networking.istio.io", "ServiceEntry", object, &l));
	assert_false(l.ours || l.marked || l.labelled);
	live_release(&l);
	ownership_release(&other);
}

static void a_source_with_slashes_comes_back(void **state UNUSED)
{
	static const char *const pairs[][2] = {
		{ "dc1/ns/part", "a/b" },
		{ "100%", "%2F" },
		{ "dc1", "a/../b" },
		{ "%", "" },
	};
	cleanup_bench struct bench b;

	bench_open(&b);

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		cleanup_jv jv object = jv_invalid();
		struct live l;

		b.write.source = pairs[i][0];
		b.write.key = pairs[i][1];
		object = applied(&b, 1);
		l = read_back(&b, object);
		assert_true(l.marked);
		assert_string_equal(l.source, pairs[i][0]);
		assert_string_equal(l.key, pairs[i][1]);
		live_release(&l);
	}
}

static void what_has_no_uid_is_no_object(void **state UNUSED)
{
	cleanup_bench struct bench b;

	bench_open(&b);
	struct err err = ERR_INIT;
	cleanup_jv jv object = jvx_parse("{\"metadata\":{\"name\":\"a\"}}", 25, &err);
	struct live l;

	assert_false(ownership_read(&b.own, "", "ConfigMap", object, &l));
	assert_false(ownership_read(&b.own, "", "ConfigMap", jv_null(), &l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_id_is_that_of_the_kep),
		cmocka_unit_test(a_new_object_is_created_and_nothing_else),
		cmocka_unit_test(a_known_object_is_named_by_its_uid),
		cmocka_unit_test(a_body_is_kept_around_its_metadata),
		cmocka_unit_test(what_is_taken_over_must_be_as_it_was_seen),
		cmocka_unit_test(what_was_applied_is_read_back),
		cmocka_unit_test(what_others_add_is_no_difference_what_they_change_is),
		cmocka_unit_test(a_mark_that_does_not_name_its_object_is_none),
		cmocka_unit_test(our_field_manager_shows_that_it_is_ours),
		cmocka_unit_test(another_set_is_not_ours),
		cmocka_unit_test(a_set_of_the_same_name_elsewhere_is_not_ours),
		cmocka_unit_test(a_source_with_slashes_comes_back),
		cmocka_unit_test(what_has_no_uid_is_no_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
