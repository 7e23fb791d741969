/*
 * kube_status: what an answer of the API server means, and so what to do.
 *
 * The codes alone do not tell: an error of the body's schema is a 500, a path that is
 * not installed yet is a 404 like an object that is gone, and so on. A Status is
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/.
 */
#ifndef MESHPIPE_KUBE_STATUS_H
#define MESHPIPE_KUBE_STATUS_H

#include "lib/http.h"
#include "lib/jvx.h"

enum kube_verdict {
	KUBE_OK,
	KUBE_LATER,	   /* away, starting, overloaded: send the same again after a pause */
	KUBE_ERROR,	   /* the server failed at this object: the same again, slower each time */
	KUBE_UNAUTHORIZED, /* the credentials are refused */
	KUBE_FORBIDDEN,	   /* they do not allow this verb on this resource */
	KUBE_DENIED,	   /* this object is not admitted: a webhook, a policy, a quota */
	KUBE_NOT_FOUND,	   /* the object is not there */
	KUBE_NO_NAMESPACE, /* its namespace is not there, or is going */
	KUBE_NOT_SERVED,   /* no such kind (yet): nothing is said of any object */
	KUBE_CONFLICT,	   /* a precondition does not hold: look again */
	KUBE_EXPIRED,	   /* the resourceVersion is too old, or from a future that was undone */
	KUBE_INVALID,	   /* the request itself: refused until it changes */
};

#define KUBE_STATUS_WHY_BYTES 400

struct kube_status {
	enum kube_verdict verdict;
	/*
	 * More of KUBE_LATER. A connection that is refused, and a server that starts behind its
	 * balancer (502), are none of the three.
	 */
	bool overload;	  /* too much to do, by 429, 503, 504 or no answer in time: send less */
	bool turned_away; /* 429: nobody has looked at the request, so it is not about the object */
	bool dropped;	  /* the connection went (GOAWAY and the like): send at once on another */
	int64_t retry_after_ms; /* what the server asks for; 0: nothing */
	/* One line for a person; "" when all is well. */
	char why[KUBE_STATUS_WHY_BYTES];
};

/* The same reason as that one? How a connection fails is worded anew each time. */
bool kube_status_is_same(const struct kube_status *a, const struct kube_status *b);

/* Is that resourceVersion later than the other one? */
bool kube_is_newer(const char *version, const char *than);

/* Of a reply of lib/http. */
void kube_status_of_reply(const struct http_reply *reply, struct kube_status *ret);

/* Of an object of kind Status, as a watch carries it in an event of type ERROR. */
void kube_status_of_object(jv status, struct kube_status *ret);

#endif
