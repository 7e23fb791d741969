#include "k8s-apply/warnings.h"

#include <string.h>
#include <xxhash.h>

#include "lib/log.h"

/* Of one reply; a server may send as many as it likes. */
#define MAX_OF_REPLY 16

#define MAX_TEXT_BYTES 1000

/* The quoted part, where quotes and backslashes have a backslash before them (RFC 7230, 3.2.6). */
static char *unquote(const char *value)
{
	const char *from = strchr(value, '"');
	char *text, *to;

	if (from == NULL)
		return NULL;
	text = to = xcalloc(1, strlen(from) + 1);
	for (from++; *from != '\0' && *from != '"' && to - text < MAX_TEXT_BYTES; from++) {
		if (*from == '\\' && from[1] != '\0')
			from++;
		*to++ = (unsigned char)*from < ' ' || *from == 0x7f ? '?' : *from;
	}
	return text;
}

static bool is_new(struct warnings *w, const char *text)
{
	uint64_t hash = XXH3_64bits(text, strlen(text));

	for (unsigned i = 0; i < w->count; i++)
		if (w->seen[i] == hash)
			return false;
	if (w->count >= WARNINGS_MAX)
		return false;
	w->seen[w->count++] = hash;
	return true;
}

/* 299 is the code for whatever is meant for a person; others are of caches (RFC 7234, 5.5). */
bool warnings_read(struct warnings *w, const char *value, char **ret)
{
	cleanup_free char *text = str_starts(value, "299 ") ? unquote(value) : NULL;

	if (text == NULL || *text == '\0' || !is_new(w, text))
		return false;
	*ret = TAKE(text);
	return true;
}

static void say_full(struct warnings *w)
{
	if (w->count < WARNINGS_MAX || w->full_said)
		return;
	w->full_said = true;
	log_warn("the API server warns of many things, no more of them are said");
}

void warnings_take(struct warnings *w, const struct http_reply *reply)
{
	const char *value;

	for (size_t i = 0; i < MAX_OF_REPLY; i++) {
		cleanup_free char *text = NULL;

		value = http_header_at(reply, "Warning", i);
		if (value == NULL)
			break;
		if (warnings_read(w, value, &text))
			log_warn("the API server warns", "warning", text);
	}
	say_full(w);
}
