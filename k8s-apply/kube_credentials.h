/*
 * kube_credentials: who we are to the API server, at this moment. For kube.c only.
 *
 * What rotates is followed: a token file is read again once a minute, certificate files every
 * five minutes, both at once when the server refuses us, and an exec plugin is run again before
 * its credential expires and when it is refused (client-go's rules and periods).
 */
#ifndef MESHPIPE_KUBE_CREDENTIALS_H
#define MESHPIPE_KUBE_CREDENTIALS_H

#include <uv.h>

#include "k8s-apply/kubeconfig.h"

struct kube_credentials;

struct kube_credentials_handler {
	/* Who was told to wait may ask again. From the loop; it may close the credentials. */
	void (*on_ready)(void *arg);
	/* What kube_credentials_set_up sets has changed. Also from within the other calls. */
	void (*on_rotated)(void *arg);
	void *arg;
};

/* Takes the contents of `access` over. */
struct kube_credentials *kube_credentials_open(uv_loop_t *loop, struct kubeconfig *access,
	const struct kube_credentials_handler *handler) NODISCARD;

/* NULL is allowed. */
void kube_credentials_close(struct kube_credentials *c);

const struct kubeconfig *kube_credentials_access(const struct kube_credentials *c);

/* TLS, password and proxy of a new handle. */
void kube_credentials_set_up(const struct kube_credentials *c, CURL *easy);

/*
 * The headers that a request needs now, by steady_ms(). 1: appended to *headers, and *ret_serial
 * says which ones they are; 0: not known yet, on_ready follows; -1: not to be had for now.
 */
int kube_credentials_get(struct kube_credentials *c, int64_t now_ms, struct curl_slist **headers,
	unsigned *ret_serial, struct err *err) NODISCARD;

/* The server refused those. True: others are there, or will be; the request may be sent again. */
bool kube_credentials_refused(struct kube_credentials *c, unsigned serial);

#endif
