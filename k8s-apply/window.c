#include "k8s-apply/window.h"

void window_init(struct window *w)
{
	*w = (struct window){ .limit = WINDOW_START };
}

uint64_t window_send(struct window *w)
{
	return ++w->sent;
}

void window_well(struct window *w)
{
	unsigned needed = w->limit > WINDOW_START ? w->limit : WINDOW_START;

	if (w->limit >= WINDOW_MAX || ++w->successes < needed)
		return;
	w->limit++;
	w->successes = 0;
}

bool window_overloaded(struct window *w, uint64_t number)
{
	if (number <= w->halved)
		return false;
	w->limit = w->limit > 1 ? w->limit / 2 : 1;
	w->successes = 0;
	w->halved = w->sent;
	return true;
}
