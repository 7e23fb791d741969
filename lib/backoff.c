#include "lib/backoff.h"

#include <sys/random.h>

static uint32_t random_u32(void)
{
	uint32_t r = 0;

	/* Without entropy there is no jitter, which is no reason to fail. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
		r = (uint32_t)getpid();
	return r;
}

int64_t backoff_jitter_ms(int64_t at_most_ms)
{
	return at_most_ms > 0 ? (int64_t)(random_u32() % ((uint64_t)at_most_ms + 1)) : 0;
}

int64_t backoff_next_ms(struct backoff *b)
{
	int64_t pause = b->min_ms;

	for (unsigned i = 0; i < b->failures && pause < b->max_ms; i++)
		pause *= 2;
	if (pause > b->max_ms)
		pause = b->max_ms;
	b->failures++;
	return pause - backoff_jitter_ms(pause / 2);
}

void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}
