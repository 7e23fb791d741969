#include <ctype.h>
#include <string.h>

#include "k8s-apply/exec_config.h"
#include "k8s-apply/kubeconfig_read.h"
#include "lib/pem.h"

int kubeconfig_read_pem(const struct kubeconfig_entry *e, const char *field, char **ret_pem,
	char **ret_path, struct err *err)
{
	cleanup_free char *data_field = xasprintf("%s-data", field);
	cleanup_free char *data = NULL;

	if (kubeconfig_entry_text(e, data_field, &data, err) < 0)
		return -1;
	if (data != NULL) {
		*ret_pem = pem_decode(data, err);
		return *ret_pem != NULL ? 0 : err_wrap(err, "%s: '%s'", e->place, data_field);
	}
	if (kubeconfig_entry_path(e, field, ret_path, err) < 0)
		return -1;
	if (*ret_path == NULL)
		return 0;
	*ret_pem = pem_read(*ret_path, err);
	return *ret_pem != NULL ? 0 : err_wrap(err, "%s: '%s'", e->place, field);
}

static int read_certificate(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	const char *missing;

	if (kubeconfig_read_pem(e, "client-certificate", &c->cert_pem, &c->cert_path, err) < 0 ||
		kubeconfig_read_pem(e, "client-key", &c->key_pem, &c->key_path, err) < 0)
		return -1;
	if (c->cert_pem == NULL && c->key_pem == NULL)
		return 0;
	missing = c->cert_pem == NULL ? "client-certificate" : "client-key";
	if (c->cert_pem == NULL || c->key_pem == NULL)
		return err_set(err, EXIT_CONFIG,
			"%s: certificate and key go together; '%s' or '%s-data' is missing",
			e->place, missing, missing);
	if (pem_check_pair(c->cert_pem, c->key_pem, err) < 0)
		return err_wrap(err, "%s", e->place);
	return 0;
}

static int read_password(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	if (kubeconfig_entry_text(e, "token", &c->token, err) < 0 ||
		kubeconfig_entry_path(e, "tokenFile", &c->token_path, err) < 0 ||
		kubeconfig_entry_text(e, "username", &c->username, err) < 0 ||
		kubeconfig_entry_text(e, "password", &c->password, err) < 0)
		return -1;
	if (c->username == NULL && c->password != NULL)
		return err_set(err, EXIT_CONFIG, "%s: 'password' without 'username'", e->place);
	if (c->username != NULL && (c->token != NULL || c->token_path != NULL))
		return err_set(
			err, EXIT_CONFIG, "%s: both a token and 'username'; remove one", e->place);
	if (c->username != NULL && c->password == NULL)
		c->password = xstrdup("");
	return 0;
}

static int read_exec(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	cleanup_kubeconfig_entry struct kubeconfig_entry exec = { .body = jv_invalid() };

	if (kubeconfig_entry_has(e, "auth-provider"))
		return err_set(err, EXIT_CONFIG,
			"%s: 'auth-provider' is not supported (nor by kubectl since 1.26); "
			"use 'exec' or a tokenFile",
			e->place);
	if (!kubeconfig_entry_has(e, "exec"))
		return 0;
	/* As in client-go, which runs no command for what is there already. */
	if (c->token != NULL || c->token_path != NULL || c->username != NULL)
		return 0;
	if (kubeconfig_entry_sub(e, "exec", &exec, err) < 0)
		return -1;
	c->exec = exec_config_read(&exec, err);
	return c->exec != NULL ? 0 : -1;
}

static int add_header(const struct kubeconfig_entry *e, const char *field, const char *name,
	const char *value, struct kubeconfig *c, struct err *err)
{
	cleanup_free char *line = xasprintf("%s: %s", name, value);

	for (const char *s = value; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return err_set(err, EXIT_CONFIG, "%s: '%s' holds a control character",
				e->place, field);
	/* libcurl would leave a header without a value out. */
	if (*value == '\0')
		return err_set(err, EXIT_CONFIG, "%s: '%s' holds an empty text", e->place, field);
	c->impersonation = curl_slist_append(c->impersonation, line);
	return 0;
}

static int add_headers(const struct kubeconfig_entry *e, const char *field, const char *name,
	jv values, struct kubeconfig *c, struct err *err)
{
	if (!jvx_is(values, JV_KIND_ARRAY))
		return err_set(
			err, EXIT_CONFIG, "%s: '%s' has to have lists of texts", e->place, field);
	for (int i = 0; i < jvx_length(values); i++) {
		cleanup_jv jv value = jvx_at(values, i);

		if (!jvx_is(value, JV_KIND_STRING))
			return err_set(err, EXIT_CONFIG, "%s: '%s' has to have texts (in quotes)",
				e->place, field);
		if (add_header(e, field, name, jvx_str(value, ""), c, err) < 0)
			return -1;
	}
	return 0;
}

/* As client-go's headerKeyEscape: what no name of a header may have, and the escape itself. */
static char *extra_header(const char *key)
{
	static const char digits[] = "0123456789ABCDEF";
	cleanup_free char *escaped = xcalloc(3 * strlen(key) + 1, 1);
	char *to = escaped;

	for (const char *s = key; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x80 && (isalnum(c) || strchr("!#$&'*+-.^_`|~", c) != NULL)) {
			*to++ = *s;
		} else {
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
	return xasprintf("Impersonate-Extra-%s", escaped);
}

static int read_extra(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	cleanup_kubeconfig_entry struct kubeconfig_entry extra = { .body = jv_invalid() };
	cleanup_jv jv keys = jv_invalid();

	if (!kubeconfig_entry_has(e, "as-user-extra"))
		return 0;
	if (kubeconfig_entry_sub(e, "as-user-extra", &extra, err) < 0)
		return -1;
	keys = jvx_keys(extra.body);
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv values = jvx_get(extra.body, jvx_str(key, ""));
		cleanup_free char *name = extra_header(jvx_str(key, ""));

		if (add_headers(e, "as-user-extra", name, values, c, err) < 0)
			return -1;
	}
	return 0;
}

static int read_impersonation(
	const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	cleanup_free char *as = NULL;
	cleanup_free char *uid = NULL;
	cleanup_jv jv groups = jvx_get(e->body, "as-groups");

	if (kubeconfig_entry_text(e, "as", &as, err) < 0 ||
		kubeconfig_entry_text(e, "as-uid", &uid, err) < 0)
		return -1;
	if (as != NULL && add_header(e, "as", "Impersonate-User", as, c, err) < 0)
		return -1;
	if (uid != NULL && add_header(e, "as-uid", "Impersonate-Uid", uid, c, err) < 0)
		return -1;
	if (kubeconfig_entry_has(e, "as-groups") &&
		add_headers(e, "as-groups", "Impersonate-Group", groups, c, err) < 0)
		return -1;
	if (read_extra(e, c, err) < 0)
		return -1;
	if (as == NULL && c->impersonation != NULL)
		return err_set(err, EXIT_CONFIG,
			"%s: 'as-uid', 'as-groups' and 'as-user-extra' need 'as', too", e->place);
	return 0;
}

int kubeconfig_read_user(const struct kubeconfig_entry *e, struct kubeconfig *c, struct err *err)
{
	if (read_certificate(e, c, err) < 0 || read_password(e, c, err) < 0 ||
		read_exec(e, c, err) < 0)
		return -1;
	return read_impersonation(e, c, err);
}
