#include "k8s-apply/api_json.h"

#include <string.h>

#define FIELDS "\"fieldsV1\""

const char *api_json_skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
		at++;
	return at;
}

const char *api_json_skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\' && at + 1 < end)
			at++;
	return at < end ? at + 1 : end;
}

const char *api_json_skip_value(const char *at, const char *end)
{
	size_t depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = api_json_skip_string(at, end);
			if (depth == 0)
				return at;
			continue;
		}
		if (depth == 0 && (*at == ',' || *at == ']' || *at == '}'))
			return at;
		if (*at == '{' || *at == '[')
			depth++;
		if ((*at == '}' || *at == ']') && --depth == 0)
			return at + 1;
		at++;
	}
	return end;
}

const char *api_json_find_text(
	const char *text, const char *end, const char *field, size_t *ret_len)
{
	const char *at = memmem(text, (size_t)(end - text), field, strlen(field)), *quote;

	if (at == NULL)
		return NULL;
	at += strlen(field);
	quote = memchr(at, '"', (size_t)(end - at));
	if (quote == NULL || memchr(at, '\\', (size_t)(quote - at)) != NULL)
		return NULL;
	*ret_len = (size_t)(quote - at);
	return at;
}

/* The value of the next fieldsV1, or NULL. Text within a string has no bare quote. */
static const char *find_fields(const char *at, const char *end)
{
	while ((at = memmem(at, (size_t)(end - at), FIELDS, strlen(FIELDS))) != NULL) {
		at = api_json_skip_blanks(at + strlen(FIELDS), end);
		if (at == end || *at != ':')
			continue;
		at = api_json_skip_blanks(at + 1, end);
		if (at < end && *at == '{')
			return at;
	}
	return NULL;
}

jv api_json_parse(const char *text, size_t len, struct err *err)
{
	const char *end = text + len, *at = text, *fields = find_fields(text, end);
	cleanup_free char *slim = NULL;
	size_t n = 0;

	if (fields == NULL)
		return jvx_parse(text, len, err);
	slim = xcalloc(len, 1);
	for (; fields != NULL; fields = find_fields(at, end)) {
		memcpy(slim + n, at, (size_t)(fields - at));
		n += (size_t)(fields - at);
		slim[n++] = '0';
		at = api_json_skip_value(fields, end);
	}
	memcpy(slim + n, at, (size_t)(end - at));
	return jvx_parse(slim, n + (size_t)(end - at), err);
}
