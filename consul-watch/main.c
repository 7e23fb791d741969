/* consul-watch: says what a Consul catalogue holds, one record a line, as it changes. */

#include <curl/curl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "consul-watch/consul.h"
#include "consul-watch/watch.h"
#include "lib/log.h"

#define DEFAULT_CONNECTIONS 64

/* For the loop, files, name resolution, and what was inherited. */
#define OWN_DESCRIPTORS 32

static struct {
	const char *addresses, *token_file, *ca_file, *ca_path, *client_cert, *client_key;
	const char *tls_server_name, *namespace, *partition, *peer, *source;
	struct opt_list datacenters;
	struct selection_config selection;
	uint64_t max_conns;
	int64_t wait_ms, gone_after_ms, resync_ms, timeout_ms;
	bool once, stale, consistent;
} arg = {
	.addresses = CONSUL_DEFAULT_ADDRESS,
	.max_conns = DEFAULT_CONNECTIONS,
	.wait_ms = -1,
	.gone_after_ms = 5 * 60 * 1000,
	.resync_ms = 30 * 60 * 1000,
};

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "What is watched" },
	{ OPT_LIST, 's', "service", &arg.selection.services, "PATTERN", NULL,
		"only services of this name or shell pattern (repeatable)", 0 },
	{ OPT_LIST, 0, "exclude", &arg.selection.excluded, "PATTERN", NULL,
		"no service of this name or shell pattern (repeatable)", 0 },
	{ OPT_LIST, 0, "tag", &arg.selection.tags, "TAG", NULL,
		"only instances with this tag (repeatable: with all of them)", 0 },
	{ OPT_LIST, 0, "node-meta", &arg.selection.node_meta, "KEY=VALUE", NULL,
		"only instances on nodes with this in their meta (repeatable: all of it)", 0 },
	{ OPT_STR, 0, "filter", &arg.selection.filter, "EXPRESSION", NULL,
		"only instances that Consul's own filter language selects", 0 },
	{ OPT_LIST, 0, "kind", &arg.selection.kinds, "KIND", NULL,
		"connect-proxy, mesh-gateway, ..., any; default: typical (repeatable)", 0 },
	{ OPT_STR, 0, "opt-in", &arg.selection.opt_in, "KEY=VALUE", NULL,
		"only instances that say so, by a tag or in their meta", 0 },
	{ OPT_FLAG, 0, "from-kubernetes", &arg.selection.from_kubernetes, NULL, NULL,
		"also what Kubernetes synced into Consul", 0 },
	{ OPT_LIST, 0, "datacenter", &arg.datacenters, "DC", NULL,
		"instead of the agent's own (repeatable: each is a source)", 0 },
	{ OPT_STR, 0, "namespace", &arg.namespace, "NAME", "CONSUL_NAMESPACE",
		"of Consul Enterprise", 0 },
	{ OPT_STR, 0, "partition", &arg.partition, "NAME", "CONSUL_PARTITION",
		"of Consul Enterprise", 0 },
	{ OPT_STR, 0, "peer", &arg.peer, "NAME", NULL,
		"what this cluster peer exports, instead of local services", 0 },
	{ OPT_STR, 0, "source", &arg.source, "NAME", NULL,
		"what the records call this catalogue (default: the datacenter)", 0 },
	{ OPT_SECTION, .help = "How" },
	{ OPT_FLAG, '1', "once", &arg.once, NULL, NULL, "end after the first whole snapshot", 0 },
	{ OPT_DURATION, 0, "timeout", &arg.timeout_ms, "DURATION", NULL,
		"with --once: keep trying for so long (default: end at the first failure)", 0 },
	{ OPT_DURATION, 0, "gone-after", &arg.gone_after_ms, "DURATION", NULL,
		"a service without instances is gone after this (default 5m)", 0 },
	{ OPT_DURATION, 0, "resync", &arg.resync_ms, "DURATION", NULL,
		"say every service again this often (default 30m)", 0 },
	{ OPT_DURATION, 0, "wait", &arg.wait_ms, "DURATION", NULL,
		"how long a blocking query may stand, 1s to 10m (default 60s, over HTTP/2 2m)", 0 },
	{ OPT_UINT, 0, "max-conns", &arg.max_conns, "N", NULL,
		"connections at most, from 4 (default 64; an agent allows 200 to an address)",
		1000 },
	{ OPT_FLAG, 0, "stale", &arg.stale, NULL, NULL, "let any server answer (default)", 0 },
	{ OPT_FLAG, 0, "consistent", &arg.consistent, NULL, NULL,
		"have the leader answer, and confirm that it is", 0 },
	{ OPT_SECTION,
		.help = "Where Consul is (a token comes by file or CONSUL_HTTP_TOKEN only)" },
	{ OPT_STR, 0, "http-addr", &arg.addresses, "ADDRESS[,...]", "CONSUL_HTTP_ADDR",
		"host:port, http://, https:// or unix:///path; several: the next when one fails",
		0 },
	{ OPT_STR, 0, "token-file", &arg.token_file, "FILE", "CONSUL_HTTP_TOKEN_FILE",
		"holds the ACL token; read again when it changes", 0 },
	{ OPT_STR, 0, "ca-file", &arg.ca_file, "FILE", "CONSUL_CACERT", "CA certificates", 0 },
	{ OPT_STR, 0, "ca-path", &arg.ca_path, "DIR", "CONSUL_CAPATH", "CA certificates", 0 },
	{ OPT_STR, 0, "client-cert", &arg.client_cert, "FILE", "CONSUL_CLIENT_CERT",
		"client certificate", 0 },
	{ OPT_STR, 0, "client-key", &arg.client_key, "FILE", "CONSUL_CLIENT_KEY", "its key", 0 },
	{ OPT_STR, 0, "tls-server-name", &arg.tls_server_name, "NAME", "CONSUL_TLS_SERVER_NAME",
		"the name in the server's certificate", 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "consul-watch",
	.summary = "Writes a record for each service of a Consul catalogue, and again when it "
		   "changes.",
	.synopsis = "[option]...",
	.epilogue = "Examples:\n"
		    "  consul-watch | jq -r 'select(.type == \"service\") | .service'\n"
		    "  consul-watch --once | mesh-map | k8s-apply --dir manifests\n",
	.opts = opts,
};

struct app {
	uv_loop_t loop;
	uv_signal_t sigterm, sigint, sighup;
	struct selection *selection;
	struct consul *consul;
	struct watch **watches; /* one for each source */
	size_t count, ended;
	size_t first; /* to write next: no source starves another */
	struct out *out;
	struct err *err;
	int rc;
};

static void stop(struct app *app, const struct err *err)
{
	if (err != NULL && app->rc == 0) {
		*app->err = *err;
		app->rc = -1;
	}
	uv_stop(&app->loop);
}

/* One source that failed does not end the others; an option that is wrong ends all. */
static void on_watch_end(void *data, const struct err *err)
{
	struct app *app = data;

	if (err != NULL && app->rc == 0) {
		*app->err = *err;
		app->rc = -1;
	} else if (err != NULL) {
		log_error(err->msg);
	}
	if (++app->ended == app->count || (err != NULL && err->status == EXIT_CONFIG))
		uv_stop(&app->loop);
}

static void on_room(void *data)
{
	struct app *app = data;
	size_t first = app->first++;

	for (size_t i = 0; i < app->count; i++)
		watch_flush(app->watches[(first + i) % app->count]);
}

static void on_gone(void *data, const struct err *err)
{
	stop(data, err);
}

static void on_terminate(uv_signal_t *handle, int number UNUSED)
{
	stop(handle->data, NULL);
}

static void on_hangup(uv_signal_t *handle, int number UNUSED)
{
	struct app *app = handle->data;
	struct err err = ERR_INIT;

	if (consul_reload_token(app->consul, &err) < 0)
		log_warn("keeping the old token", "error", err.msg);
	log_info("reading and saying everything again");
	for (size_t i = 0; i < app->count; i++)
		watch_refresh(app->watches[i]);
}

static void add_signal(struct app *app, uv_signal_t *handle, int number, uv_signal_cb on_signal)
{
	uv_signal_init(&app->loop, handle);
	handle->data = app;
	uv_signal_start(handle, on_signal, number);
}

/* Consul reads these two with strconv.ParseBool. */
static int env_bool(const char *name, bool otherwise, bool *ret, struct err *err)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	const char *text = getenv(name);

	*ret = otherwise;
	if (text == NULL || *text == '\0')
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return err_set(err, EXIT_USAGE, "environment variable '%s': '%s' is neither true nor false",
		name, text);
}

/*
 * Without descriptors nothing can be connected to, and it would look like an agent that is away.
 * A connection may have one that ends and one that begins.
 */
static int reserve_descriptors(struct err *err)
{
	rlim_t needed = 2 * (rlim_t)arg.max_conns + OWN_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot read the limit of open files");
	if (limit.rlim_cur >= needed)
		return 0;
	limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
	if (limit.rlim_cur < needed)
		return err_set(err, EXIT_SYSTEM,
			"only %llu files may be open, '--max-conns' of %llu needs %llu; raise the "
			"limit (ulimit -n, LimitNOFILE=) or lower --max-conns",
			(unsigned long long)limit.rlim_max, (unsigned long long)arg.max_conns,
			(unsigned long long)needed);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_errno(err, EXIT_SYSTEM, "cannot raise the limit of open files to %llu",
			(unsigned long long)needed);
	return 0;
}

static int open_consul(struct app *app)
{
	bool tls, verify;
	struct consul_config config = {
		.addresses = arg.addresses,
		.credentials = { .token = getenv("CONSUL_HTTP_TOKEN"),
			.token_file = arg.token_file,
			.ca_file = arg.ca_file,
			.ca_path = arg.ca_path,
			.client_cert = arg.client_cert,
			.client_key = arg.client_key },
		.auth = getenv("CONSUL_HTTP_AUTH"),
		.tls_server_name = arg.tls_server_name,
		.max_connections = (long)arg.max_conns,
	};

	if (reserve_descriptors(app->err) < 0 ||
		env_bool("CONSUL_HTTP_SSL", false, &tls, app->err) < 0 ||
		env_bool("CONSUL_HTTP_SSL_VERIFY", true, &verify, app->err) < 0)
		return -1;
	config.tls = tls;
	config.tls_no_verify = !verify;
	app->consul = consul_open(&app->loop, &config, app->err);
	return app->consul != NULL ? 0 : -1;
}

static int open_watch(struct app *app, const char *datacenter)
{
	size_t sources = arg.datacenters.count > 0 ? arg.datacenters.count : 1;
	struct watch_config config = {
		.source = arg.source,
		.catalog = { .datacenter = datacenter,
			.namespace = arg.namespace,
			.partition = arg.partition,
			.peer = arg.peer },
		.selection = app->selection,
		.consistency = arg.consistent ? CONSUL_CONSISTENT : CONSUL_STALE,
		.sources = sources,
		.wait_ms = arg.wait_ms > 0 ? arg.wait_ms : 0,
		.gone_after_ms = arg.gone_after_ms,
		.resync_ms = arg.resync_ms,
		.once = arg.once,
		.timeout_ms = arg.timeout_ms,
	};
	struct watch *watch = watch_open(&app->loop, app->consul, &config, on_watch_end, app);

	watch_set_output(watch, app->out);
	app->watches[app->count++] = watch;
	return 0;
}

static int open_watches(struct app *app)
{
	struct out_handler out = { .on_room = on_room, .on_gone = on_gone, .arg = app };

	app->out = out_open(&app->loop, STDOUT_FILENO, &out, app->err);
	if (app->out == NULL)
		return -1;
	app->watches = xcalloc(arg.datacenters.count + 1, sizeof(struct watch *));
	if (arg.datacenters.count == 0)
		return open_watch(app, NULL);
	for (size_t i = 0; i < arg.datacenters.count; i++)
		if (open_watch(app, arg.datacenters.item[i]) < 0)
			return -1;
	return 0;
}

static bool has_twice(const struct opt_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(list->item[i], list->item[k]) == 0)
				return true;
	return false;
}

/* Records of several catalogues under one name would take each other for gone. */
static int check_sources(struct err *err)
{
	if (arg.source != NULL && *arg.source == '\0')
		return err_set(err, EXIT_USAGE, "option '--source': the name is empty");
	if (arg.source != NULL && arg.datacenters.count > 1)
		return err_set(err, EXIT_USAGE,
			"option '--source': one name cannot stand for several datacenters");
	if (has_twice(&arg.datacenters))
		return err_set(err, EXIT_USAGE, "option '--datacenter': the same one twice");
	if (arg.max_conns < WATCH_MIN_CONNECTIONS)
		return err_set(err, EXIT_USAGE,
			"option '--max-conns': at least %d connections are needed",
			WATCH_MIN_CONNECTIONS);
	if (arg.datacenters.count > arg.max_conns / WATCH_MIN_CONNECTIONS)
		return err_set(err, EXIT_USAGE,
			"option '--max-conns': at least %d connections are needed for each "
			"datacenter",
			WATCH_MIN_CONNECTIONS);
	return 0;
}

static int check_options(int first, int argc, char **argv, struct err *err)
{
	if (first < argc)
		return err_set(
			err, EXIT_USAGE, "unexpected argument '%s' (see --help)", argv[first]);
	if (check_sources(err) < 0)
		return -1;
	if (arg.stale && arg.consistent)
		return err_set(
			err, EXIT_USAGE, "options '--stale' and '--consistent' exclude each other");
	if (arg.wait_ms >= 0 && (arg.wait_ms < 1000 || arg.wait_ms > 10 * 60 * 1000))
		return err_set(err, EXIT_USAGE, "option '--wait': from 1s to 10m");
	if (arg.resync_ms < 1000)
		return err_set(err, EXIT_USAGE, "option '--resync': from 1s on");
	if (arg.timeout_ms > 0 && !arg.once)
		return err_set(err, EXIT_USAGE, "option '--timeout' goes with --once");
	return 0;
}

static int run(struct app *app)
{
	uv_loop_init(&app->loop);
	add_signal(app, &app->sigterm, SIGTERM, on_terminate);
	add_signal(app, &app->sigint, SIGINT, on_terminate);
	add_signal(app, &app->sighup, SIGHUP, on_hangup);
	app->selection = selection_open(&arg.selection, app->err);
	app->rc = app->selection == NULL || open_consul(app) < 0 || open_watches(app) < 0 ? -1 : 0;
	if (app->rc == 0)
		uv_run(&app->loop, UV_RUN_DEFAULT);

	for (size_t i = 0; i < app->count; i++)
		watch_close(app->watches[i]);
	consul_close(app->consul);
	out_close(app->out);
	uv_close((uv_handle_t *)&app->sigterm, NULL);
	uv_close((uv_handle_t *)&app->sigint, NULL);
	uv_close((uv_handle_t *)&app->sighup, NULL);
	uv_run(&app->loop, UV_RUN_DEFAULT); /* the close callbacks */
	uv_loop_close(&app->loop);
	free(app->watches);
	selection_close(app->selection);
	return app->rc;
}

static void release_lists(void)
{
	opt_list_release(&arg.selection.services);
	opt_list_release(&arg.selection.excluded);
	opt_list_release(&arg.selection.tags);
	opt_list_release(&arg.selection.node_meta);
	opt_list_release(&arg.selection.kinds);
	opt_list_release(&arg.datacenters);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct app app = { .err = &err };
	int first, rc = -1;

	hold_std_fds();
	log_init(program.name);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until there is something to load anew */
	first = opt_parse(&program, argc, argv, &err);
	if (first >= 0 && check_options(first, argc, argv, &err) == 0 &&
		curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
		rc = run(&app);
		curl_global_cleanup();
	}
	release_lists();
	if (rc == 0)
		return EXIT_OK;
	log_error(err.msg);
	return (int)err.status;
}
