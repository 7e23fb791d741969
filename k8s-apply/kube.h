/*
 * kube: requests to a Kubernetes API server.
 *
 * Credentials are those of a kubeconfig, see kube_credentials.h. While an exec plugin runs for
 * them requests wait; one that is refused is sent once more if there are others. Three lanes have connections of their
 * own: what is written, what is watched, and the Lease, which must get through when the
 * others are busy (client-go and its users learnt that the hard way).
 *
 * What is lost because its connection went (a server that ends, or sends its clients to others
 * with GOAWAY) is sent again, a few times, before it is answered. Warnings that come with answers
 * go to the log.
 */
#ifndef MESHPIPE_KUBE_H
#define MESHPIPE_KUBE_H

#include "k8s-apply/kube_status.h"
#include "k8s-apply/kubeconfig.h"

/*
 * To be accepted in place of the whole object, which is good too: a server of an extension that
 * cannot make the short form would answer 406. The API's "receiving resources as..."
 */
#define KUBE_ACCEPT_METADATA                                                                       \
	"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
#define KUBE_ACCEPT_METADATA_LIST                                                                  \
	"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

#define KUBE_APPLY_PATCH "application/apply-patch+yaml"
#define KUBE_MERGE_PATCH "application/merge-patch+json"

enum kube_lane { KUBE_LANE_WORK, KUBE_LANE_WATCH, KUBE_LANE_LEASE };

struct kube;

struct kube_answer {
	struct kube_status status;
	const char *body;
	size_t body_len; /* both valid during the callback */
};

struct kube_request {
	enum kube_lane lane;
	const char *method;	  /* NULL: GET; text that stays */
	const char *path;	  /* from "/api" on, with its query, escaped */
	const char *body;	  /* NULL: none */
	const char *content_type; /* NULL: application/json */
	const char *accept;	  /* NULL: application/json */
	long timeout_ms;	  /* 0: 40 s, longer than any handler of the server may take */
	size_t max_body;	  /* 0: 16 MiB */
	/* As in lib/http: the answer piece by piece. */
	bool (*on_data)(void *arg, const char *data, size_t len);
	/* Asked each time before it goes out, which may be more than once: false, and it is answered
	 * with KUBE_LATER. NULL: always. */
	bool (*still)(void *arg);
	/* Called once, never from inside kube_send or kube_cancel. */
	void (*on_answer)(void *arg, const struct kube_answer *answer);
	void *arg;
};

struct kube_call;

/* Takes the contents of `access` over, also on failure. */
struct kube *kube_open(uv_loop_t *loop, struct kubeconfig *access, struct err *err) NODISCARD;

/* Drops what is under way without callbacks. NULL is allowed. */
void kube_close(struct kube *k);

const struct kubeconfig *kube_access(const struct kube *k);

/* Never NULL: what cannot be sent is answered, too. Owned by `k`, valid until on_answer. */
struct kube_call *kube_send(struct kube *k, const struct kube_request *request);

/* The status line of its answer is there, and says 200. */
bool kube_is_accepted(const struct kube_call *call);

/* Drops it without its callback. NULL is allowed. */
void kube_cancel(struct kube_call *call);

/*
 * "/api/v1/namespaces/NS/configmaps" or "/apis/GROUP/VERSION/namespaces/NS/PLURAL", each
 * part escaped, and "/NAME" behind it when that is not NULL. An empty namespace: none.
 */
char *kube_path(const char *api_version, const char *namespace, const char *plural,
	const char *name) NODISCARD;

#endif
