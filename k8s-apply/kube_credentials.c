#include "k8s-apply/kube_credentials.h"

#include <arpa/inet.h>
#include <string.h>

#include "k8s-apply/exec_plugin.h"
#include "lib/log.h"

/* client-go's periods: what was rotated on the disk is used soon enough. */
#define TOKEN_PERIOD_MS	      60000
#define CERTIFICATE_PERIOD_MS (5 * 60000)

/* Of an exec plugin. */
#define PLUGIN_TIMEOUT_MS 30000

struct kube_credentials {
	struct kubeconfig access;
	struct kube_credentials_handler handler;
	struct exec_plugin *plugin; /* NULL: none */
	char *plugin_cert, *plugin_key;
	bool plugin_fails;	   /* and that was said */
	char *token;		   /* not that of a plugin */
	int64_t token_ms, cert_ms; /* when they were read; INT64_MIN: they are to be read */
	unsigned serial;	   /* counts what is new */
};

static void rotated(struct kube_credentials *c, bool had_one)
{
	c->serial++;
	if (had_one)
		log_info("certificates read anew", "access", c->access.where);
	c->handler.on_rotated(c->handler.arg);
}

static bool is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static char *copy(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

/* The handles keep what they were given: only then it is of use. */
static void take_certificate(struct kube_credentials *c)
{
	const struct exec_credential *now = NULL;
	struct err ignored = ERR_INIT;
	bool had_one = c->plugin_cert != NULL;

	if (exec_plugin_get(c->plugin, &now, &ignored) != 1 ||
		(is_same(c->plugin_cert, now->cert_pem) && is_same(c->plugin_key, now->key_pem)))
		return;
	free(c->plugin_cert);
	free(c->plugin_key);
	c->plugin_cert = copy(now->cert_pem);
	c->plugin_key = copy(now->key_pem);
	rotated(c, had_one);
}

/* Requests go on, so that nobody else will say it before it is too late. */
static void say_plugin_fails(struct kube_credentials *c, const struct err *failure)
{
	const struct exec_credential *now = NULL;
	struct err ignored = ERR_INIT;

	if (c->plugin_fails || exec_plugin_get(c->plugin, &now, &ignored) != 1)
		return;
	c->plugin_fails = true;
	log_warn("the exec plugin fails; what it said last is used until that expires", "error",
		failure->msg);
}

static void on_plugin_end(void *arg, const struct err *failure)
{
	struct kube_credentials *c = arg;

	if (failure != NULL) {
		say_plugin_fails(c, failure);
	} else {
		c->plugin_fails = false;
		c->serial++;
		take_certificate(c);
	}
	c->handler.on_ready(c->handler.arg);
}

struct kube_credentials *kube_credentials_open(
	uv_loop_t *loop, struct kubeconfig *access, const struct kube_credentials_handler *handler)
{
	struct kube_credentials *c = xcalloc(1, sizeof(*c));
	const struct exec_plugin_handler plugin_handler = { .on_end = on_plugin_end, .arg = c };

	c->access = *access;
	*access = (struct kubeconfig){ .server = NULL };
	c->handler = *handler;
	c->token_ms = INT64_MIN;
	/* kubeconfig_load has just read them. */
	c->cert_ms = steady_ms();
	if (c->access.withheld)
		log_warn("no credentials are sent over http://; use https:// if the server has it",
			"server", c->access.server);
	if (c->access.exec != NULL)
		c->plugin =
			exec_plugin_open(loop, c->access.exec, PLUGIN_TIMEOUT_MS, &plugin_handler);
	return c;
}

void kube_credentials_close(struct kube_credentials *c)
{
	if (c == NULL)
		return;
	exec_plugin_close(c->plugin);
	kubeconfig_release(&c->access);
	free(c->plugin_cert);
	free(c->plugin_key);
	free(c->token);
	free(c);
}

const struct kubeconfig *kube_credentials_access(const struct kube_credentials *c)
{
	return &c->access;
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob;

	if (pem == NULL)
		return;
	blob = (struct curl_blob){
		.data = (char *)pem,
		.len = strlen(pem),
		.flags = CURL_BLOB_COPY,
	};
	curl_easy_setopt(easy, option, &blob);
}

static bool is_loopback_host(char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (*host == '[') {
		host[strcspn(host, "]")] = '\0';
		return inet_pton(AF_INET6, host + 1, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
	}
	return strcasecmp(host, "localhost") == 0 ||
	       (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET);
}

static bool is_loopback(const char *server)
{
	CURLU *url = curl_url();
	char *host = NULL;
	bool is = curl_url_set(url, CURLUPART_URL, server, 0) == CURLUE_OK &&
		  curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		  is_loopback_host(host);

	curl_free(host);
	curl_url_cleanup(url);
	return is;
}

/* Without one of the kubeconfig's libcurl takes that of the environment. */
static void set_proxy(CURL *easy, const struct kubeconfig *a)
{
	if (a->proxy_url == NULL) {
		/* As in Go: it is never for a cluster on this machine (kind, a tunnel). */
		if (is_loopback(a->server))
			curl_easy_setopt(easy, CURLOPT_PROXY, "");
		return;
	}
	curl_easy_setopt(easy, CURLOPT_PROXY, a->proxy_url);
	/* It is for this server, whatever NO_PROXY says. */
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	/* As in Go, where one set of authorities is for both. */
	set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, a->ca_pem);
}

void kube_credentials_set_up(const struct kube_credentials *c, CURL *easy)
{
	const struct kubeconfig *a = &c->access;

	set_blob(easy, CURLOPT_CAINFO_BLOB, a->ca_pem);
	/* An authority of the kubeconfig's own is the only one, not beside the system's. */
	if (a->ca_pem != NULL)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, c->plugin_cert != NULL ? c->plugin_cert : a->cert_pem);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, c->plugin_cert != NULL ? c->plugin_key : a->key_pem);
	if (a->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (a->username != NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, a->username);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, a->password);
	}
	set_proxy(easy, a);
}

static void read_certificates(struct kube_credentials *c, int64_t now_ms)
{
	c->cert_ms = now_ms;
	if (kubeconfig_reload(&c->access))
		rotated(c, true);
}

static int read_token(struct kube_credentials *c, int64_t now_ms, struct err *err)
{
	char *token = NULL;

	if (c->token_ms != INT64_MIN && now_ms - c->token_ms < TOKEN_PERIOD_MS)
		return 0;
	if (c->token == NULL) {
		if (kubeconfig_first_token(&c->access, &token, err) < 0)
			return -1;
	} else if (kubeconfig_token(&c->access, &token, err) < 0) {
		/* A file that is being replaced: the token that we have may serve until then. */
		return 0;
	}
	if (!is_same(token, c->token))
		c->serial++;
	free(c->token);
	c->token = token;
	c->token_ms = now_ms;
	return 0;
}

/* 1 with the token, which may be NULL; 0: wait. */
static int get_token(struct kube_credentials *c, int64_t now_ms, const char **ret, struct err *err)
{
	const struct exec_credential *said = NULL;
	int rc;

	if (c->plugin == NULL) {
		rc = read_token(c, now_ms, err);
		*ret = c->token;
		return rc == 0 ? 1 : -1;
	}
	rc = exec_plugin_get(c->plugin, &said, err);
	*ret = rc == 1 ? said->token : NULL;
	return rc;
}

int kube_credentials_get(struct kube_credentials *c, int64_t now_ms, struct curl_slist **headers,
	unsigned *ret_serial, struct err *err)
{
	const char *token = NULL;
	int rc;

	if (now_ms - c->cert_ms >= CERTIFICATE_PERIOD_MS)
		read_certificates(c, now_ms);
	rc = get_token(c, now_ms, &token, err);
	if (rc != 1)
		return rc;
	if (token != NULL) {
		cleanup_free char *line = xasprintf("Authorization: Bearer %s", token);

		*headers = curl_slist_append(*headers, line);
	}
	for (const struct curl_slist *h = c->access.impersonation; h != NULL; h = h->next)
		*headers = curl_slist_append(*headers, h->data);
	*ret_serial = c->serial;
	return 1;
}

bool kube_credentials_refused(struct kube_credentials *c, unsigned serial)
{
	struct err ignored = ERR_INIT;
	int64_t now = steady_ms();

	/* Others have been found since it was sent. */
	if (serial != c->serial)
		return true;
	read_certificates(c, now);
	if (c->plugin != NULL)
		return exec_plugin_drop(c->plugin) || serial != c->serial;
	c->token_ms = INT64_MIN;
	if (read_token(c, now, &ignored) < 0)
		return false;
	return serial != c->serial;
}
