#include "mesh-map/mapping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "mesh-map/filters.h"

static char dir[] = "/tmp/meshpipe-test-XXXXXX";
static const char *const files[] = { "a.jq", "b.jq", "c.yaml" };

#define RECORD                                                                                     \
	"{\"type\":\"service\",\"source\":\"dc1\",\"service\":\"web\",\"index\":\"7\",\"at\":5,"   \
	"\"new\":true,\"instances\":[],\"last\":{\"port\":1}}"
#define OBJECT(name) "{apiVersion: \"v1\", kind: \"A\", metadata: {name: \"" name "\"}}"

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static int make_dir(void **state UNUSED)
{
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = path_of(files[i]);

		unlink(path);
	}
	return rmdir(dir);
}

static void write_file(const char *name, const char *text)
{
	cleanup_free char *path = path_of(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* With the programs a.jq and, unless NULL, b.jq. */
static struct mapping *open_texts(const char *a, const char *b, struct err *err)
{
	cleanup_free char *path_a = path_of("a.jq");
	cleanup_free char *path_b = path_of("b.jq");
	const char *programs[] = { path_a, path_b };
	const struct mapping_options options = {
		.programs = programs,
		.n_programs = b != NULL ? 2 : 1,
	};

	write_file("a.jq", a);
	if (b != NULL)
		write_file("b.jq", b);
	return mapping_open(&options, err);
}

/* The record that RECORD becomes, without the directory's name in it. Caller frees. */
static char *map_record(struct mapping *m, char **ret_problem)
{
	cleanup_jv jv record = jv_parse(RECORD);
	cleanup_jv jv answer = mapping_run(m, record, ret_problem);
	char *text = jvx_dump(answer);
	char *at;

	while ((at = strstr(text, dir)) != NULL)
		memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
	return text;
}

static void assert_maps(const char *a, const char *b, const char *expected, const char *problem)
{
	struct err err = ERR_INIT;
	struct mapping *m = open_texts(a, b, &err);
	cleanup_free char *said = NULL;
	cleanup_free char *got = NULL;

	assert_non_null(m);
	got = map_record(m, &said);
	assert_string_equal(got, expected);
	if (problem == NULL)
		assert_null(said);
	else
		assert_non_null(strstr(said, problem));
	mapping_close(m);
}

static void outputs_become_an_apply(void **state UNUSED)
{
	assert_maps("empty", NULL,
		"{\"at\":5,\"keep\":[],\"key\":\"web\",\"new\":true,\"objects\":[],"
		"\"source\":\"dc1\",\"type\":\"apply\"}",
		NULL);
	assert_maps(OBJECT("x"), OBJECT("y"),
		"{\"at\":5,\"keep\":[],\"key\":\"web\",\"new\":true,\"objects\":["
		"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"x\"}},"
		"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"y\"}}],"
		"\"source\":\"dc1\",\"type\":\"apply\"}",
		NULL);
}

static void a_failure_of_any_program_keeps_the_service(void **state UNUSED)
{
	assert_maps(OBJECT("x"), "error(\"why\")",
		"{\"error\":\"b.jq: why\",\"key\":\"web\",\"new\":true,\"source\":\"dc1\","
		"\"type\":\"keep\"}",
		"/b.jq: why");
	assert_maps("1", NULL,
		"{\"error\":\"a.jq: the program made a number, not a Kubernetes object\","
		"\"key\":\"web\",\"new\":true,\"source\":\"dc1\",\"type\":\"keep\"}",
		"/a.jq: the program made a number");
}

static void one_identity_from_two_programs_keeps_the_service(void **state UNUSED)
{
	assert_maps(OBJECT("x"), OBJECT("x"),
		"{\"error\":\"b.jq: two objects with the one identity '/A//x'\",\"key\":\"web\","
		"\"new\":true,\"source\":\"dc1\",\"type\":\"keep\"}",
		"two objects");
}

static void a_bad_object_is_kept_among_good_ones(void **state UNUSED)
{
	assert_maps(OBJECT("x"), OBJECT("..") ", " OBJECT("y"),
		"{\"at\":5,\"keep\":[{\"apiVersion\":\"v1\",\"error\":\"metadata.name is "
		"not a valid name\",\"kind\":\"A\",\"name\":\"..\"}],\"key\":\"web\",\"new\":true,"
		"\"objects\":[{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"x\"}},"
		"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"y\"}}],"
		"\"source\":\"dc1\",\"type\":\"apply\"}",
		"/b.jq: A '..': metadata.name is not a valid name");
}

static void gone_is_an_apply_of_nothing(void **state UNUSED)
{
	cleanup_jv jv gone = jv_parse("{\"type\":\"gone\",\"source\":\"dc1\",\"service\":\"web\"}");
	cleanup_jv jv answer = mapping_gone(gone);
	cleanup_free char *text = jvx_dump(answer);

	assert_string_equal(text, "{\"keep\":[],\"key\":\"web\",\"objects\":[],\"source\":\"dc1\","
				  "\"type\":\"apply\"}");
}

static void a_configuration_is_one_mapping(void **state UNUSED)
{
	static const struct {
		const char *yaml, *got; /* NULL: refused */
	} rows[] = {
		{ "", "{}" },
		{ "# nothing\n", "{}" },
		{ "---\n", "{}" },
		{ "null\n", "{}" },
		{ "custom: {b: no}\n", "{\"custom\":{\"b\":\"no\"}}" },
		{ "{\"custom\": 1}", "{\"custom\":1}" },
		{ "- a\n", NULL },
		{ "text\n", NULL },
		{ "a: 1\n", NULL },
		{ "custom: 1\n---\ncustom: 2\n", NULL },
		{ "custom: 1\ncustom: 2\n", NULL },
		{ "custom: [\n", NULL },
	};
	cleanup_free char *program = path_of("a.jq");
	cleanup_free char *config = path_of("c.yaml");
	const char *programs[] = { program };
	const struct mapping_options options = {
		.programs = programs, .n_programs = 1, .config = config
	};

	write_file("a.jq", OBJECT("x") " + {config: $config}");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *problem = NULL, *got = NULL;
		struct err err = ERR_INIT;
		struct mapping *m;

		write_file("c.yaml", rows[i].yaml);
		m = mapping_open(&options, &err);
		if (rows[i].got == NULL) {
			assert_null(m);
			assert_int_equal(err.status, EXIT_CONFIG);
			assert_non_null(strstr(err.msg, config));
			continue;
		}
		assert_non_null(m);
		got = map_record(m, &problem);
		assert_non_null(strstr(got, rows[i].got));
		mapping_close(m);
	}
}

static void shipped_programs_are_beside_the_running_one(void **state UNUSED)
{
	struct err err = ERR_INIT;
	cleanup_free char *shipped = filters_dir(&err);
	cleanup_free char *in_path = filters_find("./a.jq", dir);
	cleanup_free char *bare = filters_find("a.jq", dir);
	cleanup_free char *nowhere = filters_find("none.jq", dir);

	assert_non_null(shipped);
	assert_true(str_ends(shipped, "/share/meshpipe/filters"));
	assert_string_equal(in_path, "./a.jq");
	assert_true(str_starts(bare, dir));
	assert_string_equal(nowhere, "none.jq");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outputs_become_an_apply),
		cmocka_unit_test(a_failure_of_any_program_keeps_the_service),
		cmocka_unit_test(one_identity_from_two_programs_keeps_the_service),
		cmocka_unit_test(a_bad_object_is_kept_among_good_ones),
		cmocka_unit_test(gone_is_an_apply_of_nothing),
		cmocka_unit_test(a_configuration_is_one_mapping),
		cmocka_unit_test(shipped_programs_are_beside_the_running_one),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
