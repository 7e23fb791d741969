/*
 * reflector_state: what the files of a reflector share. For these only:
 *
 *   reflector.c        opening, what comes next, failures
 *   reflector_list.c   a list, page by page
 *   reflector_watch.c  a watch, also one that begins with the list
 */
#ifndef MESHPIPE_REFLECTOR_STATE_H
#define MESHPIPE_REFLECTOR_STATE_H

#include "k8s-apply/reflector.h"
#include "k8s-apply/watch_events.h"
#include "lib/backoff.h"

/* For so long a watch that was accepted may still be refused by an event. */
#define SETTLED_MS 2000

/* A list that comes as events is given up when it stands still for so long, and a watch that is not
 * answered. */
#define STILL_MS 40000

struct reflector {
	struct kube *kube;
	char *path, *selector;
	bool metadata_only;
	int64_t relist_ms;
	struct reflector_handler handler;
	struct kube_call *call;
	uv_timer_t timer;    /* the next attempt, or SETTLED_MS */
	int64_t watching_ms; /* since when, if it is */
	uv_timer_t intake;   /* takes what a watch has brought, outside of its request */
	struct backoff backoff;
	struct watch_events events;
	char *version;	    /* from where to watch; NULL: list first */
	char *continues;    /* the next page; NULL: the first */
	int64_t listed_ms;  /* steady; 0: never */
	int64_t failing_ms; /* since when it fails; 0: it does not */
	bool stream_lists;
	bool watching;
	bool initial;		    /* what comes is still the list */
	bool progress;		    /* something came that is good */
	bool relist;		    /* the watch said that it cannot go on */
	struct kube_status error;   /* that the watch brought; KUBE_OK: none */
	struct kube_status trouble; /* that was said; KUBE_OK: none */
	bool closing;
	int open_handles;
};

/* reflector.c: how it goes. */
void reflector_recovered(struct reflector *r);
void reflector_settled(struct reflector *r);
void reflector_failed(struct reflector *r, const struct kube_status *status);
void reflector_failed_as(struct reflector *r, const char *why);

/* And how it goes on: with a list or a watch, after a pause, with a list in any case. */
void reflector_go_on(struct reflector *r);
void reflector_go_on_later(struct reflector *r, int64_t at_least_ms);
void reflector_start_over(struct reflector *r);
void reflector_on_timer(uv_timer_t *timer);

/* reflector_list.c */
void reflector_start_list(struct reflector *r);
void reflector_listed(struct reflector *r);

/* reflector_watch.c */
void reflector_start_watch(struct reflector *r);
void reflector_give_up(struct reflector *r);

#endif
