/*
 * k8s-apply: makes a target be what the records on standard input say.
 */
#include <signal.h>
#include <string.h>

#include "k8s-apply/applier.h"
#include "lib/log.h"

static const char default_set[] = "meshpipe";
static struct applier_config arg = {
	.set = default_set,
	.timeout_ms = -1,
	.qps = 300,
	.prune_delay_ms = 1000,
	.access.request_timeout_ms = -1,
};
static const char *output = "", *dry_run = "none", *lease = "on", *colour = "auto";

/* kubectl's options for them, which we have to say no to. */
static const char *secrets[3];

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "Target" },
	{ OPT_STR, 'n', "namespace", &arg.namespace, "NS", NULL,
		"namespace of objects that have none (that of the context)", 0 },
	{ OPT_STR, 0, "set", &arg.set, "NAME", NULL, "name of the set of objects (meshpipe)", 0 },
	{ OPT_STR, 0, "set-namespace", &arg.set_namespace, "NS", NULL,
		"where the set's ConfigMap and Lease are (that of -n)", 0 },
	{ OPT_STR, 0, "lease", &lease, "WHICH", NULL,
		"on (default): one writer of the set at a time; off: nobody else writes it", 0 },
	{ OPT_UINT, 0, "qps", &arg.qps, "N", NULL,
		"writes of objects a second at most, for the mesh's sake (300); 0: any", 1000000 },
	{ OPT_DURATION, 0, "timeout", &arg.timeout_ms, "DURATION", "MESHPIPE_TIMEOUT",
		"how long the cluster is waited for at the start (for ever) and the end (1m)", 0 },
	{ OPT_STR, 0, "dir", &arg.dir, "DIR", NULL,
		"a directory instead, one YAML file a key; made if missing", 0 },
	{ OPT_SECTION, .help = "Access to the cluster" },
	{ OPT_STR, 0, "kubeconfig", &arg.access.path, "FILE", NULL,
		"access to the cluster ($KUBECONFIG, else ~/.kube/config, else as a pod)", 0 },
	{ OPT_STR, 0, "context", &arg.access.context, "NAME", NULL,
		"context of the kubeconfig (the current one)", 0 },
	{ OPT_STR, 0, "cluster", &arg.access.cluster, "NAME", NULL,
		"cluster of the kubeconfig (the context's)", 0 },
	{ OPT_STR, 0, "user", &arg.access.user, "NAME", NULL,
		"user of the kubeconfig (the context's)", 0 },
	{ OPT_STR, 's', "server", &arg.access.server, "URL", NULL, "the API server (the cluster's)",
		0 },
	{ OPT_STR, 0, "certificate-authority", &arg.access.certificate_authority, "FILE", NULL,
		"whose certificates the API server may have", 0 },
	{ OPT_STR, 0, "tls-server-name", &arg.access.tls_server_name, "NAME", NULL,
		"what its certificate is checked for (its host)", 0 },
	{ OPT_FLAG, 0, "insecure-skip-tls-verify", &arg.access.insecure, NULL, NULL,
		"do not check its certificate: anybody may be it", 0 },
	{ OPT_STR, 0, "client-certificate", &arg.access.client_certificate, "FILE", NULL,
		"our certificate", 0 },
	{ OPT_STR, 0, "client-key", &arg.access.client_key, "FILE", NULL, "the key of it", 0 },
	{ OPT_STR, 0, "token-file", &arg.access.token_file, "FILE", NULL,
		"our token; read again when it changes", 0 },
	{ OPT_STR, 0, "as", &arg.access.as, "USER", NULL, "act as this user", 0 },
	{ OPT_STR, 0, "as-uid", &arg.access.as_uid, "UID", NULL, "with this uid", 0 },
	{ OPT_LIST, 0, "as-group", &arg.access.as_groups, "GROUP", NULL, "as one of this group",
		0 },
	{ OPT_LIST, 0, "as-user-extra", &arg.access.as_user_extra, "KEY=VALUE", NULL,
		"with this further field", 0 },
	{ OPT_DURATION, 0, "request-timeout", &arg.access.request_timeout_ms, "DURATION", NULL,
		"how long one request may take; 0: for ever (40s)", 0 },
	{ OPT_FLAG, 0, "disable-compression", &arg.access.disable_compression, NULL, NULL,
		"do not ask for compressed answers", 0 },
	{ OPT_STR, 0, "token", &secrets[0], "TOKEN", NULL, NULL, 0 },
	{ OPT_STR, 0, "username", &secrets[1], "NAME", NULL, NULL, 0 },
	{ OPT_STR, 0, "password", &secrets[2], "PASSWORD", NULL, NULL, 0 },
	{ OPT_SECTION, .help = "Input and output" },
	{ OPT_LIST, 'f', "filename", &arg.files, "FILE", NULL,
		"records or manifests: files, folders, '-' for standard input (default)", 0 },
	{ OPT_FLAG, 'R', "recursive", &arg.recursive, NULL, NULL,
		"of a folder that -f names, the folders too", 0 },
	{ OPT_STR, 'o', "output", &output, "FORMAT", NULL,
		"result lines: name, json, or wide (with key, and unchanged ones)", 0 },
	{ OPT_STR, 0, "dry-run", &dry_run, "WHERE", NULL,
		"none (default); client or server: say what would be done", 0 },
	{ OPT_STR, 0, "color", &colour, "WHEN", NULL,
		"of a diff: always, never, or auto (default): on a terminal", 0 },
	{ OPT_FLAG, 0, "once", &arg.once, NULL, NULL, "end at 'synced'", 0 },
	{ OPT_FLAG, 0, "strict", &arg.strict, NULL, NULL,
		"end at the first line that cannot be read", 0 },
	{ OPT_STR, 0, "metrics", &arg.metrics, "ADDRESS", "MESHPIPE_METRICS",
		"serve /metrics, /healthz and /readyz there: 127.0.0.1:9105, [::1]:0, :9105", 0 },
	{ OPT_SECTION, .help = "Objects of others" },
	{ OPT_FLAG, 0, "adopt", &arg.adopt, NULL, NULL,
		"take over objects that are there and that nobody owns", 0 },
	{ OPT_FLAG, 0, "force-conflicts", &arg.force_conflicts, NULL, NULL,
		"with --adopt: take fields, too, that others have set to something else", 0 },
	{ OPT_SECTION, .help = "Deletions" },
	{ OPT_FLAG, 0, "prune", &arg.prune, NULL, NULL,
		"delete the manifests of the set that the input does not name", 0 },
	{ OPT_FLAG, 0, "yes", &arg.yes, NULL, NULL, "with delete: do not ask", 0 },
	{ OPT_FLAG, 0, "accept-scope", &arg.accept_scope, NULL, NULL,
		"a source that speaks of another selection than before is meant to", 0 },
	{ OPT_UINT, 0, "approve-deletes", &arg.approve_deletes, "N", NULL,
		"let deletions go that are held, if they are of at most N keys", 0 },
	{ OPT_DURATION, 0, "prune-delay", &arg.prune_delay_ms, "DURATION", NULL,
		"how long what a key loses altogether is left for another key to take (1s)", 0 },
	{ OPT_LIST, 0, "prune-source", &arg.prune_sources, "NAME", NULL,
		"delete all of a source that is not named any more", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "k8s-apply",
	.summary = "Makes a cluster, or a directory, be what records say, and keeps it so.",
	.synopsis = "[diff | delete] [-n NS] [--dir DIR] [OPTION]...",
	.epilogue = "Examples:\n"
		    "  consul-watch | mesh-map | k8s-apply -n mesh\n"
		    "  consul-watch --once | mesh-map | k8s-apply --dir manifests\n"
		    "  k8s-apply diff -n mesh -f manifests\n"
		    "  k8s-apply -n mesh -f manifests --prune\n"
		    "  k8s-apply delete -n mesh --set trial\n",
	.opts = opts,
};

static int wrong(struct err *err, const char *option, const char *value, const char *right)
{
	return err_set(err, EXIT_USAGE, "option '--%s': '%s' is not %s", option, value, right);
}

static int read_mode(struct err *err)
{
	if (strcmp(dry_run, "none") == 0)
		return 0;
	if (arg.mode == APPLIER_DIFF)
		return err_set(err, EXIT_USAGE, "'diff' writes nothing: it takes no --dry-run");
	if (strcmp(dry_run, "server") != 0 && strcmp(dry_run, "client") != 0)
		return wrong(err, "dry-run", dry_run, "none, client or server");
	if (strcmp(dry_run, "client") == 0)
		arg.mode = APPLIER_DRY_RUN_CLIENT;
	else if (arg.dir != NULL)
		return err_set(err, EXIT_USAGE,
			"--dry-run=server asks a cluster: with --dir it is --dry-run=client");
	else
		arg.mode = APPLIER_DRY_RUN_SERVER;
	return 0;
}

/* https://no-color.org */
static int read_colour(struct err *err)
{
	const char *no = getenv("NO_COLOR");

	if (strcmp(colour, "auto") == 0)
		arg.colour = isatty(STDOUT_FILENO) == 1 && (no == NULL || *no == '\0');
	else if (strcmp(colour, "always") == 0)
		arg.colour = true;
	else if (strcmp(colour, "never") != 0)
		return wrong(err, "color", colour, "auto, always or never");
	return 0;
}

static int check_delete(struct err *err)
{
	if (arg.set == default_set)
		return err_set(err, EXIT_USAGE, "'delete' takes a whole set: name it with --set");
	if (arg.files.count > 0)
		return err_set(err, EXIT_USAGE, "'delete' takes a whole set, and reads no -f");
	if (arg.prune)
		return err_set(err, EXIT_USAGE, "'delete' takes a whole set, and no --prune");
	if (!arg.yes && arg.mode == APPLIER_APPLY && isatty(STDIN_FILENO) != 1)
		return err_set(err, EXIT_USAGE,
			"'delete' asks on a terminal, and there is none (--yes if it is meant)");
	return 0;
}

static int check_modes(struct err *err)
{
	if (read_mode(err) < 0 || read_colour(err) < 0)
		return -1;
	if (arg.delete_set)
		return check_delete(err);
	if (arg.yes)
		return err_set(err, EXIT_USAGE, "--yes is for 'delete'");
	if (arg.recursive && arg.files.count == 0)
		return err_set(err, EXIT_USAGE, "--recursive is for folders (-f)");
	if (arg.prune && arg.files.count == 0 && isatty(STDIN_FILENO) == 1)
		return err_set(err, EXIT_USAGE, "--prune needs manifests (-f)");
	return 0;
}

/* An argument can be seen by every process of the machine. */
static int check_secrets(struct err *err)
{
	if (secrets[0] != NULL)
		return err_set(err, EXIT_USAGE,
			"option '--token': a secret is no argument, others can see it; "
			"use --token-file FILE");
	if (secrets[1] != NULL || secrets[2] != NULL)
		return err_set(err, EXIT_USAGE,
			"option '--%s': a secret is no argument, others can see it; "
			"put username and password into a kubeconfig",
			secrets[1] != NULL ? "username" : "password");
	return 0;
}

static int check_dir(struct err *err)
{
	const struct kubeconfig_request *r = &arg.access;
	const struct {
		const char *name;
		bool given;
	} options[] = {
		{ "kubeconfig", r->path != NULL },
		{ "context", r->context != NULL },
		{ "cluster", r->cluster != NULL },
		{ "user", r->user != NULL },
		{ "server", r->server != NULL },
		{ "certificate-authority", r->certificate_authority != NULL },
		{ "tls-server-name", r->tls_server_name != NULL },
		{ "insecure-skip-tls-verify", r->insecure },
		{ "client-certificate", r->client_certificate != NULL },
		{ "client-key", r->client_key != NULL },
		{ "token-file", r->token_file != NULL },
		{ "as", r->as != NULL },
		{ "as-uid", r->as_uid != NULL },
		{ "as-group", r->as_groups.count > 0 },
		{ "as-user-extra", r->as_user_extra.count > 0 },
		{ "request-timeout", r->request_timeout_ms >= 0 },
		{ "disable-compression", r->disable_compression },
	};

	if (arg.dir == NULL)
		return 0;
	if (*arg.dir == '\0')
		return err_set(err, EXIT_USAGE, "option '--dir': an empty name");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].given)
			return err_set(err, EXIT_USAGE,
				"--dir is instead of a cluster: it does not go with --%s",
				options[i].name);
	return 0;
}

static int check_arguments(int rest, int argc, char **argv, struct err *err)
{
	if (rest < argc)
		return err_set(err, EXIT_USAGE,
			"unexpected argument '%s' (use -f for files; a command comes first)",
			argv[rest]);
	if (check_secrets(err) < 0 || check_dir(err) < 0)
		return -1;
	if (arg.dir != NULL && (arg.adopt || arg.force_conflicts))
		return err_set(err, EXIT_USAGE,
			"--dir goes with neither --adopt nor --force-conflicts: "
			"files of others are never taken over");
	if (arg.force_conflicts && !arg.adopt)
		return err_set(err, EXIT_USAGE,
			"--force-conflicts goes with --adopt: the set's own objects need no force");
	arg.lease = strcmp(lease, "on") == 0;
	if (!arg.lease && strcmp(lease, "off") != 0)
		return err_set(err, EXIT_USAGE, "option '--lease': '%s' is not on or off", lease);
	if (!report_format_from(output, &arg.format))
		return err_set(err, EXIT_USAGE, "option '--output': '%s' is not name, json or wide",
			output);
	return check_modes(err);
}

/* The first word may be what is to be done, if that is not to apply. */
static bool take_command(int argc, char **argv)
{
	if (argc < 2 || (strcmp(argv[1], "diff") != 0 && strcmp(argv[1], "delete") != 0))
		return false;
	if (strcmp(argv[1], "diff") == 0)
		arg.mode = APPLIER_DIFF;
	else
		arg.delete_set = true;
	return true;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int rest, status = -1;

	hold_std_fds();
	log_init(program.name);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until there is something to load anew */
	if (take_command(argc, argv)) {
		argc--;
		argv++;
	}
	rest = opt_parse(&program, argc, argv, &err);
	if (rest >= 0 && check_arguments(rest, argc, argv, &err) == 0)
		status = applier_run(&arg, &err);
	if (status < 0) {
		log_error(err.msg);
		status = err.status;
	}
	opt_list_release(&arg.files);
	opt_list_release(&arg.prune_sources);
	opt_list_release(&arg.access.as_groups);
	opt_list_release(&arg.access.as_user_extra);
	return status;
}
