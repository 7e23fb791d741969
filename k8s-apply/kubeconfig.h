/*
 * kubeconfig: which API server, and who we are to it.
 *
 * The rules are those of client-go (tools/clientcmd/loader.go), so that what kubectl reads is
 * read here alike: --kubeconfig alone; else the list KUBECONFIG, merged, where the first file
 * that has an entry wins; else ~/.kube/config; else, in a pod, its service account. Unlike
 * kubectl we never fall back to localhost:8080.
 *
 * What the command line says stands in place of the same fields of the chosen entries, as kubectl's
 * flags do. Only auth-provider is an error, as in client-go, which has it no more. Fields that are
 * not known are ignored.
 */
#ifndef MESHPIPE_KUBECONFIG_H
#define MESHPIPE_KUBECONFIG_H

#include <curl/curl.h>

#include "lib/opt.h"

/* Of one kubeconfig, certificate, key or token file. */
#define KUBECONFIG_MAX_BYTES (1u << 20)

/* What the command line says; NULL, false, none: what the files say. */
struct kubeconfig_request {
	const char *path;    /* --kubeconfig; NULL: as above */
	const char *context; /* NULL: current-context */
	const char *cluster, *user;
	const char *server, *tls_server_name;
	/* Files, relative to the current directory. */
	const char *certificate_authority, *client_certificate, *client_key, *token_file;
	const char *as, *as_uid;
	struct opt_list as_groups, as_user_extra; /* of the latter each is "KEY=VALUE" */
	bool insecure, disable_compression;
	int64_t request_timeout_ms; /* -1: the usual one; 0: none */
};

struct exec_config;

struct kubeconfig {
	char *server;	 /* "https://host:port[/prefix]", no slash at the end; or http:// */
	char *namespace; /* of the context, or of the service account; NULL: none given */

	/* PEM text; NULL: none. The key belongs to the certificate; one is not without the other. */
	char *ca_pem, *cert_pem, *key_pem;
	/* The files they came from; NULL when inline. Relative ones are relative to our directory. */
	char *ca_path, *cert_path, *key_path;
	char *tls_server_name; /* what the server's certificate is checked for; NULL: the host */
	bool insecure;	       /* insecure-skip-tls-verify */
	char *proxy_url;       /* as libcurl takes it, maybe with a password; NULL: none */
	bool disable_compression;
	int64_t request_timeout_ms; /* as in the request */

	char *token;		   /* NULL: none */
	char *token_path;	   /* wins over token if it can be read; is read anew each time */
	char *username, *password; /* HTTP basic: both or none */
	struct exec_config *exec;  /* a command that says the credentials; NULL: none */

	struct curl_slist *impersonation; /* whole header lines; NULL: we act as ourselves */
	bool withheld; /* the server is http://: what there is of all these is not here */

	char *where; /* "context 'dev' of '/home/x/.kube/config'" or "in-cluster configuration" */
};

/*
 * Reads all of it, the token file too, so that what is wrong shows at the start. A status of
 * EXIT_CONFIG; messages never hold a token, key or password.
 */
int kubeconfig_load(const struct kubeconfig_request *request, struct kubeconfig *ret,
	struct err *err) NODISCARD;

/* The same where the service account's files are elsewhere; for tests. */
int kubeconfig_load_from(const struct kubeconfig_request *request, const char *account_folder,
	struct kubeconfig *ret, struct err *err) NODISCARD;

void kubeconfig_release(struct kubeconfig *c);

/*
 * The token to send now: the file's content without the blanks around it, else the inline
 * one, else NULL. Owned by the caller. -1 when the file cannot be read, or what it holds
 * would not fit into a header.
 */
int kubeconfig_token(const struct kubeconfig *c, char **ret, struct err *err) NODISCARD;

/* The same where there is none so far: the inline one, too, for a file that is of no use. */
int kubeconfig_first_token(const struct kubeconfig *c, char **ret, struct err *err) NODISCARD;

/*
 * Why the server may have refused us: "the client certificate expired on 2026-11-01 10:00:00
 * UTC" or "... is valid only from ..."; NULL when nothing is to be seen. Owned by the caller.
 */
char *kubeconfig_explain_refusal(const struct kubeconfig *c) NODISCARD;

/*
 * Reads the files of certificate, key and CA anew; true when one of them changed. What cannot
 * be read, or a certificate whose key is not there yet, leaves the old ones in place.
 */
bool kubeconfig_reload(struct kubeconfig *c);

#endif
