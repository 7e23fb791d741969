/*
 * exec_credential: what an exec plugin says on standard output.
 * https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
 */
#ifndef MESHPIPE_EXEC_CREDENTIAL_H
#define MESHPIPE_EXEC_CREDENTIAL_H

#include "lib/err.h"

/* Of what a plugin writes. */
#define EXEC_CREDENTIAL_MAX_BYTES (1u << 20)

struct exec_credential {
	char *token;		  /* NULL: none */
	char *cert_pem, *key_pem; /* NULL: none; they belong together */
	int64_t expires_ms;	  /* since 1970; 0: never said */
};

/*
 * Has a token, or a certificate with its key, or both. Messages hold nothing of the text, which
 * is secret; but the apiVersion, where it is not `api_version`.
 */
int exec_credential_parse(const char *text, size_t len, const char *api_version,
	struct exec_credential *ret, struct err *err) NODISCARD;

void exec_credential_release(struct exec_credential *c);

#endif
