#include "k8s-apply/kubeconfig_override.h"

#include <string.h>

#include "lib/jvx.h"

static void drop(jv *body, const char *field)
{
	*body = jv_object_delete(*body, jv_string(field));
}

static void set_text(jv *body, const char *field, const char *text)
{
	if (text != NULL)
		jvx_set_str(body, field, text);
}

/* Absolute, as the other paths of an entry are relative to its file. */
static void set_path(jv *body, const char *field, const char *path)
{
	cleanup_free char *here = *path != '/' ? getcwd(NULL, 0) : NULL;
	cleanup_free char *whole = here != NULL ? xasprintf("%s/%s", here, path) : xstrdup(path);

	jvx_set_str(body, field, whole);
}

void kubeconfig_override_cluster(const struct kubeconfig_request *r, jv *body)
{
	set_text(body, "server", r->server);
	/* It was the name of the other server, as for kubectl. */
	if (r->server != NULL)
		drop(body, "tls-server-name");
	set_text(body, "tls-server-name", r->tls_server_name);
	if (r->insecure || r->certificate_authority != NULL) {
		drop(body, "certificate-authority");
		drop(body, "certificate-authority-data");
		drop(body, "insecure-skip-tls-verify");
	}
	if (r->certificate_authority != NULL)
		set_path(body, "certificate-authority", r->certificate_authority);
	if (r->insecure)
		jvx_set(body, "insecure-skip-tls-verify", jv_true());
	if (r->disable_compression)
		jvx_set(body, "disable-compression", jv_true());
}

static void set_credentials(const struct kubeconfig_request *r, jv *body)
{
	if (r->client_certificate != NULL) {
		drop(body, "client-certificate-data");
		set_path(body, "client-certificate", r->client_certificate);
	}
	if (r->client_key != NULL) {
		drop(body, "client-key-data");
		set_path(body, "client-key", r->client_key);
	}
	if (r->token_file != NULL) {
		drop(body, "token");
		drop(body, "username");
		drop(body, "password");
		set_path(body, "tokenFile", r->token_file);
	}
	if (r->client_certificate != NULL || r->token_file != NULL) {
		drop(body, "exec");
		drop(body, "auth-provider");
	}
}

static int add_extra(const char *pair, jv *extra, struct err *err)
{
	const char *equals = strchr(pair, '=');
	cleanup_free char *key = NULL;
	jv values;

	if (equals == NULL || equals == pair)
		return err_set(
			err, EXIT_USAGE, "option '--as-user-extra': '%s' is not KEY=VALUE", pair);
	key = xstrndup(pair, (size_t)(equals - pair));
	values = jvx_get(*extra, key);
	if (!jv_is_valid(values))
		values = jv_array();
	jvx_append(&values, jv_string(equals + 1));
	jvx_set(extra, key, values);
	return 0;
}

int kubeconfig_override_user(const struct kubeconfig_request *r, jv *body, struct err *err)
{
	cleanup_jv jv groups = jv_array();
	cleanup_jv jv extra = jv_object();

	set_credentials(r, body);
	set_text(body, "as", r->as);
	set_text(body, "as-uid", r->as_uid);
	for (size_t i = 0; i < r->as_groups.count; i++)
		jvx_append(&groups, jv_string(r->as_groups.item[i]));
	for (size_t i = 0; i < r->as_user_extra.count; i++)
		if (add_extra(r->as_user_extra.item[i], &extra, err) < 0)
			return -1;
	if (r->as_groups.count > 0)
		jvx_set(body, "as-groups", jvx_take(&groups));
	if (r->as_user_extra.count > 0)
		jvx_set(body, "as-user-extra", jvx_take(&extra));
	return 0;
}
