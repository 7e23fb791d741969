/*
 * credentials: the ACL token, and the certificates by which we and the agent know each other.
 *
 * The files are read whole, checked, and kept in memory: a file that is half written, or away
 * while it is replaced, does no harm. They are looked at again while they are in use (by time,
 * size and inode, through symbolic links, as Kubernetes replaces them) and read when they are
 * others. A change of the certificates holds for connections made from then on.
 */
#ifndef MESHPIPE_CONSUL_CREDENTIALS_H
#define MESHPIPE_CONSUL_CREDENTIALS_H

#include <curl/curl.h>

#include "lib/err.h"

/* Each may be NULL; "" is as good. The strings must stay valid. */
struct credentials_config {
	const char *token;
	const char *token_file; /* wins over token */
	const char *ca_file;
	const char *ca_path;	 /* a folder of CA certificates under any names; ca_file wins */
	const char *client_cert; /* may hold the key too */
	const char *client_key;
};

struct credentials;

/* The content of the TLS files at one time. */
struct tls_files;

/* NULL with EXIT_CONFIG when something cannot be read, or is not what it should be. */
struct credentials *credentials_open(
	const struct credentials_config *config, struct err *err) NODISCARD;
void credentials_close(struct credentials *c);

/* "" where there is none. Valid until the next call of one that reads. */
const char *credentials_token(const struct credentials *c);

/* How many different ones there were in turn. */
unsigned credentials_tokens(const struct credentials *c);

/* Reads the token file now. The old token stays when that fails. */
int credentials_reload_token(struct credentials *c, struct err *err) NODISCARD;

/*
 * Reads what has changed, at most once a second, and says what it cannot take (once). True
 * when the TLS files are others now: what was set up by credentials_apply is of the past.
 */
bool credentials_refresh(struct credentials *c);

/* Sets up a handle with the TLS files as they are now. */
void credentials_apply(const struct credentials *c, CURL *easy);

/* What a handle was set up with must be held from before its use to the end of its call. */
struct tls_files *credentials_hold(struct credentials *c);
void credentials_drop(struct tls_files *files);

#endif
