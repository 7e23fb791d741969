/*
 * parent_state: what the parts of a parent share: it and its ConfigMap's text.
 */
#ifndef MESHPIPE_PARENT_STATE_H
#define MESHPIPE_PARENT_STATE_H

#include "k8s-apply/parent.h"
#include "k8s-apply/reflector.h"
#include "k8s-apply/word_set.h"
#include "lib/backoff.h"

#define TOOLING_ANNOTATION    "applyset.kubernetes.io/tooling"
#define KINDS_ANNOTATION      "applyset.kubernetes.io/contains-group-kinds"
#define NAMESPACES_ANNOTATION "applyset.kubernetes.io/additional-namespaces"

struct parent {
	struct kube *kube;
	const struct ownership *own;
	struct parent_handler handler;
	struct reflector *reflector;
	struct kube_call *saving, *removing;
	uv_timer_t timer;
	struct backoff backoff;
	char *path; /* of the ConfigMap */
	char *uid;  /* NULL: there is none */
	bool loaded, seen, frozen, closing;
	bool say_again;			     /* what fails next, though it was said */
	struct kube_status reading, writing; /* what was said of each last; KUBE_OK: all is well */
	char *approval;			     /* text of the annotation; NULL: none */
	char *void_approval; /* the same text counts no more, until it is seen removed; NULL: none */
	char *removed_in;    /* the ConfigMap's version without it; NULL: it was not removed */
	jv sources;	     /* {"dc1": {"scope": "..."}} */
	struct word_set
		kinds; /* "ServiceEntry.networking.istio.io", with the serial of the change */
	struct word_set namespaces;
	uint64_t serial; /* of the last change */
	uint64_t saved;	 /* up to which all is saved */
	uint64_t sent;	 /* up to which what is under way goes */
};

/* Would saving change nothing in this ConfigMap? */
bool parent_says_all(const struct parent *p, jv configmap);

/* Is this the process that writes the set? arg: the parent. */
bool parent_may_write(void *arg);

/* parent_save in a while: something could not be written. */
void parent_save_later(struct parent *p);

/* What an object of that version says of it. */
void parent_take_approval(struct parent *p, jv annotations, const char *version);
void parent_forget_approval(struct parent *p);
/* Removes one that does not count any more, if there is one and we may. */
void parent_remove_approval(struct parent *p);

/* The ConfigMap to apply. NULL: it cannot be written. The caller frees it. */
char *parent_body(const struct parent *p, struct err *err) NODISCARD;

#endif
