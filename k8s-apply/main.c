/*
 * k8s-apply: makes a target be what the records on standard input say.
 */
#include <signal.h>
#include <string.h>

#include "k8s-apply/applier.h"
#include "lib/log.h"

static struct applier_config arg = { .set = "meshpipe" };
static const char *output = "", *dry_run = "none";

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "Target" },
	{ OPT_STR, 0, "dir", &arg.dir, "DIR", NULL,
		"directory to write to, one YAML file a key; made if missing", 0 },
	{ OPT_STR, 'n', "namespace", &arg.namespace, "NS", NULL,
		"namespace of objects that have none", 0 },
	{ OPT_STR, 0, "set", &arg.set, "NAME", NULL, "name of the set of objects (meshpipe)", 0 },
	{ OPT_SECTION, .help = "Input and output" },
	{ OPT_LIST, 'f', "filename", &arg.files, "FILE", NULL,
		"records or manifests to read; '-' for standard input (default)", 0 },
	{ OPT_STR, 'o', "output", &output, "FORMAT", NULL,
		"result lines: name, json, or wide (with key, and unchanged ones)", 0 },
	{ OPT_STR, 0, "dry-run", &dry_run, "WHERE", NULL,
		"none (default), or client: say what would be done", 0 },
	{ OPT_FLAG, 0, "once", &arg.once, NULL, NULL, "end at 'synced'", 0 },
	{ OPT_FLAG, 0, "strict", &arg.strict, NULL, NULL,
		"end at the first line that cannot be read", 0 },
	{ OPT_SECTION, .help = "Deletions" },
	{ OPT_FLAG, 0, "accept-scope", &arg.accept_scope, NULL, NULL,
		"a source that speaks of another selection than before is meant to", 0 },
	{ OPT_UINT, 0, "approve-deletes", &arg.approve_deletes, "N", NULL,
		"let deletions go that are held, if they are of at most N keys", 0 },
	{ OPT_LIST, 0, "prune-source", &arg.prune_sources, "NAME", NULL,
		"delete all of a source that is not named any more", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "k8s-apply",
	.summary = "Makes a directory of manifests be what records say, and keeps it so.",
	.synopsis = "--dir DIR [OPTION]...",
	.epilogue = "Examples:\n"
		    "  consul-watch | mesh-map | k8s-apply --dir manifests -n mesh\n"
		    "  k8s-apply --dir manifests -f service.yaml --dry-run=client\n",
	.opts = opts,
};

static int check_arguments(int rest, int argc, char **argv, struct err *err)
{
	if (rest < argc)
		return err_set(
			err, EXIT_USAGE, "unexpected argument '%s' (use -f for files)", argv[rest]);
	if (arg.dir == NULL || *arg.dir == '\0')
		return err_set(err, EXIT_USAGE,
			"--dir DIR is needed (a cluster is no target of this version)");
	if (!report_format_from(output, &arg.format))
		return err_set(err, EXIT_USAGE, "option '--output': '%s' is not name, json or wide",
			output);
	arg.dry_run = strcmp(dry_run, "client") == 0;
	if (!arg.dry_run && strcmp(dry_run, "none") != 0)
		return err_set(
			err, EXIT_USAGE, "option '--dry-run': '%s' is not none or client", dry_run);
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int rest, status = -1;

	hold_std_fds();
	log_init(program.name);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until there is something to load anew */
	rest = opt_parse(&program, argc, argv, &err);
	if (rest >= 0 && check_arguments(rest, argc, argv, &err) == 0)
		status = applier_run(&arg, &err);
	if (status < 0) {
		log_error(err.msg);
		status = err.status;
	}
	opt_list_release(&arg.files);
	opt_list_release(&arg.prune_sources);
	return status;
}
