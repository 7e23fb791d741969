#include "consul-watch/pace.h"

int64_t pace_take_ms(struct pace *p, int64_t now_ms)
{
	int64_t wait_ms;

	if (p->full_ms < now_ms)
		p->full_ms = now_ms;
	p->full_ms += PACE_REFILL_MS;
	wait_ms = p->full_ms - now_ms - (int64_t)PACE_BURST * PACE_REFILL_MS;
	return wait_ms > 0 ? wait_ms : 0;
}
