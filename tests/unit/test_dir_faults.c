/* Names, a second writer, disks that do not take it, processes that are killed, a person's words. */
#include "tests/unit/dir_bench.h"

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
	const struct dir_config reading = {
		.path = b->path, .set = "meshpipe", .use = TARGET_READ
	};
	const struct target_handler handler = {
		.on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning,
		.arg = b,
	};
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
	const struct target_handler handler = {
		.on_found = on_found,
		.on_lost = on_lost,
		.on_source = on_source,
		.on_done = on_done,
		.on_warning = on_warning,
		.arg = b,
	};

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
