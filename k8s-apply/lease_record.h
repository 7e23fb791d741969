/*
 * lease_record: the Lease on the server, what was last seen of it, and the requests for it.
 * https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/
 *
 * A write carries the version that was seen, so that of two only one succeeds, and sends back
 * what was read with our fields changed: those that newer versions have stay as they are. The
 * times in it come from the time of day, and are for people only.
 */
#ifndef MESHPIPE_LEASE_RECORD_H
#define MESHPIPE_LEASE_RECORD_H

#include "k8s-apply/lease.h"

struct lease_record;

/* Each of them once for its request, never from inside it; it may close the record. */
struct lease_record_handler {
	void (*on_read)(void *arg, const struct kube_status *status);
	void (*on_written)(void *arg, const struct kube_status *status); /* taken, renewed */
	void (*on_given_back)(void *arg, const struct kube_status *status);
	void *arg;
};

/* `times` stays the caller's, and is used until it is closed. */
struct lease_record *lease_record_open(struct kube *k, const char *namespace, const char *name,
	const char *identity, const struct lease_times *times,
	const struct lease_record_handler *handler) NODISCARD;

/* Drops the request under way without its callback. NULL is allowed. */
void lease_record_close(struct lease_record *r);

/* What the last answer said; not when it was none, a conflict, or there is no such record. */
bool lease_record_is_known(const struct lease_record *r);

/* "" when it is free. Owned by the caller. */
char *lease_record_holder(const struct lease_record *r) NODISCARD;

/* We have seen it unchanged for as long as it says that its holder has time. */
bool lease_record_has_expired(const struct lease_record *r);

/* How long it takes until then, at most `limit_ms`. */
int64_t lease_record_left_ms(const struct lease_record *r, int64_t limit_ms);

/* One request at a time. */
void lease_record_read(struct lease_record *r);

/* For us; creates it where none is known. */
void lease_record_take(struct lease_record *r);

/* The others only where it is known. */
void lease_record_renew(struct lease_record *r);
void lease_record_give_back(struct lease_record *r);

/* Drops the request under way, if any, without its callback; a write may be done all the same. */
void lease_record_cancel(struct lease_record *r);

bool lease_record_is_being_written(const struct lease_record *r);

/* When the last request was sent, by the clock of `times`. */
int64_t lease_record_asked_ms(const struct lease_record *r);

#endif
