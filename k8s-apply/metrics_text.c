#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "k8s-apply/metrics_state.h"
#include "lib/buf.h"

#define MAX_TEXT_BYTES (1u << 20)

/* More sources than this are not told of one by one. */
#define MAX_SOURCES 64

enum family_kind {
	OBJECTS,
	HELD_KEYS,
	QUEUED,
	IN_FLIGHT,
	WRITES,
	PROBLEMS,
	OPERATIONS,
	DELAY,
	LEADER,
	FROZEN,
	USABLE,
	SOURCE_FRESH,
	LAST_SYNC,
	SAME_HOST,
	UNREADABLE,
	DROPPED,
	BUILD,
	START,
	MEMORY,
	CPU,
};

static const struct family {
	const char *name, *type, *help;
} families[] = {
	[OBJECTS] = { "objects", "gauge", "Objects of the set, by state." },
	[HELD_KEYS] = { "held_keys", "gauge", "Keys whose deletion waits for a person." },
	[QUEUED] = { "operations_queued", "gauge",
		"Objects that are to be written or deleted and wait for their turn." },
	[IN_FLIGHT] = { "operations_in_flight", "gauge", "Objects that are being written." },
	[WRITES] = { "writes_total", "counter", "Objects written, by what was done." },
	[PROBLEMS] = { "problems_total", "counter",
		"Objects that were reported as not as they should be, by how." },
	[OPERATIONS] = { "operations_total", "counter",
		"Answers of the target to what was asked of it, by what came of it." },
	[DELAY] = { "delay_seconds", "histogram",
		"Time from the change in the catalogue to the object that is written." },
	[LEADER] = { "leader", "gauge", "1 for the process that may write the set." },
	[FROZEN] = { "frozen", "gauge", "1 while a person has stopped all writes." },
	[USABLE] = { "target_usable", "gauge", "1 while the target can be read and written." },
	[SOURCE_FRESH] = { "source_fresh", "gauge",
		"1 while what a source says is the present; nothing is written otherwise." },
	[LAST_SYNC] = { METRICS_LAST_SYNC, "gauge",
		"When the last complete snapshot of a source was taken." },
	[SAME_HOST] = { "same_host_pairs", "gauge",
		"ServiceEntries of the set whose host another ServiceEntry has, too." },
	[UNREADABLE] = { "unreadable_total", "counter", "Lines of the input without use." },
	[DROPPED] = { "series_dropped_total", "counter",
		"Numbers of other programs for which there was no room or no name." },
	[BUILD] = { "build_info", "gauge", "Always 1; the version of k8s-apply is its label." },
	[START] = { "process_start_time_seconds", "gauge", "When this process began." },
	[MEMORY] = { "process_resident_memory_bytes", "gauge", "Memory in use." },
	[CPU] = { "process_cpu_seconds_total", "counter", "Processor time used." },
};

bool metrics_is_own(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		size_t len = strlen(families[i].name);

		/* With what a histogram has behind it. */
		if (strncmp(name, families[i].name, len) == 0 &&
			(name[len] == '\0' || name[len] == '_'))
			return true;
	}
	return false;
}

struct text {
	struct buf buf;
	bool full;
};

static void put(struct text *t, const char *s)
{
	if (buf_adds(&t->buf, s) < 0)
		t->full = true;
}

static void put_head(struct text *t, const char *name, const char *type, const char *help)
{
	if (buf_addf(&t->buf, "# HELP meshpipe_%s %s\n# TYPE meshpipe_%s %s\n", name, help, name,
		    type) < 0)
		t->full = true;
}

/* Whole numbers as such: %g would round what is large. */
static void put_number(struct text *t, double value)
{
	bool whole = value == floor(value) && fabs(value) < 9007199254740992.0;

	if ((whole ? buf_addf(&t->buf, " %" PRId64 "\n", (int64_t)value)
		   : buf_addf(&t->buf, " %.15g\n", value)) < 0)
		t->full = true;
}

static void put_escaped(struct text *t, const char *value)
{
	for (; *value != '\0'; value++) {
		const char one[2] = { *value, '\0' };

		if (*value == '\n')
			put(t, "\\n");
		else if (*value == '\\' || *value == '"') {
			put(t, "\\");
			put(t, one);
		} else
			put(t, one);
	}
}

/* A sample; `label` NULL: without one. */
static void put_sample(
	struct text *t, const char *name, const char *label, const char *value, double number)
{
	put(t, "meshpipe_");
	put(t, name);
	if (label != NULL) {
		put(t, "{");
		put(t, label);
		put(t, "=\"");
		put_escaped(t, value);
		put(t, "\"}");
	}
	put_number(t, number);
}

static void begin(struct text *t, enum family_kind which)
{
	put_head(t, families[which].name, families[which].type, families[which].help);
}

static void add(
	struct text *t, enum family_kind which, const char *label, const char *value, double number)
{
	put_sample(t, families[which].name, label, value, number);
}

static void put_one(struct text *t, enum family_kind which, double number)
{
	begin(t, which);
	add(t, which, NULL, "", number);
}

static void put_objects(struct text *t, const struct metrics_now *now)
{
	const struct plan_counts *c = &now->counts;
	size_t in_flight = now->target.in_flight;

	begin(t, OBJECTS);
	add(t, OBJECTS, "state", "owned", (double)c->objects);
	add(t, OBJECTS, "state", "waiting", (double)c->waiting);
	add(t, OBJECTS, "state", "failed", (double)(c->failed - c->conflicts));
	add(t, OBJECTS, "state", "conflict", (double)c->conflicts);
	add(t, OBJECTS, "state", "held", (double)c->held_objects);
	put_one(t, HELD_KEYS, (double)c->held_keys);
	put_one(t, QUEUED, (double)(c->waiting > in_flight ? c->waiting - in_flight : 0));
	put_one(t, IN_FLIGHT, (double)in_flight);
}

static void put_results(struct text *t, const struct metrics *m, enum family_kind which,
	const enum plan_action *actions, size_t count)
{
	begin(t, which);
	for (size_t i = 0; i < count; i++)
		add(t, which, "action", plan_action_name(actions[i]),
			(double)m->results[actions[i]]);
}

static void put_counters(struct text *t, const struct metrics *m)
{
	static const enum plan_action writes[] = { PLAN_CREATED, PLAN_CONFIGURED, PLAN_DELETED };
	static const enum plan_action problems[] = { PLAN_FAILED, PLAN_CONFLICT, PLAN_HELD,
		PLAN_SKIPPED };
	static const char *const outcomes[] = {
		[PLAN_OK] = "ok",
		[PLAN_ADOPTED] = "adopted",
		[PLAN_SAME] = "unchanged",
		[PLAN_RETRY] = "retry",
		[PLAN_DENIED] = "denied",
		[PLAN_REFUSED] = "refused",
		[PLAN_FOREIGN] = "foreign",
		[PLAN_DECIDE] = "undecided",
	};

	_Static_assert(ARRAY_SIZE(outcomes) == 8 && PLAN_DECIDE == 7, "each has a name");
	put_results(t, m, WRITES, writes, ARRAY_SIZE(writes));
	put_results(t, m, PROBLEMS, problems, ARRAY_SIZE(problems));
	begin(t, OPERATIONS);
	for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
		add(t, OPERATIONS, "outcome", outcomes[i], (double)m->outcomes[i]);
	put_one(t, UNREADABLE, (double)m->unreadable);
	put_one(t, DROPPED, (double)m->dropped);
}

static void put_delay(struct text *t, const struct metrics *m)
{
	static const int64_t bounds[METRICS_BUCKET_COUNT] = METRICS_BUCKETS;
	uint64_t sum = 0;
	char le[32];

	begin(t, DELAY);
	for (size_t i = 0; i < METRICS_BUCKET_COUNT; i++) {
		sum += m->delays[i];
		snprintf(le, sizeof(le), "%g", (double)bounds[i] / 1000);
		put_sample(t, "delay_seconds_bucket", "le", le, (double)sum);
	}
	sum += m->delays[METRICS_BUCKET_COUNT];
	put_sample(t, "delay_seconds_bucket", "le", "+Inf", (double)sum);
	put_sample(t, "delay_seconds_sum", NULL, "", m->delay_sum_s);
	put_sample(t, "delay_seconds_count", NULL, "", (double)sum);
}

struct each_source {
	struct text *text;
	unsigned count;
};

static void put_source(void *arg, const char *source, bool fresh)
{
	struct each_source *e = arg;

	/* Plain manifests are of none. */
	if (*source != '\0' && e->count++ < MAX_SOURCES)
		add(e->text, SOURCE_FRESH, "source", source, fresh);
}

static void put_state(struct text *t, const struct metrics_now *now)
{
	struct each_source each = { .text = t };

	put_one(t, LEADER, now->target.leads);
	put_one(t, FROZEN, now->frozen);
	put_one(t, USABLE, now->target.unusable == NULL);
	if (now->target.knows_hosts)
		put_one(t, SAME_HOST, (double)now->target.same_hosts);
	begin(t, SOURCE_FRESH);
	freshness_each(now->freshness, now->now_ms, put_source, &each);
}

/* Whether a number only ever rises, its program knows. */
static void put_series_head(struct text *t, const struct metrics_series *s)
{
	if (strcmp(s->name, METRICS_LAST_SYNC) == 0)
		begin(t, LAST_SYNC);
	else
		put_head(t, s->name, "untyped",
			"A number of a program before this one in the pipe, as its status has it.");
}

static void put_series(struct text *t, const struct metrics *m)
{
	for (size_t i = 0; i < m->series_count; i++) {
		const struct metrics_series *s = &m->series[i];

		if (i == 0 || strcmp(m->series[i - 1].name, s->name) != 0)
			put_series_head(t, s);
		put_sample(t, s->name, *s->source != '\0' ? "source" : NULL, s->source, s->value);
	}
}

static double resident_bytes(void)
{
	size_t len;
	cleanup_free char *statm = read_whole_file("/proc/self/statm", 4096, &len);
	char *rest = statm;

	if (statm == NULL)
		return 0;
	strtoull(statm, &rest, 10); /* the size of the address space */
	return (double)strtoull(rest, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
	struct rusage usage = { .ru_nvcsw = 0 };

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void put_process(struct text *t, const struct metrics *m)
{
	begin(t, BUILD);
	add(t, BUILD, "version", MESHPIPE_VERSION, 1);
	put_one(t, START, (double)m->started_wall_ms / 1000);
	put_one(t, MEMORY, resident_bytes());
	put_one(t, CPU, cpu_seconds());
}

char *metrics_text(const struct metrics *m, const struct metrics_now *now)
{
	struct text t = { .full = false };
	char *text;

	buf_init(&t.buf, MAX_TEXT_BYTES);
	put_objects(&t, now);
	put_counters(&t, m);
	put_delay(&t, m);
	put_state(&t, now);
	put_series(&t, m);
	put_process(&t, m);
	text = t.full ? NULL : xstrdup(buf_str(&t.buf));
	buf_release(&t.buf);
	return text;
}
