#include "k8s-apply/exec_credential.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "lib/jvx.h"
#include "lib/pem.h"
#include "lib/yaml.h"

/* What we show of a name that should be another. */
#define MAX_SHOWN 60

static int check_kind(jv top, const char *api_version, struct err *err)
{
	cleanup_free char *given = jvx_dup_field(top, "apiVersion");

	if (!jvx_field_is(top, "kind", "ExecCredential"))
		return err_set(err, EXIT_CONFIG, "its output is no ExecCredential");
	if (given == NULL)
		return err_set(err, EXIT_CONFIG, "its output has no apiVersion");
	for (char *c = given; *c != '\0'; c++)
		if (!isgraph((unsigned char)*c))
			*c = '?';
	if (strcmp(given, api_version) != 0)
		return err_set(err, EXIT_CONFIG,
			"its output is of the apiVersion '%.*s', but the kubeconfig says '%s'",
			MAX_SHOWN, given, api_version);
	return 0;
}

static bool is_absent(jv v)
{
	return jvx_is(v, JV_KIND_INVALID) || jvx_is(v, JV_KIND_NULL) || *jvx_str(v, "x") == '\0';
}

/* *ret stays NULL for what is missing, null or empty. */
static int read_text(jv status, const char *field, char **ret, struct err *err)
{
	cleanup_jv jv v = jvx_get(status, field);

	if (is_absent(v))
		return 0;
	*ret = jvx_dup_field(status, field);
	return *ret != NULL ? 0 : err_set(err, EXIT_CONFIG, "its '%s' is not text", field);
}

/* "2026-11-01T10:00:00Z", with a fraction, or an offset in place of the Z: RFC 3339. */
static int parse_time(const char *text, int64_t *ret_ms)
{
	struct tm tm = { .tm_isdst = 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int hours = 0, minutes = 0, used = 0;
	int64_t offset_s = 0;

	if (rest == NULL)
		return -1;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (strcmp(rest, "Z") != 0) {
		if ((*rest != '+' && *rest != '-') ||
			sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 ||
			rest[6] != '\0')
			return -1;
		offset_s = (*rest == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	}
	*ret_ms = ((int64_t)timegm(&tm) - offset_s) * 1000;
	return *ret_ms > 0 ? 0 : -1;
}

static int read_expiry(jv status, struct exec_credential *c, struct err *err)
{
	cleanup_free char *text = NULL;

	if (read_text(status, "expirationTimestamp", &text, err) < 0)
		return -1;
	if (text != NULL && parse_time(text, &c->expires_ms) < 0)
		return err_set(err, EXIT_CONFIG,
			"its 'expirationTimestamp' is no time as 2006-01-02T15:04:05Z");
	return 0;
}

static int check(const struct exec_credential *c, struct err *err)
{
	if (c->token == NULL && c->cert_pem == NULL && c->key_pem == NULL)
		return err_set(err, EXIT_CONFIG, "it says neither a token nor a certificate");
	for (const char *s = c->token; s != NULL && *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return err_set(
				err, EXIT_CONFIG, "its token holds a blank or control character");
	if ((c->cert_pem == NULL) != (c->key_pem == NULL))
		return err_set(err, EXIT_CONFIG, "it says a %s without the %s",
			c->cert_pem != NULL ? "certificate" : "key",
			c->cert_pem != NULL ? "key" : "certificate");
	if (c->cert_pem == NULL)
		return 0;
	return pem_check_pair(c->cert_pem, c->key_pem, err);
}

/* client-go takes YAML, too. The parsers' reasons might quote what they read. */
static jv parse(const char *text, size_t len)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv json = jvx_parse(text, len, &ignored);
	cleanup_jv jv documents = jv_invalid();

	if (jv_is_valid(json))
		return jvx_take(&json);
	documents = yaml_parse(text, len, "", &ignored);
	return jvx_length(documents) == 1 ? jvx_at(documents, 0) : jv_invalid();
}

int exec_credential_parse(const char *text, size_t len, const char *api_version,
	struct exec_credential *ret, struct err *err)
{
	cleanup_jv jv top = parse(text, len);
	cleanup_jv jv status = jvx_get(top, "status");
	struct exec_credential c = { .token = NULL };

	if (!jvx_is(top, JV_KIND_OBJECT))
		return err_set(err, EXIT_CONFIG, "its output is %s",
			strspn(text, " \t\r\n") >= len ? "empty" : "no JSON object");
	if (check_kind(top, api_version, err) < 0)
		return -1;
	if (!jvx_is(status, JV_KIND_OBJECT))
		return err_set(err, EXIT_CONFIG, "its output has no 'status'");
	if (read_text(status, "token", &c.token, err) < 0 ||
		read_text(status, "clientCertificateData", &c.cert_pem, err) < 0 ||
		read_text(status, "clientKeyData", &c.key_pem, err) < 0 ||
		read_expiry(status, &c, err) < 0 || check(&c, err) < 0) {
		exec_credential_release(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

void exec_credential_release(struct exec_credential *c)
{
	free(c->token);
	free(c->cert_pem);
	free(c->key_pem);
	*c = (struct exec_credential){ .token = NULL };
}
