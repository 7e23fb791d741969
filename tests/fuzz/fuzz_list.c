/*
 * Any bytes as a page of a list, through list_items.c and api_json.c as in production.
 *
 * Whatever the bytes: where the whole is JSON the items that are cut out of it are its items, but for
 * what api_json.c leaves out; and an item is never had of a text that is broken before its end.
 */
#include <string.h>

#include "k8s-apply/api_json.h"
#include "k8s-apply/list_items.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

/* With 0 in place of each fieldsV1 that is an object. */
static jv without_fields(jv v)
{
	if (jvx_is(v, JV_KIND_ARRAY)) {
		for (int i = 0; i < jvx_length(v); i++)
			v = jv_array_set(v, i, without_fields(jvx_at(v, i)));
	} else if (jvx_is(v, JV_KIND_OBJECT)) {
		cleanup_jv jv names = jvx_keys(v);

		for (int i = 0; i < jvx_length(names); i++) {
			cleanup_jv jv name = jvx_at(names, i);
			const char *key = jv_string_value(name);
			cleanup_jv jv value = jvx_get(v, key);

			if (strcmp(key, "fieldsV1") == 0 && jvx_is(value, JV_KIND_OBJECT))
				jvx_set(&v, key, jv_number(0));
			else
				jvx_set(&v, key, without_fields(jvx_take(&value)));
		}
	}
	return v;
}

/* Written so that a name in it cannot be written in two ways, and has one value. */
static bool is_plain(const char *text, size_t size)
{
	const char *first = memmem(text, size, "\"items\"", 7);

	return memchr(text, '\\', size) == NULL && first != NULL &&
	       memmem(first + 1, size - (size_t)(first + 1 - text), "\"items\"", 7) == NULL;
}

static void check_item(jv item, jv expected)
{
	cleanup_jv jv slim = without_fields(jv_copy(expected));
	cleanup_free char *a = jvx_dump(item), *b = jvx_dump(slim);

	MUST(strcmp(a, b) == 0, "an item is '%s', not '%s'", a, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct list_items l;
	struct err err = ERR_INIT;
	int count = 0, rc = -1;
	bool opened;

	fuzz_leaks_begin();
	opened = list_items_open(&l, text, size);
	{
		cleanup_jv jv whole = jvx_parse(text, size, &err);
		cleanup_jv jv items = jvx_get(whole, "items");
		cleanup_jv jv slim = api_json_parse(text, size, &err);
		bool compares = jvx_is(items, JV_KIND_ARRAY) && is_plain(text, size);

		MUST(!jv_is_valid(whole) || jv_is_valid(slim), "a value that is lost: %s", err.msg);
		while (opened) {
			cleanup_jv jv item = jv_invalid();

			rc = list_items_next(&l, &item, &err);
			if (rc <= 0)
				break;
			if (compares && opened) {
				cleanup_jv jv expected = jvx_at(items, count);

				check_item(item, expected);
			}
			count++;
		}
		if (rc == 0) {
			cleanup_jv jv rest = list_items_rest(&l, &err);

			MUST(!compares || count == jvx_length(items), "%d items", count);
			MUST(!compares || jv_is_valid(rest), "no rest: %s", err.msg);
		}
	}
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s %d %s", opened ? "list" : "none", count,
		rc < 0 ? "broken" : "whole");
	fuzz_leaks_end();
	return 0;
}
