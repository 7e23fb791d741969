/*
 * Any bytes as a line of input of mesh-map, through the default program as in production.
 *
 * Whatever the bytes: they are no record, or their record becomes an `apply` or a `keep` of the
 * same source and key, with one line of what is wrong where something is; its objects have names,
 * each its own; the order of the instances makes no difference; and a sound record after them is
 * mapped as if nothing had been.
 */
#include <string.h>

#include "mesh-map/mapping.h"
#include "mesh-map/product.h"
#include "tests/fuzz/fuzz.h"

#define PROGRAM "mesh-map/filters/workload-entries.jq"

#define SOUND                                                                                      \
	"{\"type\":\"service\",\"source\":\"s\",\"service\":\"sound\",\"instances\":[{\"id\":"     \
	"\"a\",\"uid\":\"1\",\"node\":\"n\",\"address\":\"10.0.0.1\",\"port\":80}]}"

char fuzz_outcome[600];

static struct mapping *mapping;

static void open_mapping(void)
{
	static const char *const program = PROGRAM;
	const struct mapping_options options = { .programs = &program, .n_programs = 1 };
	struct err err = ERR_INIT;

	if (mapping != NULL)
		return;
	mapping = mapping_open(&options, &err);
	MUST(mapping != NULL, "%s", err.msg);
}

static void check_objects(jv answer)
{
	cleanup_jv jv objects = jvx_get(answer, "objects");
	cleanup_jv jv seen = jv_object();

	MUST(jvx_is(objects, JV_KIND_ARRAY), "no objects");
	for (int i = 0; i < jvx_length(objects); i++) {
		cleanup_jv jv object = jvx_at(objects, i);
		struct err err = ERR_INIT;
		cleanup_free char *identity = product_identity(object, &err);
		cleanup_jv jv before = jv_invalid();

		MUST(identity != NULL, "object %d: %s", i, err.msg);
		before = jvx_get(seen, identity);
		MUST(!jv_is_valid(before), "'%s' twice", identity);
		jvx_set(&seen, identity, jv_true());
	}
}

static void check_keep(jv answer, const char *problem)
{
	cleanup_jv jv keep = jvx_get(answer, "keep");

	MUST(jvx_is(keep, JV_KIND_ARRAY), "no list of what is kept");
	MUST((jvx_length(keep) > 0) == (problem != NULL), "problem: %s",
		problem != NULL ? problem : "none");
}

static void check_answer(jv record, jv answer, const char *problem)
{
	static const char *const pairs[][2] = { { "source", "source" }, { "service", "key" } };
	bool is_apply = jvx_field_is(answer, "type", "apply");

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		cleanup_jv jv before = jvx_get(record, pairs[i][0]);
		cleanup_jv jv after = jvx_get(answer, pairs[i][1]);

		MUST(jv_equal(jv_copy(before), jv_copy(after)), "another %s", pairs[i][1]);
	}
	MUST(is_apply || jvx_field_is(answer, "type", "keep"), "neither apply nor keep");
	MUST(is_apply || (problem != NULL && *problem != '\0'), "no reason");
	MUST(problem == NULL || strchr(problem, '\n') == NULL, "lines: '%s'", problem);
	if (is_apply) {
		check_objects(answer);
		check_keep(answer, problem);
	}
}

/* The answer, as text. */
static char *map(jv record)
{
	cleanup_free char *problem = NULL;
	cleanup_jv jv answer = mapping_run(mapping, record, &problem);

	check_answer(record, answer, problem);
	return jvx_dump(answer);
}

static void check_other_order(jv record, const char *text)
{
	cleanup_jv jv instances = jvx_get(record, "instances");
	cleanup_jv jv back = jv_array();
	cleanup_jv jv other = jv_copy(record);
	cleanup_free char *again = NULL;

	if (!jvx_is(instances, JV_KIND_ARRAY))
		return;
	for (int i = jvx_length(instances) - 1; i >= 0; i--)
		jvx_append(&back, jvx_at(instances, i));
	jvx_set(&other, "instances", jv_copy(back));
	again = map(other);
	MUST(strcmp(text, again) == 0, "another order of instances:\n%s\n%s", text, again);
}

static void check_sound(void)
{
	static char *first;
	struct err err = ERR_INIT;
	cleanup_jv jv record = jvx_parse(SOUND, strlen(SOUND), &err);
	cleanup_free char *text = map(record);

	if (first == NULL)
		first = xstrdup(text);
	MUST(strstr(text, "\"WorkloadEntry\"") != NULL, "the sound record became %s", text);
	MUST(strcmp(first, text) == 0, "the sound record became\n%s\nafter\n%s", text, first);
}

static bool is_service(jv record)
{
	cleanup_jv jv source = jvx_get(record, "source");
	cleanup_jv jv service = jvx_get(record, "service");

	return jvx_field_is(record, "type", "service") && jvx_is(source, JV_KIND_STRING) &&
	       jvx_is(service, JV_KIND_STRING);
}

static void run(jv record)
{
	cleanup_free char *text = map(record);

	check_other_order(record, text);
	check_sound();
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%.590s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_jv jv record = jv_invalid();

	fuzz_leaks_begin();
	open_mapping();
	record = jvx_parse((const char *)data, size, &err);
	if (is_service(record))
		run(record);
	else
		snprintf(fuzz_outcome, sizeof(fuzz_outcome), "no record");
	fuzz_leaks_end();
	return 0;
}
