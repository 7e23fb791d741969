/* consul-watch: says what a Consul catalogue holds, one record a line, as it changes. */

#include <curl/curl.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#include "consul-watch/consul.h"
#include "consul-watch/watch.h"
#include "lib/log.h"

#define DEFAULT_CONNECTIONS 64

static struct {
	const char *address, *token_file, *ca_file, *ca_path, *client_cert, *client_key;
	const char *tls_server_name, *datacenter, *namespace, *partition, *source;
	struct opt_list services;
	uint64_t max_conns;
	int64_t wait_ms, gone_after_ms, resync_ms, timeout_ms;
	bool once, stale, consistent;
} arg = {
	.address = CONSUL_DEFAULT_ADDRESS,
	.max_conns = DEFAULT_CONNECTIONS,
	.wait_ms = 60 * 1000,
	.gone_after_ms = 5 * 60 * 1000,
	.resync_ms = 30 * 60 * 1000,
};

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "What is watched" },
	{ OPT_LIST, 's', "service", &arg.services, "PATTERN", NULL,
		"only services of this name or shell pattern (repeatable)", 0 },
	{ OPT_STR, 0, "datacenter", &arg.datacenter, "DC", NULL, "instead of the agent's own", 0 },
	{ OPT_STR, 0, "namespace", &arg.namespace, "NAME", "CONSUL_NAMESPACE",
		"of Consul Enterprise", 0 },
	{ OPT_STR, 0, "partition", &arg.partition, "NAME", "CONSUL_PARTITION",
		"of Consul Enterprise", 0 },
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
		"how long a blocking query may stand, 1s to 10m (default 60s)", 0 },
	{ OPT_UINT, 0, "max-conns", &arg.max_conns, "N", NULL,
		"connections at most, from 4 (default 64; an agent allows 200 to an address)",
		1000 },
	{ OPT_FLAG, 0, "stale", &arg.stale, NULL, NULL, "let any server answer (default)", 0 },
	{ OPT_FLAG, 0, "consistent", &arg.consistent, NULL, NULL,
		"have the leader answer, and confirm that it is", 0 },
	{ OPT_SECTION,
		.help = "Where Consul is (a token comes by file or CONSUL_HTTP_TOKEN only)" },
	{ OPT_STR, 0, "http-addr", &arg.address, "ADDRESS", "CONSUL_HTTP_ADDR",
		"host:port, http://, https:// or unix:///path", 0 },
	{ OPT_STR, 0, "token-file", &arg.token_file, "FILE", "CONSUL_HTTP_TOKEN_FILE",
		"holds the ACL token; read again at SIGHUP", 0 },
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
	struct consul *consul;
	struct watch *watch;
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

static void on_watch_end(void *data, const struct err *err)
{
	stop(data, err);
}

static void on_room(void *data)
{
	struct app *app = data;

	watch_flush(app->watch);
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
	watch_refresh(app->watch);
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

static int open_consul(struct app *app)
{
	bool tls, verify;
	struct consul_config config = {
		.address = arg.address,
		.token = getenv("CONSUL_HTTP_TOKEN"),
		.token_file = arg.token_file,
		.auth = getenv("CONSUL_HTTP_AUTH"),
		.ca_file = arg.ca_file,
		.ca_path = arg.ca_path,
		.client_cert = arg.client_cert,
		.client_key = arg.client_key,
		.tls_server_name = arg.tls_server_name,
		.datacenter = arg.datacenter,
		.namespace = arg.namespace,
		.partition = arg.partition,
		.max_connections = (long)arg.max_conns,
	};

	if (env_bool("CONSUL_HTTP_SSL", false, &tls, app->err) < 0 ||
		env_bool("CONSUL_HTTP_SSL_VERIFY", true, &verify, app->err) < 0)
		return -1;
	config.tls = tls;
	config.tls_no_verify = !verify;
	app->consul = consul_open(&app->loop, &config, app->err);
	return app->consul != NULL ? 0 : -1;
}

static int open_watch(struct app *app)
{
	struct out_handler out = { .on_room = on_room, .on_gone = on_gone, .arg = app };
	struct watch_config config = {
		.source = arg.source,
		.datacenter = arg.datacenter,
		.namespace = arg.namespace,
		.partition = arg.partition,
		.services = arg.services,
		.consistency = arg.consistent ? CONSUL_CONSISTENT : CONSUL_STALE,
		.max_connections = arg.max_conns,
		.wait_ms = arg.wait_ms,
		.gone_after_ms = arg.gone_after_ms,
		.resync_ms = arg.resync_ms,
		.once = arg.once,
		.timeout_ms = arg.timeout_ms,
	};

	app->watch = watch_open(&app->loop, app->consul, &config, on_watch_end, app, app->err);
	if (app->watch == NULL)
		return -1;
	app->out = out_open(&app->loop, STDOUT_FILENO, &out, app->err);
	if (app->out == NULL)
		return -1;
	watch_set_output(app->watch, app->out);
	return 0;
}

static int check_options(int first, int argc, char **argv, struct err *err)
{
	if (first < argc)
		return err_set(
			err, EXIT_USAGE, "unexpected argument '%s' (see --help)", argv[first]);
	if (arg.source != NULL && *arg.source == '\0')
		return err_set(err, EXIT_USAGE, "option '--source': the name is empty");
	if (arg.stale && arg.consistent)
		return err_set(
			err, EXIT_USAGE, "options '--stale' and '--consistent' exclude each other");
	if (arg.wait_ms < 1000 || arg.wait_ms > 10 * 60 * 1000)
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
	app->rc = open_consul(app) < 0 || open_watch(app) < 0 ? -1 : 0;
	if (app->rc == 0)
		uv_run(&app->loop, UV_RUN_DEFAULT);

	watch_close(app->watch);
	consul_close(app->consul);
	out_close(app->out);
	uv_close((uv_handle_t *)&app->sigterm, NULL);
	uv_close((uv_handle_t *)&app->sigint, NULL);
	uv_close((uv_handle_t *)&app->sighup, NULL);
	uv_run(&app->loop, UV_RUN_DEFAULT); /* the close callbacks */
	uv_loop_close(&app->loop);
	return app->rc;
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
	opt_list_release(&arg.services);
	if (rc == 0)
		return EXIT_OK;
	log_error(err.msg);
	return (int)err.status;
}
