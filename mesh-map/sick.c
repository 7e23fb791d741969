#include "mesh-map/sick.h"

#include <string.h>

#define MIN_PAUSE_MS 2000
#define MAX_PAUSE_MS (10 * 60 * 1000)

/* More is not remembered: such a service waits until it is said again. */
#define MAX_BYTES (64u << 20)

struct sick *sick_find(const struct sick_list *l, const char *subject)
{
	struct sick *s = l->first;

	while (s != NULL && strcmp(s->subject, subject) != 0)
		s = s->next;
	return s;
}

static void set_text(struct sick_list *l, struct sick *s, const char *text, size_t len)
{
	free(s->text);
	l->bytes -= s->len;
	s->text = NULL;
	s->len = 0;
	if (text == NULL || l->bytes + len > MAX_BYTES)
		return;
	s->text = xstrndup(text, len);
	s->len = len;
	l->bytes += len;
}

static struct sick *add(struct sick_list *l, const char *subject, const char *source)
{
	struct sick *s = xcalloc(1, sizeof(*s));

	s->subject = xstrdup(subject);
	s->source = xstrdup(source);
	s->pause = (struct backoff){ .min_ms = MIN_PAUSE_MS, .max_ms = MAX_PAUSE_MS };
	s->next = l->first;
	l->first = s;
	l->count++;
	return s;
}

void sick_died(struct sick_list *l, const struct item *item, const char *why)
{
	struct sick *s = sick_find(l, item->subject);

	if (s == NULL)
		s = add(l, item->subject, item->source);
	free(s->why);
	s->why = xstrdup(why);
	sick_renew(l, s, item);
	s->due_ms = steady_ms() + backoff_next_ms(&s->pause);
}

void sick_renew(struct sick_list *l, struct sick *s, const struct item *item)
{
	set_text(l, s, item->text, item->len);
	s->line = item->line;
}

static void release(struct sick_list *l, struct sick *s)
{
	set_text(l, s, NULL, 0);
	free(s->subject);
	free(s->source);
	free(s->why);
	free(s);
}

static void take_out(struct sick_list *l, struct sick **at)
{
	struct sick *s = *at;

	*at = s->next;
	l->count--;
	release(l, s);
}

void sick_forget(struct sick_list *l, const char *subject)
{
	struct sick **at = &l->first;

	while (*at != NULL && strcmp((*at)->subject, subject) != 0)
		at = &(*at)->next;
	if (*at != NULL)
		take_out(l, at);
}

void sick_forget_unnamed(struct sick_list *l, const char *source)
{
	struct sick **at = &l->first;

	while (*at != NULL)
		if ((*at)->text == NULL && strcmp((*at)->source, source) == 0)
			take_out(l, at);
		else
			at = &(*at)->next;
}

void sick_forget_text(struct sick_list *l, const char *subject)
{
	struct sick *s = sick_find(l, subject);

	if (s != NULL)
		set_text(l, s, NULL, 0);
}

void sick_forget_texts(struct sick_list *l, const char *source)
{
	for (struct sick *s = l->first; s != NULL; s = s->next)
		if (strcmp(s->source, source) == 0)
			set_text(l, s, NULL, 0);
}

struct sick *sick_due(const struct sick_list *l, int64_t now_ms)
{
	struct sick *first = NULL;

	for (struct sick *s = l->first; s != NULL; s = s->next)
		if (s->text != NULL && s->due_ms <= now_ms &&
			(first == NULL || s->due_ms < first->due_ms))
			first = s;
	return first;
}

void sick_release(struct sick_list *l)
{
	while (l->first != NULL)
		take_out(l, &l->first);
}
