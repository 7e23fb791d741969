/*
 * window: how many requests may be under way at once.
 *
 * It begins small, grows by one for each window of requests that went well (below the start for
 * as many as at the start: there a step is a large one), up to a fixed maximum (more at once only
 * makes each of them slower), and halves when the server says, or shows, that
 * it has too much to do: 429, 503, 504, no answer in time. Once for all that were under way
 * together: what was sent before the last halving says nothing about the smaller window.
 */
#ifndef MESHPIPE_WINDOW_H
#define MESHPIPE_WINDOW_H

#include "lib/base.h"

#define WINDOW_START 8u
#define WINDOW_MAX   32u

struct window {
	unsigned limit;
	unsigned successes; /* since the limit changed */
	uint64_t sent;	    /* requests, ever */
	uint64_t halved;    /* how many had been sent when it was halved last */
};

void window_init(struct window *w);

/* A request goes out; the number is for window_overloaded. */
uint64_t window_send(struct window *w);

/* One was answered, and not because there is too much to do. */
void window_well(struct window *w);

/* One was not, or late. True: the window has shrunk by that, or would have if it could. */
bool window_overloaded(struct window *w, uint64_t number);

#endif
