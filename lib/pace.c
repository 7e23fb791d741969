#include "lib/pace.h"

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct pace pace_of_rate(uint64_t rate)
{
	if (rate == 0)
		return (struct pace){ .interval_us = 0 };
	return (struct pace){ .interval_us = later((int64_t)(1000000 / rate), 1),
		.burst = (int64_t)rate };
}

int64_t pace_wait_ms(const struct pace *p, int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	int64_t full_us = later(p->full_us, now_us) + p->interval_us;
	int64_t wait_us = full_us - now_us - p->burst * p->interval_us;

	/* Too late is right, too early is too many. */
	return wait_us > 0 ? (wait_us + 999) / 1000 : 0;
}

int64_t pace_take_ms(struct pace *p, int64_t now_ms)
{
	int64_t wait_ms = pace_wait_ms(p, now_ms);

	p->full_us = later(p->full_us, now_ms * 1000) + p->interval_us;
	return wait_ms;
}
