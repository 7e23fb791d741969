#include "k8s-apply/exec_config.h"

#include <errno.h>
#include <string.h>

#include "k8s-apply/kubeconfig.h"
#include "lib/pem.h"

#define GROUP "client.authentication.k8s.io/"
#define INFO  "KUBERNETES_EXEC_INFO"

/* The name of what a cluster's `extensions` have for the command. */
#define EXTENSION "client.authentication.k8s.io/exec"

static int read_api_version(
	const struct kubeconfig_entry *e, struct exec_config *x, struct err *err)
{
	if (kubeconfig_entry_text(e, "apiVersion", &x->api_version, err) < 0)
		return -1;
	if (x->api_version == NULL)
		return err_set(err, EXIT_CONFIG, "%s has no 'apiVersion'", e->place);
	if (strcmp(x->api_version, GROUP "v1") != 0 && strcmp(x->api_version, GROUP "v1beta1") != 0)
		return err_set(err, EXIT_CONFIG,
			"%s: the apiVersion '%s' is not supported; " GROUP "v1 and " GROUP
			"v1beta1 are",
			e->place, x->api_version);
	return 0;
}

/* Nobody answers it: standard input is the records', and this may be a service. */
static int check_mode(const struct kubeconfig_entry *e, struct err *err)
{
	cleanup_free char *mode = NULL;

	if (kubeconfig_entry_text(e, "interactiveMode", &mode, err) < 0)
		return -1;
	if (mode == NULL || strcmp(mode, "Never") == 0 || strcmp(mode, "IfAvailable") == 0)
		return 0;
	if (strcmp(mode, "Always") == 0)
		return err_set(err, EXIT_CONFIG,
			"%s: 'interactiveMode' is Always, but there is nobody to ask; "
			"use a command that asks nothing",
			e->place);
	return err_set(err, EXIT_CONFIG,
		"%s: 'interactiveMode' is not Never, IfAvailable or Always", e->place);
}

static int read_args(const struct kubeconfig_entry *e, struct exec_config *x, struct err *err)
{
	cleanup_jv jv args = jvx_get(e->body, "args");
	int count = jvx_length(args);

	if (kubeconfig_entry_has(e, "args") && !jvx_is(args, JV_KIND_ARRAY))
		return err_set(err, EXIT_CONFIG, "%s: 'args' has to be a list", e->place);
	x->argv = xcalloc((size_t)count + 2, sizeof(*x->argv));
	x->argv[0] = xstrdup(x->command);
	for (int i = 0; i < count; i++) {
		cleanup_jv jv arg = jvx_at(args, i);

		if (!jvx_is(arg, JV_KIND_STRING))
			return err_set(err, EXIT_CONFIG, "%s: 'args' has to be texts (in quotes)",
				e->place);
		x->argv[i + 1] = xstrdup(jvx_str(arg, ""));
	}
	return 0;
}

static int read_env(const struct kubeconfig_entry *e, struct exec_config *x, struct err *err)
{
	cleanup_jv jv env = jvx_get(e->body, "env");

	if (kubeconfig_entry_has(e, "env") && !jvx_is(env, JV_KIND_ARRAY))
		return err_set(err, EXIT_CONFIG, "%s: 'env' has to be a list", e->place);
	for (int i = 0; i < jvx_length(env); i++) {
		cleanup_jv jv pair = jvx_at(env, i);
		cleanup_free char *name = jvx_dup_field(pair, "name");
		cleanup_free char *value = jvx_dup_field(pair, "value");
		cleanup_free char *text = NULL;

		if (name == NULL || value == NULL || *name == '\0' || strchr(name, '=') != NULL)
			return err_set(err, EXIT_CONFIG,
				"%s: 'env' has to be a list of name and value (in quotes)",
				e->place);
		text = xasprintf("%s=%s", name, value);
		jvx_append(&x->added, jv_string(text));
	}
	return 0;
}

char *exec_config_file(const struct exec_config *x)
{
	const char *path = getenv("PATH");

	if (strchr(x->command, '/') != NULL)
		return xstrdup(x->command);
	for (const char *s = path, *end; s != NULL && *s != '\0';
		s = *end != '\0' ? end + 1 : end) {
		cleanup_free char *file = NULL;

		end = strchrnul(s, ':');
		file = xasprintf("%.*s/%s", (int)(end - s), s, x->command);
		if (access(file, X_OK) == 0)
			return TAKE(file);
	}
	return NULL;
}

int exec_config_fail_missing(const struct exec_config *x, int error, struct err *err)
{
	return err_set(err, EXIT_CONFIG, "cannot be run: %s%s%s", strerror(error),
		x->install_hint != NULL ? "; " : "",
		x->install_hint != NULL ? x->install_hint : "");
}

/* Now, as a person can mend it now; while we run it may come and go. */
static int find_command(const struct kubeconfig_entry *e, struct exec_config *x, struct err *err)
{
	cleanup_free char *given = NULL;
	cleanup_free char *file = NULL;

	if (kubeconfig_entry_text(e, "command", &given, err) < 0 ||
		kubeconfig_entry_text(e, "installHint", &x->install_hint, err) < 0)
		return -1;
	if (given == NULL)
		return err_set(err, EXIT_CONFIG, "%s has no 'command'", e->place);
	/* One line of what may be a page. */
	if (x->install_hint != NULL)
		for (char *c = x->install_hint; *c != '\0'; c++)
			if ((unsigned char)*c < ' ')
				*c = ' ';
	x->command = strchr(given, '/') == NULL ? TAKE(given) : kubeconfig_entry_resolve(e, given);
	file = exec_config_file(x);
	if (file != NULL && access(file, X_OK) == 0)
		return 0;
	exec_config_fail_missing(x, file != NULL ? errno : ENOENT, err);
	return err_wrap(err, "%s: '%s'", e->place, x->command);
}

struct exec_config *exec_config_read(const struct kubeconfig_entry *e, struct err *err)
{
	struct exec_config *x = xcalloc(1, sizeof(*x));

	x->place = xstrdup(e->place);
	x->added = jv_array();
	if (read_api_version(e, x, err) < 0 || check_mode(e, err) < 0 ||
		find_command(e, x, err) < 0 || read_args(e, x, err) < 0 ||
		read_env(e, x, err) < 0 ||
		kubeconfig_entry_bool(e, "provideClusterInfo", &x->provide_cluster, err) < 0) {
		exec_config_free(x);
		return NULL;
	}
	return x;
}

static void free_list(char **list)
{
	for (char **s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

void exec_config_free(struct exec_config *x)
{
	if (x == NULL)
		return;
	free(x->api_version);
	free(x->command);
	free_list(x->argv);
	free_list(x->env);
	free(x->install_hint);
	free(x->place);
	jv_free(x->added);
	free(x);
}

static jv extension_of(jv cluster)
{
	cleanup_jv jv all = jvx_get(cluster, "extensions");

	for (int i = 0; i < jvx_length(all); i++) {
		cleanup_jv jv one = jvx_at(all, i);

		if (jvx_field_is(one, "name", EXTENSION))
			return jvx_get(one, "extension");
	}
	return jv_invalid();
}

static jv describe_cluster(jv cluster, const struct kubeconfig *access)
{
	cleanup_free char *ca = access->ca_pem != NULL ? pem_encode(access->ca_pem) : NULL;
	cleanup_free char *proxy = jvx_dup_field(cluster, "proxy-url");
	cleanup_jv jv config = extension_of(cluster);
	jv said = jv_object();

	jvx_set_str(&said, "server", access->server);
	if (access->tls_server_name != NULL)
		jvx_set_str(&said, "tls-server-name", access->tls_server_name);
	if (access->insecure)
		jvx_set(&said, "insecure-skip-tls-verify", jv_true());
	if (ca != NULL)
		jvx_set_str(&said, "certificate-authority-data", ca);
	if (proxy != NULL && *proxy != '\0')
		jvx_set_str(&said, "proxy-url", proxy);
	if (access->disable_compression)
		jvx_set(&said, "disable-compression", jv_true());
	if (jv_is_valid(config))
		jvx_set(&said, "config", jvx_take(&config));
	return said;
}

/* What is first counts. `list` has room. */
static void add_variable(char **list, const char *pair)
{
	size_t name = strcspn(pair, "=") + 1;

	for (; *list != NULL; list++)
		if (strncmp(*list, pair, name) == 0)
			return;
	*list = xstrdup(pair);
}

static size_t count_of(char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

void exec_config_describe(struct exec_config *x, jv cluster, const struct kubeconfig *access)
{
	cleanup_jv jv info = jv_object();
	int added = jvx_length(x->added);
	char **env = xcalloc(count_of(environ) + (size_t)added + 2, sizeof(*env));
	cleanup_free char *text = NULL;
	cleanup_free char *variable = NULL;
	jv spec = jv_object();

	jvx_set(&spec, "interactive", jv_false());
	if (x->provide_cluster)
		jvx_set(&spec, "cluster", describe_cluster(cluster, access));
	jvx_set_str(&info, "apiVersion", x->api_version);
	jvx_set_str(&info, "kind", "ExecCredential");
	jvx_set(&info, "spec", spec);
	text = jvx_dump(info);
	variable = xasprintf(INFO "=%s", text);
	add_variable(env, variable);
	/* Of two in the kubeconfig the later one counts, as in Go. */
	for (int i = added - 1; i >= 0; i--) {
		cleanup_jv jv pair = jvx_at(x->added, i);

		add_variable(env, jvx_str(pair, ""));
	}
	for (char **s = environ; *s != NULL; s++)
		add_variable(env, *s);
	free_list(x->env);
	x->env = env;
}
