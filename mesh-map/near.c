#include "mesh-map/near.h"

#include <ctype.h>
#include <string.h>

#define MAX_NAME  255
#define MAX_SHOWN 5
#define NOT_NEAR  UINT32_MAX

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many letters have to be changed, added or left out (Levenshtein), whatever their case. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[MAX_NAME + 1];
	size_t columns = strlen(b);

	if (columns > MAX_NAME || strlen(a) > MAX_NAME)
		return NOT_NEAR;
	for (size_t j = 0; j <= columns; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < columns; j++) {
			bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);
			unsigned changed = diagonal + !same;

			diagonal = row[j + 1];
			row[j + 1] = min(changed, min(row[j], row[j + 1]) + 1);
		}
	}
	return row[columns];
}

static unsigned rank(const char *wanted, const char *name)
{
	unsigned away = distance(wanted, name);

	if (away != NOT_NEAR && away <= strlen(wanted) / 3 + 1)
		return away;
	if (*wanted != '\0' && strcasestr(name, wanted) != NULL)
		return MAX_NAME + (unsigned)strlen(name);
	return NOT_NEAR;
}

struct candidate {
	unsigned rank;
	char *name;
};

/* Keeps the best ones in order; the keys come in byte order, which equal ones keep. */
static void insert(struct candidate *best, unsigned r, const char *name)
{
	size_t at = MAX_SHOWN;

	while (at > 0 && r < best[at - 1].rank)
		at--;
	if (at == MAX_SHOWN)
		return;
	free(best[MAX_SHOWN - 1].name);
	memmove(&best[at + 1], &best[at], (MAX_SHOWN - 1 - at) * sizeof(*best));
	best[at] = (struct candidate){ r, xstrdup(name) };
}

char *near_names(const char *name, jv names)
{
	struct candidate best[MAX_SHOWN];
	cleanup_jv jv keys = jvx_keys(names);
	char *all = xstrdup("");

	for (size_t i = 0; i < MAX_SHOWN; i++)
		best[i] = (struct candidate){ NOT_NEAR, NULL };
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);

		insert(best, rank(name, jvx_str(key, "")), jvx_str(key, ""));
	}
	for (size_t i = 0; i < MAX_SHOWN && best[i].name != NULL; i++) {
		cleanup_free char *before = all;
		cleanup_free char *one = best[i].name;

		all = xasprintf("%s%s%s", before, i > 0 ? ", " : "", one);
	}
	return all;
}
