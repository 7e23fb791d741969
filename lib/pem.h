/*
 * pem: certificates and keys as PEM text: read, decoded, checked, on libcrypto.
 * Everything fails with a status of EXIT_CONFIG.
 */
#ifndef MESHPIPE_PEM_H
#define MESHPIPE_PEM_H

#include "lib/err.h"

/* The whole file; NULL on error, which names it. */
char *pem_read(const char *path, struct err *err) NODISCARD;

/*
 * The content of a *-data field: base64 with its padding, in which line breaks are ignored as
 * in Go's decoder. NULL on error.
 */
char *pem_decode(const char *base64, struct err *err) NODISCARD;

/* The other way round, in one line. */
char *pem_encode(const char *text) NODISCARD;

/* Is there at least one certificate in it? */
bool pem_is_certificate(const char *pem);

/* The key can be read and belongs to the first certificate. */
int pem_check_pair(const char *cert, const char *key, struct err *err) NODISCARD;

/*
 * "the client certificate expired on 2026-11-01 10:00:00 UTC" or "... is valid only from ...",
 * by the clock of this machine; NULL when the first certificate is valid now.
 */
char *pem_explain(const char *cert) NODISCARD;

#endif
