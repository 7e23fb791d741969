#include "k8s-apply/list_items.h"

#include <string.h>

#include "k8s-apply/api_json.h"

/* What is said of a list beside its items. */
#define MAX_REST_BYTES (1u << 20)

/* Is it the name of the field, quotes included? */
static bool is_items(const char *name, const char *end)
{
	static const char items[] = "\"items\"";

	return (size_t)(end - name) == strlen(items) && memcmp(name, items, strlen(items)) == 0;
}

/* The API server has null for the items of an empty list of metadata. */
static bool open_items(struct list_items *l, const char *at)
{
	if (at < l->end && *at == '[') {
		l->items = l->at = at + 1;
		return true;
	}
	l->items = l->at = l->rest = at;
	return (size_t)(l->end - at) >= strlen("null") && memcmp(at, "null", strlen("null")) == 0;
}

bool list_items_open(struct list_items *l, const char *text, size_t len)
{
	const char *end = text + len, *at = api_json_skip_blanks(text, end);

	*l = (struct list_items){ .text = at, .end = end };
	if (at == end || *at != '{')
		return false;
	at = api_json_skip_blanks(at + 1, end);
	while (at < end && *at == '"') {
		const char *name = at, *name_end = api_json_skip_string(at, end);

		at = api_json_skip_blanks(name_end, end);
		if (at == end || *at != ':')
			return false;
		at = api_json_skip_blanks(at + 1, end);
		if (is_items(name, name_end))
			return open_items(l, at);
		at = api_json_skip_blanks(api_json_skip_value(at, end), end);
		if (at < end && *at == ',')
			at = api_json_skip_blanks(at + 1, end);
	}
	return false;
}

static int broken(struct err *err)
{
	return err_set(err, EXIT_BAD_INPUT, "a list that ends within its items");
}

int list_items_next(struct list_items *l, jv *ret, struct err *err)
{
	const char *at = api_json_skip_blanks(l->at, l->end), *value_end;

	if (l->rest != NULL)
		return 0;
	if (at < l->end && *at == ']') {
		l->rest = at;
		return 0;
	}
	value_end = api_json_skip_value(at, l->end);
	l->at = api_json_skip_blanks(value_end, l->end);
	if (l->at == l->end || (*l->at != ',' && *l->at != ']'))
		return broken(err);
	*ret = api_json_parse(at, (size_t)(value_end - at), err);
	if (!jv_is_valid(*ret))
		return -1;
	l->at += *l->at == ',';
	return 1;
}

jv list_items_rest(const struct list_items *l, struct err *err)
{
	cleanup_buf struct buf text;

	buf_init(&text, MAX_REST_BYTES);
	if (l->rest == NULL || buf_add(&text, l->text, (size_t)(l->items - l->text)) < 0 ||
		buf_add(&text, l->rest, (size_t)(l->end - l->rest)) < 0) {
		broken(err);
		return jv_invalid();
	}
	return jvx_parse(text.data, text.len, err);
}
