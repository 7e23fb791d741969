#include "consul-watch/pace.h"

int64_t pace_take_ms(struct pace *p, int64_t now_ms)
{
	int64_t wait_ms;

	if (p->full_ms < now_ms)
		p->full_ms = now_ms;
	p->full_ms += p->interval_ms;
	wait_ms = p->full_ms - now_ms - p->burst * p->interval_ms;
	return wait_ms > 0 ? wait_ms : 0;
}
