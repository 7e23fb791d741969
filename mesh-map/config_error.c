#include "mesh-map/config_error.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/yaml.h"

#define MAX_SHOWN 60
#define MAX_WORD  40 /* longer than any key */

void config_enter(struct config_text *c, jv step)
{
	jvx_append(&c->path, step);
}

void config_leave(struct config_text *c)
{
	c->path = jv_array_slice(c->path, 0, jvx_length(c->path) - 1);
}

/* Cuts a text that is longer, between two characters and not within one. */
static void cut(char *text, size_t max)
{
	if (strlen(text) <= max + strlen("..."))
		return;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	memcpy(text + max, "...", sizeof("..."));
}

char *config_show(jv value)
{
	char *text;

	if (jvx_is(value, JV_KIND_OBJECT))
		return xstrdup("a mapping");
	if (jvx_is(value, JV_KIND_ARRAY))
		return xstrdup("a list");
	text = jvx_dump(value);
	cut(text, MAX_SHOWN);
	return text;
}

static bool is_plain(const char *key)
{
	return *key != '\0' &&
	       key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789-_*?")] == '\0';
}

/* services.redis.ports[0].number */
static void put_step(struct buf *out, jv step)
{
	cleanup_free char *shown = config_show(step);
	const char *dot = out->len > 0 ? "." : "";
	const char *key = jvx_str(step, NULL);
	int full;

	if (key == NULL)
		full = buf_addf(out, "[%s]", shown);
	else if (is_plain(key) && strlen(key) <= MAX_SHOWN)
		full = buf_addf(out, "%s%s", dot, key);
	else
		full = buf_addf(out, "%s%s", dot, shown);
	/* Paths are at most five steps, so that nothing is. */
	(void)full;
}

static int fail(struct config_text *c, bool of_key, const char *fmt, va_list ap)
{
	struct yaml_position at;
	cleanup_buf struct buf path;
	char what[512];

	buf_init(&path, 4096);
	for (int i = 0; i < jvx_length(c->path); i++) {
		cleanup_jv jv step = jvx_at(c->path, i);

		put_step(&path, step);
	}
	vsnprintf(what, sizeof(what), fmt, ap);
	yaml_position(c->text, c->len, c->path, of_key, &at);
	return err_set(c->err, EXIT_CONFIG, "%s:%zu:%zu: %s%s%s", c->name, at.line, at.column,
		buf_str(&path), path.len > 0 ? ": " : "", what);
}

int config_fail(struct config_text *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(c, false, fmt, ap);
	va_end(ap);
	return -1;
}

int config_fail_key(struct config_text *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(c, true, fmt, ap);
	va_end(ap);
	return -1;
}

/* host_suffix and Host-Suffix are hostsuffix. */
static size_t fold(const char *word, char folded[static MAX_WORD])
{
	size_t len = 0;

	for (; *word != '\0' && len < MAX_WORD; word++)
		if (*word != '_' && *word != '-' && *word != ' ')
			folded[len++] = (char)tolower((unsigned char)*word);
	return len;
}

/* How many characters have to be put in, taken out or changed (Levenshtein). */
static size_t distance(const char *one, const char *other)
{
	char a[MAX_WORD], b[MAX_WORD];
	size_t row[MAX_WORD + 1], n = fold(one, a), m = fold(other, b);

	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[m];
}

/* How unlike the word is; of two that are as near the one with the same beginning is more like it. */
static size_t unlikeness(const char *word, const char *wrong)
{
	size_t common = 0;

	while (common < MAX_WORD - 1 && word[common] != '\0' && word[common] == wrong[common])
		common++;
	return distance(word, wrong) * MAX_WORD + MAX_WORD - 1 - common;
}

char *config_nearest(jv words, const char *wrong)
{
	size_t len = strlen(wrong);
	size_t least = (len < 4 ? 2 : len < 6 ? 3 : 4) * MAX_WORD; /* else it is another word */
	char *nearest = NULL;

	if (strlen(wrong) >= MAX_WORD)
		return NULL;
	for (int i = 0; i < jvx_length(words); i++) {
		cleanup_jv jv word = jvx_at(words, i);
		size_t much = unlikeness(jvx_str(word, ""), wrong);

		if (much >= least)
			continue;
		least = much;
		free(nearest);
		nearest = xstrdup(jvx_str(word, ""));
	}
	return nearest;
}
