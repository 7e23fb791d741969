#include "k8s-apply/kubeconfig.h"

#include <string.h>

#include "k8s-apply/exec_config.h"
#include "k8s-apply/kubeconfig_override.h"
#include "k8s-apply/kubeconfig_read.h"
#include "lib/pem.h"

/* Where the kubelet mounts it: client-go rest/config.go InClusterConfig. */
#define ACCOUNT_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

/* Where an entry comes from that no file has. */
#define COMMAND_LINE "the command line"

static bool is_server(const char *url)
{
	CURLU *parsed = curl_url();
	/* libcurl itself would take a further slash for a slip. */
	bool good = (str_starts(url, "https://") || str_starts(url, "http://")) &&
		    strstr(url, ":///") == NULL && strpbrk(url, " \t\r\n?#@") == NULL &&
		    parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;

	curl_url_cleanup(parsed);
	return good;
}

/* Checked here, as otherwise every request would fail, and none could name the place. */
static int set_server(const char *url, const char *place, char **ret, struct err *err)
{
	size_t len = strlen(url);

	/* Not quoted: somebody may have written a password into it. */
	if (!is_server(url))
		return err_set(err, EXIT_CONFIG,
			"%s is no https://HOST[:PORT][/PATH] or http://...", place);
	while (url[len - 1] == '/')
		len--;
	*ret = xstrndup(url, len);
	return 0;
}

static int check_ca(const struct kubeconfig *c, const char *place, struct err *err)
{
	if (c->ca_pem == NULL)
		return 0;
	if (c->insecure)
		return err_set(err, EXIT_CONFIG,
			"%s: both 'insecure-skip-tls-verify' and a certificate authority; "
			"remove one",
			place);
	if (!pem_is_certificate(c->ca_pem))
		return err_set(err, EXIT_CONFIG,
			"%s: the certificate authority is not a certificate in PEM", place);
	return 0;
}

static bool is_proxy(const char *url)
{
	static const char *const schemes[] = { "http://", "https://", "socks5://", "socks5h://" };
	CURLU *parsed = curl_url();
	bool known = false, good;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		known |= str_starts(url, schemes[i]);
	good = known && strstr(url, ":///") == NULL && strpbrk(url, " \t\r\n") == NULL &&
	       parsed != NULL &&
	       curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
	curl_url_cleanup(parsed);
	return good;
}

static int read_proxy(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	static const char socks[] = "socks5://";
	cleanup_free char *url = NULL;

	if (kubeconfig_entry_text(e, "proxy-url", &url, err) < 0)
		return -1;
	if (url == NULL)
		return 0;
	/* Not quoted: there may be a password in it. */
	if (!is_proxy(url))
		return err_set(err, EXIT_CONFIG,
			"%s: 'proxy-url' is no http://, https:// or socks5://HOST[:PORT]",
			e->place);
	/* Go lets such a proxy look names up, which has another name in libcurl. */
	c->proxy_url =
		str_starts(url, socks) ? xasprintf("socks5h://%s", url + strlen(socks)) : TAKE(url);
	return 0;
}

static int read_cluster(const struct kubeconfig_entry *e, const char *server_place,
	struct kubeconfig *c, struct err *err)
{
	cleanup_free char *url = NULL;
	cleanup_free char *url_place = xasprintf("%s: 'server'", e->place);

	if (kubeconfig_entry_text(e, "server", &url, err) < 0)
		return -1;
	if (url == NULL)
		return err_set(err, EXIT_CONFIG, "%s has no 'server'", e->place);
	if (set_server(url, server_place != NULL ? server_place : url_place, &c->server, err) < 0 ||
		kubeconfig_entry_text(e, "tls-server-name", &c->tls_server_name, err) < 0 ||
		kubeconfig_entry_bool(e, "insecure-skip-tls-verify", &c->insecure, err) < 0 ||
		kubeconfig_entry_bool(e, "disable-compression", &c->disable_compression, err) < 0 ||
		read_proxy(e, c, err) < 0 ||
		kubeconfig_read_pem(e, "certificate-authority", &c->ca_pem, &c->ca_path, err) < 0)
		return -1;
	return check_ca(c, e->place, err);
}

/* What was chosen, from wherever it is, and what the command line says of it. */
struct choice {
	struct kubeconfig_entry cluster, user;
	const char *server_place; /* for messages; NULL: the cluster's */
};

static void choice_release(struct choice *c)
{
	kubeconfig_entry_release(&c->cluster);
	kubeconfig_entry_release(&c->user);
}
#define cleanup_choice __attribute__((cleanup(choice_release)))

/* Anybody on the way could read them: as client-go, which looks at no user then. */
static int read_user(const struct choice *choice, struct kubeconfig *c, struct err *err)
{
	if (!str_starts(c->server, "http://"))
		return kubeconfig_read_user(&choice->user, c, err);
	c->withheld = jvx_length(choice->user.body) > 0;
	return 0;
}

static int read_choice(struct choice *choice, const struct kubeconfig_request *request,
	struct kubeconfig *c, struct err *err)
{
	kubeconfig_override_cluster(request, &choice->cluster.body);
	if (kubeconfig_override_user(request, &choice->user.body, err) < 0)
		return -1;
	if (request->server != NULL)
		choice->server_place = "option '--server'";
	if (read_cluster(&choice->cluster, choice->server_place, c, err) < 0 ||
		read_user(choice, c, err) < 0)
		return -1;
	if (c->exec != NULL)
		exec_config_describe(c->exec, choice->cluster.body, c);
	return 0;
}

static int find_context(const struct kubeconfig_files *files,
	const struct kubeconfig_request *request, struct kubeconfig_entry *ret, struct err *err)
{
	const char *name = request->context != NULL ? request->context : files->current_context;
	cleanup_free char *others = kubeconfig_files_contexts(files);

	*ret = (struct kubeconfig_entry){ .body = jv_invalid() };
	if (name == NULL && (request->server != NULL || request->cluster != NULL)) {
		*ret = kubeconfig_entry_make(KUBECONFIG_CONTEXTS, jv_object(), COMMAND_LINE);
		return 0;
	}
	if (name == NULL)
		return err_set(err, EXIT_CONFIG,
			"no 'current-context' in %s; choose one with --context%s", files->names,
			others);
	if (!kubeconfig_files_find(files, KUBECONFIG_CONTEXTS, name, ret))
		return err_set(
			err, EXIT_CONFIG, "no context '%s' in %s%s", name, files->names, others);
	return 0;
}

/* Does the command line say enough to do without an entry? */
static bool needs_none(const struct kubeconfig_request *r, const struct kubeconfig_entry *context,
	enum kubeconfig_section section)
{
	if (section == KUBECONFIG_CLUSTERS)
		return r->server != NULL;
	return r->token_file != NULL || r->client_certificate != NULL || *context->file == '\0';
}

/* The cluster or user that the command line names, or a context in its field of that name. */
static int find_named(const struct kubeconfig_files *files,
	const struct kubeconfig_request *request, const struct kubeconfig_entry *context,
	enum kubeconfig_section section, struct kubeconfig_entry *ret, struct err *err)
{
	bool is_cluster = section == KUBECONFIG_CLUSTERS;
	const char *field = is_cluster ? "cluster" : "user";
	const char *given = is_cluster ? request->cluster : request->user;
	cleanup_free char *name = given != NULL ? xstrdup(given) : NULL;

	if (name == NULL && kubeconfig_entry_name(context, field, &name, err) < 0)
		return -1;
	if (name == NULL && needs_none(request, context, section)) {
		*ret = kubeconfig_entry_make(section, jv_object(), COMMAND_LINE);
		return 0;
	}
	if (name == NULL)
		return err_set(err, EXIT_CONFIG, "%s names no %s", context->place, field);
	if (kubeconfig_files_find(files, section, name, ret))
		return 0;
	return given != NULL
		       ? err_set(err, EXIT_CONFIG, "no %s '%s' in %s", field, name, files->names)
		       : err_set(err, EXIT_CONFIG, "%s: no %s '%s' in %s", context->place, field,
				 name, files->names);
}

static int from_files(const struct kubeconfig_files *files,
	const struct kubeconfig_request *request, struct kubeconfig *c, struct err *err)
{
	cleanup_kubeconfig_entry struct kubeconfig_entry context = { .body = jv_invalid() };
	cleanup_choice struct choice choice = { .cluster.body = jv_invalid(),
		.user.body = jv_invalid() };

	if (find_context(files, request, &context, err) < 0 ||
		find_named(files, request, &context, KUBECONFIG_CLUSTERS, &choice.cluster, err) <
			0 ||
		find_named(files, request, &context, KUBECONFIG_USERS, &choice.user, err) < 0 ||
		kubeconfig_entry_name(&context, "namespace", &c->namespace, err) < 0 ||
		read_choice(&choice, request, c, err) < 0)
		return -1;
	c->where = TAKE(context.place);
	return 0;
}

static char *read_namespace(const char *folder)
{
	cleanup_free char *path = xasprintf("%s/namespace", folder);
	cleanup_free char *text = read_whole_file(path, KUBECONFIG_MAX_BYTES, NULL);

	return text != NULL && *str_trim(text) != '\0' ? xstrdup(str_trim(text)) : NULL;
}

/* There is no file at all. */
static int fail_nothing(const struct kubeconfig_request *r, struct err *err)
{
	const char *what = r->context != NULL ? "context" : r->cluster != NULL ? "cluster" : "user";
	const char *name = r->context != NULL	? r->context
			   : r->cluster != NULL ? r->cluster
						: r->user;

	if (name != NULL)
		return err_set(err, EXIT_CONFIG,
			"no kubeconfig to find %s '%s' in: set KUBECONFIG or --kubeconfig", what,
			name);
	return err_set(err, EXIT_CONFIG,
		"no Kubernetes cluster is configured: set KUBECONFIG or --kubeconfig, "
		"or write to a directory with --dir DIR");
}

static char *address_of_pod(void)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	bool v6;

	if (host == NULL || *host == '\0' || port == NULL || *port == '\0')
		return NULL;
	v6 = strchr(host, ':') != NULL;
	return xasprintf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* The service account, as if a kubeconfig said it. */
static void choose_pod(const char *folder, const char *url, struct choice *choice)
{
	static const char place[] = "in-cluster configuration";
	cleanup_free char *token = xasprintf("%s/token", folder);
	cleanup_free char *ca = xasprintf("%s/ca.crt", folder);

	choice->cluster = kubeconfig_entry_make(KUBECONFIG_CLUSTERS, jv_object(), place);
	choice->user = kubeconfig_entry_make(KUBECONFIG_USERS, jv_object(), place);
	jvx_set_str(&choice->cluster.body, "server", url);
	jvx_set_str(&choice->cluster.body, "certificate-authority", ca);
	jvx_set_str(&choice->user.body, "tokenFile", token);
	choice->server_place = "in-cluster configuration: KUBERNETES_SERVICE_HOST with "
			       "KUBERNETES_SERVICE_PORT";
}

static int from_pod(const char *folder, const struct kubeconfig_request *request,
	struct kubeconfig *c, struct err *err)
{
	cleanup_choice struct choice choice = { .cluster.body = jv_invalid(),
		.user.body = jv_invalid() };
	cleanup_free char *url = address_of_pod();

	if (request->context != NULL || request->cluster != NULL || request->user != NULL ||
		url == NULL)
		return fail_nothing(request, err);
	choose_pod(folder, url, &choice);
	c->where = xstrdup(choice.cluster.place);
	c->namespace = read_namespace(folder);
	return read_choice(&choice, request, c, err);
}

static int check_token(const struct kubeconfig *c, struct err *err)
{
	cleanup_free char *token = NULL;

	return kubeconfig_first_token(c, &token, err) < 0 ? err_wrap(err, "%s", c->where) : 0;
}

static bool names_an_entry(const struct kubeconfig_request *r)
{
	return r->context != NULL || r->cluster != NULL || r->user != NULL;
}

int kubeconfig_load_from(const struct kubeconfig_request *request, const char *account_folder,
	struct kubeconfig *ret, struct err *err)
{
	cleanup_kubeconfig_files struct kubeconfig_files files;
	struct kubeconfig c = { .request_timeout_ms = request->request_timeout_ms };
	int rc = kubeconfig_files_read(request->path, &files, err);

	if (rc > 0 || (rc == 0 && request->server != NULL && !names_an_entry(request)))
		rc = from_files(&files, request, &c, err);
	else if (rc == 0)
		rc = from_pod(account_folder, request, &c, err);
	if (rc < 0 || check_token(&c, err) < 0) {
		kubeconfig_release(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

int kubeconfig_load(
	const struct kubeconfig_request *request, struct kubeconfig *ret, struct err *err)
{
	return kubeconfig_load_from(request, ACCOUNT_FOLDER, ret, err);
}

void kubeconfig_release(struct kubeconfig *c)
{
	char *const all[] = { c->server, c->namespace, c->ca_pem, c->cert_pem, c->key_pem,
		c->ca_path, c->cert_path, c->key_path, c->tls_server_name, c->token, c->token_path,
		c->username, c->password, c->proxy_url, c->where };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
	exec_config_free(c->exec);
	curl_slist_free_all(c->impersonation);
	*c = (struct kubeconfig){ .server = NULL };
}
