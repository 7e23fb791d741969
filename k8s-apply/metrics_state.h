/*
 * metrics_state: what metrics.c (counting) and metrics_text.c (text) share. For these two only.
 */
#ifndef MESHPIPE_METRICS_STATE_H
#define MESHPIPE_METRICS_STATE_H

#include "k8s-apply/metrics.h"

/* Upper bounds of the histogram of delays, in milliseconds. */
#define METRICS_BUCKETS                                                                            \
	{                                                                                          \
		10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000   \
	}
#define METRICS_BUCKET_COUNT 14

/* The name of a series that is no counter of another program. */
#define METRICS_LAST_SYNC "last_sync_timestamp_seconds"

struct metrics_series {
	char *name;   /* behind "meshpipe_" */
	char *source; /* "" for none */
	double value;
};

struct metrics {
	uint64_t results[PLAN_FAILED + 1];
	uint64_t outcomes[PLAN_DECIDE + 1];
	uint64_t unreadable;
	uint64_t delays[METRICS_BUCKET_COUNT + 1]; /* not cumulative; the last is +Inf */
	double delay_sum_s;
	struct metrics_series *series; /* sorted by name and source */
	size_t series_count;
	uint64_t dropped; /* values for which there was no room or no name */
	int64_t started_wall_ms;
};

/* Is "meshpipe_<name>" one of our own? */
bool metrics_is_own(const char *name);

#endif
