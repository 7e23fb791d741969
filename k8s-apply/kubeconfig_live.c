/* What may change while we run: token, certificates and their files. */
#include <ctype.h>
#include <string.h>

#include "k8s-apply/kubeconfig.h"
#include "lib/pem.h"

/* As it came; NULL when the user has none. */
static int read_token(const struct kubeconfig *c, char **ret, struct err *err)
{
	size_t len = 0;

	if (c->token_path == NULL) {
		*ret = c->token != NULL ? xstrdup(c->token) : NULL;
		return 0;
	}
	*ret = read_whole_file(c->token_path, KUBECONFIG_MAX_BYTES, &len);
	if (*ret == NULL)
		return err_errno(err, EXIT_CONFIG, "cannot read token file '%s'", c->token_path);
	/* A NUL would silently end it; as any other control character it is refused. */
	for (size_t i = 0; i < len; i++)
		if ((*ret)[i] == '\0')
			(*ret)[i] = '\1';
	return 0;
}

int kubeconfig_token(const struct kubeconfig *c, char **ret, struct err *err)
{
	cleanup_free char *raw = NULL;
	cleanup_free char *name = c->token_path != NULL
					  ? xasprintf("token file '%s'", c->token_path)
					  : xstrdup("the token");
	const char *token;

	if (read_token(c, &raw, err) < 0)
		return -1;
	token = raw != NULL ? str_trim(raw) : NULL;
	if (token != NULL && *token == '\0')
		return err_set(err, EXIT_CONFIG, "%s is empty", name);
	for (const char *s = token; s != NULL && *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return err_set(
				err, EXIT_CONFIG, "%s holds a blank or control character", name);
	*ret = token != NULL ? xstrdup(token) : NULL;
	return 0;
}

int kubeconfig_first_token(const struct kubeconfig *c, char **ret, struct err *err)
{
	struct kubeconfig only_inline = { .token = c->token };
	struct err ignored = ERR_INIT;

	if (c->token == NULL || c->token_path == NULL)
		return kubeconfig_token(c, ret, err);
	if (kubeconfig_token(c, ret, &ignored) == 0)
		return 0;
	return kubeconfig_token(&only_inline, ret, err);
}

char *kubeconfig_explain_refusal(const struct kubeconfig *c)
{
	return c->cert_pem != NULL ? pem_explain(c->cert_pem) : NULL;
}

/* True when that is a change. Takes the new text over. */
static bool replace(char **pem, char **fresh)
{
	bool changed = strcmp(*pem, *fresh) != 0;

	free(*pem);
	*pem = TAKE(*fresh);
	return changed;
}

/* The file's content now, or the inline text as it is; NULL when there is nothing to read. */
static char *read_again(const char *path, const char *pem)
{
	struct err ignored = ERR_INIT;

	if (path != NULL)
		return pem_read(path, &ignored);
	return pem != NULL ? xstrdup(pem) : NULL;
}

/* The two files are not written at one moment: one without the other would lock us out. */
static bool reload_pair(struct kubeconfig *c)
{
	cleanup_free char *cert = read_again(c->cert_path, c->cert_pem);
	cleanup_free char *key = read_again(c->key_path, c->key_pem);
	struct err ignored = ERR_INIT;
	bool cert_changed, key_changed;

	if (cert == NULL || key == NULL || pem_check_pair(cert, key, &ignored) < 0)
		return false;
	cert_changed = replace(&c->cert_pem, &cert);
	key_changed = replace(&c->key_pem, &key);
	return cert_changed || key_changed;
}

static bool reload_ca(struct kubeconfig *c)
{
	cleanup_free char *ca = read_again(c->ca_path, c->ca_pem);

	return ca != NULL && pem_is_certificate(ca) && replace(&c->ca_pem, &ca);
}

bool kubeconfig_reload(struct kubeconfig *c)
{
	bool pair = reload_pair(c), ca = reload_ca(c);

	return pair || ca;
}
