/*
 * mesh-map explain: what becomes of a service in a recorded stream, and why.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/opt.h"
#include "mesh-map/commands.h"
#include "mesh-map/explain_find.h"
#include "mesh-map/explain_print.h"
#include "mesh-map/isolate.h"
#include "mesh-map/near.h"

static struct {
	struct opt_list programs;
	struct opt_list lib_dirs;
	const char *config;
	int64_t timeout_ms;
	bool no_validate;
	bool trace;
} arg = { .timeout_ms = ISOLATE_TIMEOUT_MS };

static const struct opt opts[] = {
	{ OPT_LIST, 'f', "program", &arg.programs, "FILE", NULL,
		"a mapping program; several add up (default: workload-entries.jq)", 0 },
	{ OPT_STR, 0, "config", &arg.config, "FILE", NULL,
		"YAML file that programs know as $config", 0 },
	{ OPT_LIST, 'L', "library", &arg.lib_dirs, "DIR", NULL,
		"where programs' modules are looked for first; may be repeated", 0 },
	{ OPT_FLAG, 0, "no-validate", &arg.no_validate, NULL, NULL,
		"do not check objects by the rules of Istio and Kubernetes", 0 },
	{ OPT_DURATION, 0, "timeout", &arg.timeout_ms, "DURATION", NULL,
		"how long the programs may take (5s)", 0 },
	{ OPT_FLAG, 0, "trace", &arg.trace, NULL, NULL,
		"show how long it took, and what programs said with debug and stderr", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "mesh-map explain",
	.summary = "Says what becomes of a service in recorded records, and why.",
	.synopsis = "[options] SERVICE | SOURCE/SERVICE [FILE]",
	.epilogue = "Examples:\n"
		    "  consul-watch --once >records.ndjson; mesh-map explain web records.ndjson\n"
		    "  mesh-map explain -f mine.jq --trace dc1/web <records.ndjson\n",
	.opts = opts,
};

/* False when the service would not get all that it should have. */
static bool explain(struct mapping *m, const struct mapping_options *options, jv entry)
{
	cleanup_jv jv record = jvx_get(entry, "record");
	long long line = (long long)jvx_num_field(entry, "line", 0);
	struct explanation e;
	bool good;

	if (jvx_field_is(record, "type", "gone")) {
		explain_print_gone(record, line);
		return true;
	}
	explain_work(m, options, record, arg.timeout_ms, &e);
	explain_print(record, line, &e, arg.trace);
	good = e.problem == NULL;
	explanation_release(&e);
	return good;
}

static int not_found(const struct found *f, const char *file, struct err *err)
{
	cleanup_free char *near = near_names(f->wanted, f->names);

	if (jvx_length(f->names) == 0)
		return err_set(err, EXIT_SOME_FAILED,
			"%s holds no records of services (consul-watch writes them)", file);
	return err_set(err, EXIT_SOME_FAILED, "%s holds no service '%s'%s%s", file, f->wanted,
		*near != '\0' ? "; there is: " : "", near);
}

static int explain_all(
	const struct mapping_options *options, const struct found *f, struct err *err)
{
	struct mapping *m = mapping_open(options, err);
	cleanup_jv jv subjects = jvx_keys(f->records);
	bool good = f->dropped == 0;

	if (m == NULL)
		return -1;
	for (int i = 0; i < jvx_length(subjects); i++) {
		cleanup_jv jv subject = jvx_at(subjects, i);
		cleanup_jv jv entry = jvx_get(f->records, jv_string_value(subject));

		if (i > 0)
			printf("---\n");
		good = explain(m, options, entry) && good;
	}
	mapping_close(m);
	/* Said already. */
	if (!good)
		err->status = EXIT_SOME_FAILED;
	return 0;
}

static int run(const char *service, const char *file, struct err *err)
{
	const struct mapping_options options = {
		.programs = arg.programs.item,
		.n_programs = arg.programs.count,
		.lib_dirs = arg.lib_dirs.item,
		.n_lib_dirs = arg.lib_dirs.count,
		.config = arg.config,
		.no_validate = arg.no_validate,
	};
	bool from_stdin = file == NULL || strcmp(file, "-") == 0;
	cleanup_close int opened = from_stdin ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	cleanup_free char *name = from_stdin ? xstrdup("the input") : xasprintf("'%s'", file);
	struct found found;
	int rc;

	if (!from_stdin && opened < 0)
		return err_errno(err, EXIT_CONFIG, "cannot read '%s'", file);
	rc = explain_find(from_stdin ? STDIN_FILENO : opened, service, &found, err);
	if (rc == 0 && jvx_length(found.records) == 0)
		rc = not_found(&found, name, err);
	else if (rc == 0)
		rc = explain_all(&options, &found, err);
	found_release(&found);
	return rc;
}

static int parse(int argc, char **argv, struct err *err)
{
	int first = opt_parse(&program, argc, argv, err);

	if (first < 0)
		return -1;
	if (first == argc)
		return err_set(err, EXIT_USAGE, "which service? (see --help)");
	if (argc - first > 2)
		return err_set(err, EXIT_USAGE, "unexpected argument '%s'", argv[first + 2]);
	return first;
}

int command_explain(int argc, char **argv, struct err *err)
{
	int first = parse(argc, argv, err);
	int rc = first < 0 ? -1 : run(argv[first], argv[first + 1], err);

	opt_list_release(&arg.programs);
	opt_list_release(&arg.lib_dirs);
	return rc;
}
