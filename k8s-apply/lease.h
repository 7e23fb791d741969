/*
 * lease: leader election among the processes that write one set, with client-go's
 * semantics: a Lease of 15 s, renewed every 2 s, given up when it could not be renewed for
 * 10 s. https://pkg.go.dev/k8s.io/client-go/tools/leaderelection
 *
 * Nobody's clock is compared with anybody else's: a candidate waits a whole lease duration
 * of its own steady clock since it last saw the record change. There is no fencing:
 * lease_is_held must be asked before each write.
 *
 * A process that was killed is known to be gone by those of the same machine, and they take
 * its lease at once instead of waiting: k8s-apply/lease_identity.h.
 */
#ifndef MESHPIPE_LEASE_H
#define MESHPIPE_LEASE_H

#include "k8s-apply/kube.h"

struct lease;

/* Each of them may call lease_close. */
struct lease_handler {
	void (*on_leading)(void *arg);
	/* Another process has it; once for each holder. */
	void (*on_waiting)(void *arg, const char *holder);
	/* It was ours and is not any more; it is stood for again. */
	void (*on_lost)(void *arg, const char *why);
	/* It cannot be had for now; said again only when the reason changes; tried again. */
	void (*on_trouble)(void *arg, const struct kube_status *status);
	/* An answer came again after on_trouble, or after a while without. It must not close. */
	void (*on_recovered)(void *arg);
	/* After lease_release: nothing more comes. */
	void (*on_released)(void *arg);
	void *arg;
};

/* Does nothing before lease_stand. */
struct lease *lease_open(uv_loop_t *loop, struct kube *k, const char *namespace, const char *name,
	const struct lease_handler *handler) NODISCARD;

/* What is under way is dropped, without callbacks; the record stays as it is. NULL is allowed. */
void lease_close(struct lease *l);

/* Stands for election, from now on until lease_rest; more than once is the same as once. */
void lease_stand(struct lease *l);

/*
 * Ours, and renewed less than 10 s ago by a steady clock that counts while the machine sleeps,
 * too: a process that was stopped and goes on knows by this that it must not write.
 */
bool lease_is_held(const struct lease *l);

/*
 * Gives it back, so that the next one need not wait; then on_released, never from inside, within
 * 2 s, also when that failed or it was not ours. Only after the last write has ended.
 */
void lease_release(struct lease *l);

/*
 * Stands no more, and gives back what is ours, without a callback; lease_stand begins anew, also
 * while it is being given back. Only after the last write has ended.
 */
void lease_rest(struct lease *l);

/* For tests: other times, and candidates that one process can tell apart. */
struct lease_times {
	int64_t lease_s;      /* how long others wait for us */
	int64_t renew_ms;     /* given up when not renewed for so long; shorter than lease_s */
	int64_t retry_ms;     /* between two requests */
	int64_t max_pause_ms; /* the same when they fail, for a candidate */
	int64_t request_ms;   /* for one request; shorter than renew_ms */
	int64_t release_ms;   /* for giving it back */
	int64_t (*now_ms)(void);
};

extern const struct lease_times lease_times;

struct lease *lease_open_as(uv_loop_t *loop, struct kube *k, const char *namespace,
	const char *name, const struct lease_handler *handler, const char *identity,
	const struct lease_times *times) NODISCARD;

#endif
