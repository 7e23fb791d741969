#include "lib/diff.h"

#include <string.h>

#define CONTEXT 3

/* Beyond this the middle is shown as all old, then all new. */
#define MAX_CELLS (16u << 20)

struct text {
	const char **line; /* not terminated */
	size_t *len;
	size_t count;
};

struct step {
	enum diff_side side;
	size_t line; /* of the old text, or of the new one when DIFF_NEW */
};

struct steps {
	struct step *item;
	size_t count;
};

static struct text split(const char *s)
{
	struct text t = { .count = 0 };

	for (const char *p = s; *p != '\0'; p++)
		t.count += *p == '\n' || p[1] == '\0';
	t.line = xcalloc(t.count + 1, sizeof(char *));
	t.len = xcalloc(t.count + 1, sizeof(size_t));
	for (size_t i = 0; i < t.count; i++) {
		t.line[i] = s;
		t.len[i] = strcspn(s, "\n");
		s += t.len[i] + (s[t.len[i]] == '\n');
	}
	return t;
}

static void release(struct text *t)
{
	free(t->line);
	free(t->len);
}

static bool same(const struct text *a, size_t i, const struct text *b, size_t j)
{
	return a->len[i] == b->len[j] && memcmp(a->line[i], b->line[j], a->len[i]) == 0;
}

static void step(struct steps *s, enum diff_side side, size_t line)
{
	s->item[s->count++] = (struct step){ side, line };
}

/* The longest common subsequence of a[first..a_end) and b[first..b_end), by the table of lengths. */
static void compare_middle(const struct text *a, size_t a_end, const struct text *b, size_t b_end,
	size_t first, struct steps *out)
{
	const size_t rows = a_end - first, columns = b_end - first, width = columns + 1;
	const bool fits = rows < MAX_CELLS / width;
	cleanup_free unsigned *cell = fits ? xcalloc((rows + 1) * width, sizeof(unsigned)) : NULL;
	size_t i = 0, j = 0;

	for (size_t r = fits ? rows : 0; r-- > 0;)
		for (size_t c = columns; c-- > 0;) {
			const unsigned *below = &cell[(r + 1) * width + c];
			unsigned *here = &cell[r * width + c];

			if (same(a, first + r, b, first + c))
				*here = below[1] + 1;
			else
				*here = below[0] > here[1] ? below[0] : here[1];
		}
	while (i < rows || j < columns) {
		const unsigned *here = fits ? &cell[i * width + j] : NULL;

		if (fits && i < rows && j < columns && same(a, first + i, b, first + j)) {
			step(out, DIFF_BOTH, first + i++);
			j++;
		} else if (i < rows && (!fits || j == columns || here[width] >= here[1])) {
			step(out, DIFF_OLD, first + i++);
		} else {
			step(out, DIFF_NEW, first + j++);
		}
	}
}

static struct steps compare(const struct text *a, const struct text *b)
{
	struct steps steps = { xcalloc(a->count + b->count + 1, sizeof(struct step)), 0 };
	size_t first = 0, a_end = a->count, b_end = b->count;

	while (first < a_end && first < b_end && same(a, first, b, first))
		step(&steps, DIFF_BOTH, first++);
	while (a_end > first && b_end > first && same(a, a_end - 1, b, b_end - 1)) {
		a_end--;
		b_end--;
	}
	compare_middle(a, a_end, b, b_end, first, &steps);
	for (size_t i = a_end; i < a->count; i++)
		step(&steps, DIFF_BOTH, i);
	return steps;
}

static bool is_near_change(const struct steps *s, size_t at)
{
	size_t from = at > CONTEXT ? at - CONTEXT : 0;

	for (size_t i = from; i < s->count && i <= at + CONTEXT; i++)
		if (s->item[i].side != DIFF_BOTH)
			return true;
	return false;
}

void diff_texts(const char *old, const char *new,
	void (*on_line)(void *arg, enum diff_side side, const char *line, size_t len), void *arg)
{
	__attribute__((cleanup(release))) struct text a = split(old), b = split(new);
	struct steps steps = compare(&a, &b);
	bool skipping = false;

	for (size_t i = 0; i < steps.count; i++) {
		const struct step *s = &steps.item[i];
		const struct text *from = s->side == DIFF_NEW ? &b : &a;

		if (is_near_change(&steps, i))
			on_line(arg, s->side, from->line[s->line], from->len[s->line]);
		else if (!skipping)
			on_line(arg, DIFF_SKIPPED, "", 0);
		skipping = !is_near_change(&steps, i);
	}
	free(steps.item);
}

/* How far the pieces are. */
struct place {
	size_t old, new; /* lines before, of each text */
};

static void skip(struct place *at, enum diff_side side)
{
	at->old += side != DIFF_NEW;
	at->new += side != DIFF_OLD;
}

/* "12,3": so many lines from the 12th on. Of no lines it is the one before that is named. */
static char *range(size_t before, size_t count)
{
	return xasprintf("%zu,%zu", count > 0 ? before + 1 : before, count);
}

static char *head(const struct steps *s, size_t first, size_t end, const struct place *at)
{
	struct place after = *at;
	cleanup_free char *old = NULL, *new = NULL;

	for (size_t i = first; i < end; i++)
		skip(&after, s->item[i].side);
	old = range(at->old, after.old - at->old);
	new = range(at->new, after.new - at->new);
	return xasprintf("@@ -%s +%s @@", old, new);
}

void diff_unified(const char *old, const char *new,
	void (*on_line)(void *arg, enum diff_side side, const char *line, size_t len), void *arg)
{
	__attribute__((cleanup(release))) struct text a = split(old), b = split(new);
	struct steps steps = compare(&a, &b);
	struct place at = { 0, 0 };
	size_t end = 0;

	for (size_t i = 0; i < steps.count; skip(&at, steps.item[i++].side)) {
		const struct step *s = &steps.item[i];
		const struct text *from = s->side == DIFF_NEW ? &b : &a;
		cleanup_free char *title = NULL;

		if (!is_near_change(&steps, i))
			continue;
		if (i >= end) {
			for (end = i + 1; end < steps.count && is_near_change(&steps, end);)
				end++;
			title = head(&steps, i, end, &at);
			on_line(arg, DIFF_SKIPPED, title, strlen(title));
		}
		on_line(arg, s->side, from->line[s->line], from->len[s->line]);
	}
	free(steps.item);
}
