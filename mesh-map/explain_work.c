#include "mesh-map/explain_work.h"

#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "mesh-map/config.h"
#include "mesh-map/filters.h"
#include "mesh-map/isolate.h"
#include "mesh-map/snippet.h"

#define MAX_SAID_BYTES (16u << 20)

/* What the module meshpipe.jq, or the user's own in its place, knows of the record. */
static const char question[] =
	"import \"meshpipe\" as m;"
	"m::settings($config) as $set"
	"| m::defaults as $defaults"
	"| { settings: ($set | del(.services) | with_entries(select(.value != $defaults[.key]))),"
	"    left_out: [ m::all_judged($set)[] | select(.leftOut != null)"
	"                | {id, node, why: .leftOut} ] }";

struct job {
	struct mapping *mapping;
	const struct mapping_options *options;
	jv record;
	int said_fd; /* takes the place of stderr */
};

static jv run_mapping(void *arg)
{
	const struct job *job = arg;
	cleanup_jv jv answer = jv_object();
	cleanup_free char *problem = NULL;
	int64_t start_ms;

	if (job->said_fd >= 0 && dup2(job->said_fd, STDERR_FILENO) >= 0) {
		log_init("mesh-map");
		(void)!log_set_level("debug");
		(void)!log_set_format("json");
	}
	start_ms = steady_ms();
	jvx_set(&answer, "record", mapping_run(job->mapping, job->record, &problem));
	jvx_set(&answer, "ms", jv_number((double)(steady_ms() - start_ms)));
	if (problem != NULL)
		jvx_set_str(&answer, "problem", problem);
	return jvx_take(&answer);
}

/* Log lines to what the programs said in them. */
static jv read_said(int fd)
{
	cleanup_free char *path = xasprintf("/proc/self/fd/%d", fd);
	cleanup_free char *text = fd >= 0 ? read_whole_file(path, MAX_SAID_BYTES, NULL) : NULL;
	cleanup_jv jv said = jv_array();

	for (const char *at = text; at != NULL && *at != '\0'; at += strcspn(at, "\n")) {
		struct err none = ERR_INIT;
		cleanup_jv jv line = jv_invalid();
		cleanup_jv jv value = jv_invalid();

		at += *at == '\n';
		line = jvx_parse(at, strcspn(at, "\n"), &none);
		value = jvx_get(line, "value");
		if (!jv_is_valid(value)) {
			jv_free(value);
			value = jvx_get(line, "text");
		}
		if (jvx_is(value, JV_KIND_STRING))
			jvx_append(&said, jv_copy(value));
	}
	return jvx_take(&said);
}

static void map(const struct job *given, int64_t timeout_ms, struct explanation *ret)
{
	cleanup_close int said_fd = memfd_create("said", MFD_CLOEXEC);
	struct job job = *given;
	struct err err = ERR_INIT;
	cleanup_jv jv answer = jv_invalid();

	job.said_fd = said_fd;
	answer = isolate_run(run_mapping, &job, timeout_ms, &err);
	ret->said = read_said(said_fd);
	ret->result = jvx_get(answer, "record");
	ret->ms = (int64_t)jvx_num_field(answer, "ms", 0);
	ret->problem = jv_is_valid(answer) ? jvx_dup_field(answer, "problem") : xstrdup(err.msg);
}

static jv ask_module(void *arg)
{
	const struct job *job = arg;
	const struct mapping_options *o = job->options;
	struct err err = ERR_INIT;
	cleanup_free char *shipped = filters_dir(&err);
	cleanup_free char *first = filters_find(
		o->n_programs > 0 ? o->programs[0] : FILTERS_DEFAULT, shipped ? shipped : ".");
	cleanup_jv jv config = config_load(o->config, &err);
	cleanup_jv jv answer = jv_object();
	cleanup_jv jv outputs = jv_invalid();
	struct program *p = NULL;

	if (jv_is_valid(config))
		p = snippet_open(question, first, o, config, &err);
	if (p != NULL)
		outputs = program_run(p, job->record, &err);
	program_close(p);
	if (jv_is_valid(outputs))
		jvx_set(&answer, "module", jvx_at(outputs, 0));
	else
		jvx_set_str(&answer, "problem", err.msg);
	return jvx_take(&answer);
}

static void ask(struct job *job, int64_t timeout_ms, struct explanation *ret)
{
	struct err err = ERR_INIT;
	cleanup_jv jv answer = isolate_run(ask_module, job, timeout_ms, &err);

	ret->module = jvx_get(answer, "module");
	ret->module_problem =
		jv_is_valid(answer) ? jvx_dup_field(answer, "problem") : xstrdup(err.msg);
}

void explain_work(struct mapping *m, const struct mapping_options *options, jv record,
	int64_t timeout_ms, struct explanation *ret)
{
	struct job job = { m, options, record, -1 };

	map(&job, timeout_ms, ret);
	ask(&job, timeout_ms, ret);
}

void explanation_release(struct explanation *e)
{
	jv_free(e->result);
	jv_free(e->said);
	jv_free(e->module);
	free(e->problem);
	free(e->module_problem);
}
