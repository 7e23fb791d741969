/*
 * Any bytes as what an exec plugin says.
 *
 * Whatever the bytes: they are refused with one line, or there is a token that fits into a header,
 * or a certificate with its key.
 */
#include <ctype.h>
#include <string.h>

#include "k8s-apply/exec_credential.h"
#include "tests/fuzz/fuzz.h"

#define V1 "client.authentication.k8s.io/v1"

char fuzz_outcome[600];

static void check_credential(struct exec_credential *c)
{
	MUST(c->token != NULL || c->cert_pem != NULL, "neither token nor certificate");
	MUST((c->cert_pem == NULL) == (c->key_pem == NULL), "a certificate without its key");
	MUST(c->expires_ms >= 0, "it ends at %lld", (long long)c->expires_ms);
	for (const char *s = c->token; s != NULL && *s != '\0'; s++)
		MUST(isgraph((unsigned char)*s), "a token that is no header: %s", c->token);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "taken %.300s %s %lld",
		c->token != NULL ? c->token : "-", c->cert_pem != NULL ? "certificate" : "-",
		(long long)c->expires_ms);
	exec_credential_release(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text = xcalloc(size + 1, 1);
	struct exec_credential c = { .token = NULL };
	struct err err = ERR_INIT;
	int rc;

	memcpy(text, data, size);
	fuzz_leaks_begin();
	rc = exec_credential_parse(text, size, V1, &c, &err);
	fuzz_leaks_end();
	if (rc == 0) {
		check_credential(&c);
		return 0;
	}
	MUST(err.status == EXIT_CONFIG, "status %d", (int)err.status);
	for (const char *s = err.msg; *s != '\0'; s++)
		MUST((unsigned char)*s >= 0x20 && *s != 0x7f, "not one line: %s", err.msg);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "refused %.500s", err.msg);
	return 0;
}
