#include "k8s-apply/freshness.h"

#include <string.h>

struct fresh_source {
	char *name;
	char *state; /* NULL: it never sent a status */
	bool connected;
	bool stale; /* as last told */
	int64_t heard_ms;
};

static struct fresh_source *get(struct freshness *f, const char *name)
{
	struct fresh_source *s = map_get(&f->sources, name, strlen(name));

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	map_add(&f->sources, s->name, strlen(name), s);
	return s;
}

void freshness_release(struct freshness *f)
{
	struct fresh_source *s;
	size_t pos = 0;

	while ((s = map_next(&f->sources, &pos)) != NULL) {
		free(s->name);
		free(s->state);
		free(s);
	}
	map_release(&f->sources);
}

void freshness_heard(struct freshness *f, const char *source, int64_t now_ms)
{
	get(f, source)->heard_ms = now_ms;
}

void freshness_status(struct freshness *f, const char *source, const char *state, int64_t now_ms)
{
	struct fresh_source *s = get(f, source);

	if (s->state == NULL || strcmp(s->state, state) != 0) {
		free(s->state);
		s->state = xstrdup(state);
	}
	s->connected = strcmp(state, "connected") == 0;
	s->heard_ms = now_ms;
}

static bool is_silent(const struct fresh_source *s, int64_t now_ms)
{
	return now_ms - s->heard_ms > FRESHNESS_MS;
}

static bool is_fresh(const struct fresh_source *s, int64_t now_ms)
{
	return s->state == NULL || (s->connected && !is_silent(s, now_ms));
}

void freshness_look(struct freshness *f, int64_t now_ms,
	void (*on_change)(void *arg, const struct freshness_change *change), void *arg)
{
	struct fresh_source *s;
	size_t pos = 0;

	while ((s = map_next(&f->sources, &pos)) != NULL) {
		const struct freshness_change change = {
			.source = s->name,
			.fresh = is_fresh(s, now_ms),
			.silent = s->connected,
			.state = s->state,
		};

		if (change.fresh != s->stale)
			continue;
		s->stale = !change.fresh;
		on_change(arg, &change);
	}
}

bool freshness_is_any(const struct freshness *f, int64_t now_ms)
{
	const struct fresh_source *s;
	size_t pos = 0;

	while ((s = map_next(&f->sources, &pos)) != NULL)
		if (is_fresh(s, now_ms))
			return true;
	return f->sources.count == 0;
}

int64_t freshness_until_ms(const struct freshness *f)
{
	const struct fresh_source *s;
	int64_t next = INT64_MAX;
	size_t pos = 0;

	while ((s = map_next(&f->sources, &pos)) != NULL)
		if (s->connected && !s->stale && s->heard_ms + FRESHNESS_MS + 1 < next)
			next = s->heard_ms + FRESHNESS_MS + 1;
	return next;
}

void freshness_each(const struct freshness *f, int64_t now_ms,
	void (*on_source)(void *arg, const char *source, bool fresh), void *arg)
{
	const struct fresh_source *s;
	size_t pos = 0;

	while ((s = map_next(&f->sources, &pos)) != NULL)
		on_source(arg, s->name, is_fresh(s, now_ms));
}
