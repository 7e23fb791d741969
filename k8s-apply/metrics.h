/*
 * metrics: what k8s-apply counts, and its text in the format that Prometheus reads.
 *
 * Numbers of the moment (struct metrics_now) come in when the text is asked for. Nothing that
 * the input names makes it grow without a limit: what is beyond METRICS_MAX_SERIES is dropped,
 * and that is counted.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#ifndef MESHPIPE_METRICS_H
#define MESHPIPE_METRICS_H

#include "k8s-apply/freshness.h"
#include "k8s-apply/target.h"

/* Numbers that sources and the programs before us bring. */
#define METRICS_MAX_SERIES 512

struct metrics;

struct metrics *metrics_new(void) NODISCARD;
void metrics_free(struct metrics *m);

/* A result; how long it took is reckoned from its `at`, if it has one. */
void metrics_result(struct metrics *m, const struct plan_result *r, int64_t now_wall_ms);

/* The target has answered an operation. */
void metrics_outcome(struct metrics *m, enum plan_outcome outcome);

/* A line or value of the input could not be read. */
void metrics_unreadable(struct metrics *m);

/* A snapshot of the source is complete and has pruned. */
void metrics_synced(struct metrics *m, const char *source, int64_t now_wall_ms);

/* A `status` record: its `counters` are those of the program that wrote it. */
void metrics_status(struct metrics *m, jv record);

struct metrics_now {
	struct plan_counts counts;
	struct target_look target;
	bool frozen;
	const struct freshness *freshness;
	int64_t now_ms; /* steady */
};

/* The whole text; NULL when it were larger than 1 MiB. Owned by the caller. */
char *metrics_text(const struct metrics *m, const struct metrics_now *now) NODISCARD;

#endif
