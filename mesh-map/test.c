/*
 * mesh-map test: runs *.test files.
 */
#include <string.h>

#include "lib/log.h"
#include "lib/opt.h"
#include "mesh-map/commands.h"
#include "mesh-map/config.h"
#include "mesh-map/isolate.h"
#include "mesh-map/test_find.h"
#include "mesh-map/test_report.h"

static struct {
	struct opt_list lib_dirs;
	const char *config;
	int64_t timeout_ms;
	bool accept;
} arg = { .timeout_ms = ISOLATE_TIMEOUT_MS };

static const struct opt opts[] = {
	{ OPT_LIST, 'L', "library", &arg.lib_dirs, "DIR", NULL,
		"where modules are looked for first; may be repeated", 0 },
	{ OPT_STR, 0, "config", &arg.config, "FILE", NULL,
		"YAML file that is $config where a test names none", 0 },
	{ OPT_DURATION, 0, "timeout", &arg.timeout_ms, "DURATION", NULL,
		"how long a test may take (5s)", 0 },
	{ OPT_FLAG, 0, "accept", &arg.accept, NULL, NULL,
		"write what whole programs make now into the files", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "mesh-map test",
	.summary = "Runs tests of mapping programs and of the functions that they use.",
	.synopsis = "[options] [FILE | DIR]...",
	.epilogue = "Examples:\n"
		    "  mesh-map test              every *.test file below this directory\n"
		    "  mesh-map test --accept     take what comes out as right; read the diff\n",
	.opts = opts,
};

/* All that is run. */
struct session {
	struct mapping_options options;
	struct test_counts counts;
	unsigned broken_files;
	enum exit_status worst;
};

static void accept(struct test *t, struct test_outcome *o, struct test_counts *counts)
{
	t->accepted = jv_copy(o->outputs);
	counts->accepted++;
}

/* True when nothing but the objects differs from what is expected. */
static bool can_accept(const struct test *t, const struct test_outcome *o)
{
	return arg.accept && t->kind == TEST_PROGRAM && jvx_length(o->problems) == 0;
}

static void run_tests(struct session *s, struct test_file *f, struct test_outcome *outcomes,
	struct test_counts *counts)
{
	for (size_t i = 0; i < f->n_tests; i++) {
		struct test_outcome *o = &outcomes[i];

		test_run(f, f->tests[i], &s->options, arg.timeout_ms, o);
		if (o->passed)
			counts->passed++;
		else if (can_accept(f->tests[i], o))
			accept(f->tests[i], o, counts);
		else
			counts->failed++;
	}
}

static void report(
	const struct test_file *f, struct test_outcome *outcomes, const struct test_counts *counts)
{
	test_report_file(f->name, counts);
	for (size_t i = 0; i < f->n_tests; i++) {
		if (!outcomes[i].passed && !jv_is_valid(f->tests[i]->accepted))
			test_report_failure(f, f->tests[i], &outcomes[i]);
		test_outcome_release(&outcomes[i]);
	}
	fflush(stdout);
}

static void add_counts(struct test_counts *to, const struct test_counts *c)
{
	to->passed += c->passed;
	to->failed += c->failed;
	to->accepted += c->accepted;
}

static int run_file(struct session *s, const char *path, struct err *err)
{
	struct test_file *f = test_file_read(path, err);
	cleanup_free struct test_outcome *outcomes = NULL;
	struct test_counts counts = { .passed = 0 };
	int rc = 0;

	if (f == NULL)
		return -1;
	outcomes = xcalloc(f->n_tests + 1, sizeof(*outcomes));
	run_tests(s, f, outcomes, &counts);
	report(f, outcomes, &counts);
	add_counts(&s->counts, &counts);
	if (counts.accepted > 0)
		rc = test_file_write(f, err);
	test_file_close(f);
	return rc;
}

/* One that cannot be read or written does not keep the others from being run. */
static void run_all(struct session *s, jv paths)
{
	for (int i = 0; i < jvx_length(paths); i++) {
		cleanup_jv jv path = jvx_at(paths, i);
		struct err err = ERR_INIT;

		if (run_file(s, jvx_str(path, ""), &err) == 0)
			continue;
		log_error("not run", "error", err.msg);
		s->broken_files++;
		if (err.status > s->worst)
			s->worst = err.status;
	}
}

static int find_all(int n, char **paths, jv *ret, struct err *err)
{
	for (int i = 0; i < n; i++)
		if (test_find(paths[i], ret, err) < 0)
			return -1;
	if (n == 0 && test_find(".", ret, err) < 0)
		return -1;
	if (jvx_length(*ret) > 0)
		return 0;
	return err_set(err, EXIT_BAD_INPUT, "no *.test file in '%s'%s", n > 0 ? paths[0] : ".",
		n > 1 ? " and the others" : "");
}

static int run(int n, char **names, struct err *err)
{
	struct session s = {
		.options = {
			.lib_dirs = arg.lib_dirs.item,
			.n_lib_dirs = arg.lib_dirs.count,
			.config = arg.config,
		},
	};
	cleanup_jv jv paths = jv_array();
	cleanup_jv jv config = config_load(arg.config, err);

	if (!jv_is_valid(config) || find_all(n, names, &paths, err) < 0)
		return -1;
	run_all(&s, paths);
	if (s.broken_files == 0 && s.counts.passed + s.counts.failed + s.counts.accepted == 0)
		return err_set(err, EXIT_BAD_INPUT, "there is no test in the files");
	test_report_all(&s.counts, s.broken_files);
	/* Said already. */
	if (s.broken_files > 0)
		err->status = s.worst;
	else if (s.counts.failed > 0)
		err->status = EXIT_SOME_FAILED;
	return 0;
}

int command_test(int argc, char **argv, struct err *err)
{
	int first = opt_parse(&program, argc, argv, err);
	int rc = first < 0 ? -1 : run(argc - first, argv + first, err);

	opt_list_release(&arg.lib_dirs);
	return rc;
}
