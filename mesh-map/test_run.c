#include "mesh-map/test_run.h"

#include <string.h>

#include "mesh-map/config.h"
#include "mesh-map/filters.h"
#include "mesh-map/isolate.h"
#include "mesh-map/snippet.h"

/* What a process of its own is given, and what it sends back: {outputs, problems, failed}. */
struct job {
	const struct test_file *file;
	const struct test *test;
	const struct mapping_options *options;
};

static jv make_answer(jv outputs, jv problems)
{
	cleanup_jv jv answer = jv_object();

	if (jv_is_valid(outputs))
		jvx_set(&answer, "outputs", jv_copy(outputs));
	jvx_set(&answer, "problems", jv_copy(problems));
	return jvx_take(&answer);
}

static jv answer_problem(const char *what, const char *why)
{
	cleanup_free char *text = xasprintf("%s%s", what, why);
	cleanup_jv jv problems = jv_array();

	jvx_append(&problems, jv_string(text));
	return make_answer(jv_invalid(), problems);
}

/* The program ended in an error: what it was given is worth a look. */
static jv answer_failed(const char *what, const char *why)
{
	cleanup_jv jv answer = answer_problem(what, why);

	jvx_set(&answer, "failed", jv_true());
	return jvx_take(&answer);
}

/* --- functions */

static bool has_imports(const char *program)
{
	static const char *const words[] = { "import ", "include ", "module " };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (str_starts(program, words[i]))
			return true;
	return false;
}

static struct program *open_function(const struct job *job, struct err *err)
{
	const char *import = has_imports(job->test->program) ? "" : "import \"meshpipe\" as m; ";
	cleanup_free char *text = xasprintf("%s%s", import, job->test->program);
	cleanup_jv jv config = config_load(job->options->config, err);

	if (!jv_is_valid(config))
		return NULL;
	return snippet_open(text, job->file->name, job->options, config, err);
}

static jv run_function(void *arg)
{
	const struct job *job = arg;
	struct err err = ERR_INIT;
	struct program *p = open_function(job, &err);
	cleanup_jv jv outputs = jv_invalid();
	cleanup_jv jv none = jv_array();

	if (p == NULL)
		return answer_problem("does not compile: ", err.msg);
	outputs = program_run(p, job->test->input, &err);
	program_close(p);
	if (!jv_is_valid(outputs))
		return answer_failed("ended in an error: ", err.msg);
	return make_answer(outputs, none);
}

/* --- programs that must not compile */

/* "jq: error: WHAT at <top-level>, line 1:" and what we make of it have WHAT in common. */
static char *essence(const char *message)
{
	static const char *const ends[] = { " (Unix shell quoting issues?)", " at <top-level>" };
	static const char start[] = "jq: error: ";
	char *text = xstrdup(message + (str_starts(message, start) ? strlen(start) : 0));

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		char *end = strstr(text, ends[i]);

		if (end != NULL)
			*end = '\0';
	}
	return text;
}

static jv run_no_compile(void *arg)
{
	const struct job *job = arg;
	struct err err = ERR_INIT;
	struct program *p = open_function(job, &err);
	cleanup_jv jv expected = jvx_at(job->test->expected, 0);
	cleanup_jv jv none = jv_array();
	cleanup_free char *want = essence(jvx_str(expected, ""));
	cleanup_free char *got = essence(err.msg);

	if (p != NULL) {
		program_close(p);
		return answer_problem("compiles, but should not", "");
	}
	if (jv_is_valid(expected) && strcmp(want, got) != 0)
		return answer_problem("does not compile, but for another reason: ", got);
	return make_answer(jv_invalid(), none);
}

/* --- whole programs */

/* The file beside the test; a bare name that is no file there may be a shipped program's. */
static char *resolve(const struct job *job, const char *name, bool may_be_shipped)
{
	cleanup_free char *shipped = NULL, *there = NULL, *here = NULL;
	const char *slash = strrchr(job->file->name, '/');
	struct err none = ERR_INIT;

	if (*name == '/' || slash == NULL)
		here = xstrdup(name);
	else
		here = xasprintf(
			"%.*s%s", (int)(slash - job->file->name + 1), job->file->name, name);
	if (!may_be_shipped || strchr(name, '/') != NULL || access(here, F_OK) == 0)
		return TAKE(here);
	shipped = filters_dir(&none);
	there = xasprintf("%s/%s", shipped != NULL ? shipped : "", name);
	return access(there, F_OK) == 0 ? TAKE(there) : TAKE(here);
}

/* The options of the test, as paths from here; all memory is the process's until its end. */
static struct mapping_options make_options(const struct job *job)
{
	const struct test *t = job->test;
	const struct mapping_options *given = job->options;
	const char **programs = xcalloc(t->programs.count + 1, sizeof(char *));
	const char **dirs = xcalloc(t->lib_dirs.count + given->n_lib_dirs + 1, sizeof(char *));

	for (size_t i = 0; i < t->programs.count; i++)
		programs[i] = resolve(job, t->programs.item[i], true);
	for (size_t i = 0; i < t->lib_dirs.count; i++)
		dirs[i] = resolve(job, t->lib_dirs.item[i], false);
	for (size_t i = 0; i < given->n_lib_dirs; i++)
		dirs[t->lib_dirs.count + i] = given->lib_dirs[i];
	return (struct mapping_options){
		.programs = programs,
		.n_programs = t->programs.count,
		.lib_dirs = dirs,
		.n_lib_dirs = t->lib_dirs.count + given->n_lib_dirs,
		.config = t->config != NULL ? resolve(job, t->config, false) : given->config,
		.no_validate = t->no_validate,
	};
}

/* The entries of `keep`, one line each. */
static jv list_kept(jv record)
{
	cleanup_jv jv keep = jvx_get(record, "keep");
	cleanup_jv jv lines = jv_array();

	for (int i = 0; i < jvx_length(keep); i++) {
		cleanup_jv jv entry = jvx_at(keep, i);
		cleanup_jv jv kind = jvx_get(entry, "kind");
		cleanup_jv jv name = jvx_get(entry, "name");
		cleanup_jv jv error = jvx_get(entry, "error");
		cleanup_free char *line = xasprintf("would not be sent: %s %s: %s",
			jvx_str(kind, "?"), jvx_str(name, "?"), jvx_str(error, "?"));

		jvx_append(&lines, jv_string(line));
	}
	return jvx_take(&lines);
}

static jv run_program(void *arg)
{
	const struct job *job = arg;
	const struct mapping_options options = make_options(job);
	struct err err = ERR_INIT;
	struct mapping *m = mapping_open(&options, &err);
	cleanup_jv jv record = jv_invalid();
	cleanup_jv jv objects = jv_invalid();
	cleanup_jv jv problems = jv_invalid();
	cleanup_free char *problem = NULL;

	if (m == NULL)
		return answer_problem("", err.msg);
	record = mapping_run(m, job->test->input, &problem);
	mapping_close(m);
	if (!jvx_field_is(record, "type", "apply"))
		return answer_failed("", problem != NULL ? problem : "nothing came of it");
	objects = jvx_get(record, "objects");
	problems = list_kept(record);
	return make_answer(objects, problems);
}

/* --- what came of it */

static void judge(const struct test *t, jv answer, struct test_outcome *ret)
{
	cleanup_jv jv failed = jvx_get(answer, "failed");

	ret->problems = jvx_get(answer, "problems");
	ret->outputs = jvx_get(answer, "outputs");
	ret->failed_on_input = jvx_is(failed, JV_KIND_TRUE);
	ret->passed = jvx_length(ret->problems) == 0 &&
		      (!jv_is_valid(ret->outputs) ||
			      jv_equal(jv_copy(ret->outputs), jv_copy(t->expected)));
}

void test_run(const struct test_file *file, const struct test *test,
	const struct mapping_options *options, int64_t timeout_ms, struct test_outcome *ret)
{
	static jv (*const run[])(void *arg) = {
		[TEST_FUNCTION] = run_function,
		[TEST_NO_COMPILE] = run_no_compile,
		[TEST_PROGRAM] = run_program,
	};
	struct job job = { file, test, options };
	struct err err = ERR_INIT;
	cleanup_jv jv answer = isolate_run(run[test->kind], &job, timeout_ms, &err);

	if (!jv_is_valid(answer))
		answer = answer_failed("", err.msg);
	judge(test, answer, ret);
}

void test_outcome_release(struct test_outcome *outcome)
{
	jv_free(outcome->problems);
	jv_free(outcome->outputs);
}
