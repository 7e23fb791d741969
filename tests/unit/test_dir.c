/* Files and what is in them, and what others do to them. */
#include "tests/unit/dir_bench.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
