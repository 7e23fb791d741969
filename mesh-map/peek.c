#include "mesh-map/peek.h"

#include <string.h>

struct cursor {
	const char *at, *end;
};

static void skip_blank(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r'))
		c->at++;
}

static bool take_char(struct cursor *c, char wanted)
{
	skip_blank(c);
	if (c->at == c->end || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

/* Behind the quote that ends the string that c->at is in. */
static bool skip_string(struct cursor *c)
{
	while (c->at < c->end && *c->at != '"')
		c->at += *c->at == '\\' && c->end - c->at > 1 ? 2 : 1;
	if (c->at == c->end)
		return false;
	c->at++;
	return true;
}

/* A string of plain ASCII without escapes. */
static bool take_plain(struct cursor *c, struct peek_field *ret)
{
	if (!take_char(c, '"'))
		return false;
	ret->text = c->at;
	while (c->at < c->end && *c->at != '"') {
		if (*c->at == '\\' || *c->at < ' ' || *c->at == 0x7f)
			return false;
		c->at++;
	}
	ret->len = (size_t)(c->at - ret->text);
	return take_char(c, '"');
}

/* Objects, arrays and strings in them; the first character is known to be one of their openings. */
static bool skip_nested(struct cursor *c)
{
	size_t depth = 0;

	do {
		char now = *c->at++;

		if (now == '"') {
			if (!skip_string(c))
				return false;
		} else if (now == '{' || now == '[') {
			depth++;
		} else if (now == '}' || now == ']') {
			depth--;
		}
	} while (depth > 0 && c->at < c->end);
	return depth == 0;
}

static bool skip_value(struct cursor *c)
{
	skip_blank(c);
	if (c->at == c->end)
		return false;
	if (strchr("\"{[", *c->at) != NULL)
		return skip_nested(c);
	while (c->at < c->end && strchr(",}]\" \t\r", *c->at) == NULL)
		c->at++;
	return true;
}

bool peek_is(const struct peek_field *field, const char *text)
{
	return field->text != NULL && strlen(text) == field->len &&
	       memcmp(field->text, text, field->len) == 0;
}

static bool take_member(struct cursor *c, struct peek *ret)
{
	struct peek_field key;
	struct peek_field *field = NULL;

	if (!take_plain(c, &key) || !take_char(c, ':'))
		return false;
	if (peek_is(&key, "type"))
		field = &ret->type;
	else if (peek_is(&key, "source"))
		field = &ret->source;
	else if (peek_is(&key, "service"))
		field = &ret->service;
	return field != NULL ? take_plain(c, field) : skip_value(c);
}

bool peek_line(const char *text, size_t len, struct peek *ret)
{
	struct cursor c = { .at = text, .end = text + len };

	*ret = (struct peek){ 0 };
	if (!take_char(&c, '{'))
		return false;
	do {
		if (!take_member(&c, ret))
			return false;
	} while (take_char(&c, ','));
	if (!take_char(&c, '}'))
		return false;
	skip_blank(&c);
	return c.at == c.end;
}
