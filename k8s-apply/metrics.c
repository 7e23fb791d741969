#include "k8s-apply/metrics.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "k8s-apply/metrics_state.h"

/* Longer names and sources are not kept. */
#define MAX_NAME_BYTES	 64
#define MAX_SOURCE_BYTES 256

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->started_wall_ms = wall_ms();
	return m;
}

void metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->series_count; i++) {
		free(m->series[i].name);
		free(m->series[i].source);
	}
	free(m->series);
	free(m);
}

/* A clock that was put back is no reason for a negative delay. */
static void count_delay(struct metrics *m, int64_t delay_ms)
{
	static const int64_t bounds[METRICS_BUCKET_COUNT] = METRICS_BUCKETS;
	size_t i = 0;

	if (delay_ms < 0)
		delay_ms = 0;
	while (i < METRICS_BUCKET_COUNT && delay_ms > bounds[i])
		i++;
	m->delays[i]++;
	m->delay_sum_s += (double)delay_ms / 1000;
}

void metrics_result(struct metrics *m, const struct plan_result *r, int64_t now_wall_ms)
{
	if ((size_t)r->action >= ARRAY_SIZE(m->results))
		return;
	m->results[r->action]++;
	if (r->at_ms > 0 && (r->action == PLAN_CREATED || r->action == PLAN_CONFIGURED ||
				    r->action == PLAN_DELETED))
		count_delay(m, now_wall_ms - r->at_ms);
}

void metrics_outcome(struct metrics *m, enum plan_outcome outcome)
{
	if ((size_t)outcome < ARRAY_SIZE(m->outcomes))
		m->outcomes[outcome]++;
}

void metrics_unreadable(struct metrics *m)
{
	m->unreadable++;
}

static int compare(const struct metrics_series *s, const char *name, const char *source)
{
	int order = strcmp(s->name, name);

	return order != 0 ? order : strcmp(s->source, source);
}

/* Where it is, or belongs. */
static size_t find(const struct metrics *m, const char *name, const char *source)
{
	size_t low = 0, high = m->series_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&m->series[middle], name, source) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void set(struct metrics *m, const char *name, const char *source, double value)
{
	size_t at = find(m, name, source);

	if (at < m->series_count && compare(&m->series[at], name, source) == 0) {
		m->series[at].value = value;
		return;
	}
	if (m->series_count == METRICS_MAX_SERIES || strlen(source) > MAX_SOURCE_BYTES) {
		m->dropped++;
		return;
	}
	m->series = xrealloc(m->series, m->series_count + 1, sizeof(*m->series));
	memmove(&m->series[at + 1], &m->series[at], (m->series_count - at) * sizeof(*m->series));
	m->series_count++;
	m->series[at] = (struct metrics_series){
		.name = xstrdup(name),
		.source = xstrdup(source),
		.value = value,
	};
}

void metrics_synced(struct metrics *m, const char *source, int64_t now_wall_ms)
{
	set(m, METRICS_LAST_SYNC, source, (double)now_wall_ms / 1000);
}

/* What a name may not have becomes "_". */
static void sanitise(char *name)
{
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char)*name) || (unsigned char)*name >= 0x80)
			*name = '_';
}

static void set_counter(
	struct metrics *m, const char *program, const char *counter, const char *source, jv value)
{
	cleanup_free char *name = xasprintf("%s_%s", program, counter);
	double number = jvx_is(value, JV_KIND_NUMBER) ? jv_number_value(value) : NAN;

	sanitise(name);
	if (*counter == '\0' || strlen(name) > MAX_NAME_BYTES || metrics_is_own(name) ||
		!isfinite(number))
		m->dropped++;
	else
		set(m, name, source, number);
}

void metrics_status(struct metrics *m, jv record)
{
	cleanup_free char *program = jvx_dup_field(record, "program");
	cleanup_free char *source = jvx_dup_field(record, "source");
	cleanup_jv jv counters = jvx_get(record, "counters");
	cleanup_jv jv keys = jvx_keys(counters);

	if (program == NULL || *program == '\0')
		return;
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jvx_get(counters, jvx_str(key, ""));

		set_counter(m, program, jvx_str(key, ""), source != NULL ? source : "", value);
	}
}
