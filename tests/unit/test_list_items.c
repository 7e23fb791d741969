/* list_items: a list cut into its items, along its brackets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "k8s-apply/list_items.h"

/* The items joined by "|", then the rest; "!" and no more where it is broken. */
static char *cut(const char *text)
{
	struct list_items l;
	struct err err = ERR_INIT;
	char *all = xstrdup("");
	int rc;

	if (!list_items_open(&l, text, strlen(text))) {
		free(all);
		return xstrdup("no list");
	}
	for (;;) {
		cleanup_jv jv item = jv_invalid();
		cleanup_jv jv rest = jv_invalid();
		cleanup_free char *before = all, *dump = NULL;

		rc = list_items_next(&l, &item, &err);
		if (rc == 0)
			rest = list_items_rest(&l, &err);
		if (rc < 0 || (rc == 0 && !jv_is_valid(rest)))
			return xasprintf("%s!", before);
		dump = jvx_dump(rc == 0 ? rest : item);
		all = xasprintf("%s%s%s", before, dump, rc > 0 ? "|" : "");
		if (rc == 0)
			return all;
	}
}

struct example {
	const char *text, *cut;
};

static void check(const struct example *e, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *found = cut(e[i].text);

		assert_string_equal(found, e[i].cut);
	}
}

static void test_lists(void **state UNUSED)
{
	static const struct example examples[] = {
		{ "{\"items\":[]}", "{\"items\":[]}" },
		{ "{\"items\":null,\"kind\":\"L\"}", "{\"items\":null,\"kind\":\"L\"}" },
		{ "{\"kind\":\"L\",\"metadata\":{\"continue\":\"a\"},\"items\":[{\"a\":1},{\"b\":["
		  "2,{}]}]}",
			"{\"a\":1}|{\"b\":[2,{}]}|{\"items\":[],\"kind\":\"L\",\"metadata\":{"
			"\"continue\":\"a\"}}" },
		/* As the API server writes it for a browser. */
		{ "{\n  \"items\" : [\n    {\n      \"a\": 1\n    },\n    {}\n  ],\n  \"kind\": "
		  "\"L\"\n}\n",
			"{\"a\":1}|{}|{\"items\":[],\"kind\":\"L\"}" },
		{ "{\"items\":[{\"a\":\"]},{\\\"\\\\\"},\"x\",3,null]}",
			"{\"a\":\"]},{\\\"\\\\\"}|\"x\"|3|null|{\"items\":[]}" },
		/* Only its own field is meant. */
		{ "{\"metadata\":{\"items\":[1]},\"x\":\"items\",\"items\":[2]}",
			"2|{\"items\":[],\"metadata\":{\"items\":[1]},\"x\":\"items\"}" },
	};

	check(examples, ARRAY_SIZE(examples));
}

static void test_no_lists(void **state UNUSED)
{
	static const struct example examples[] = {
		{ "", "no list" },
		{ "  ", "no list" },
		{ "[1]", "no list" },
		{ "{\"kind\":\"Status\"}", "no list" },
		{ "{\"items\":nul}", "no list" },
		{ "{\"items\":", "no list" },
		{ "{\"items\"", "no list" },
		{ "{\"items", "no list" },
		{ "{\"items\\", "no list" },
		{ "404 page not found", "no list" },
	};

	check(examples, ARRAY_SIZE(examples));
}

/* Wherever it is cut off, it is an error, and never a list with fewer items. */
static void test_cut_off(void **state UNUSED)
{
	static const char text[] = "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":"
				   "[1,2]},{\"b\":\"x\"}],\"kind\":\"L\"}";

	for (size_t len = 0; len < strlen(text); len++) {
		cleanup_free char *part = xstrndup(text, len);
		cleanup_free char *found = cut(part);

		if (strcmp(found, "no list") != 0)
			assert_int_equal(found[strlen(found) - 1], '!');
	}
}

static void test_broken(void **state UNUSED)
{
	static const struct example examples[] = {
		{ "{\"items\":[{\"a\":1},,{}]}", "{\"a\":1}|!" },
		{ "{\"items\":[{\"a\":1}{}]}", "!" },
		{ "{\"items\":[{\"a\":1]}]}", "!" },
		{ "{\"items\":[{}}", "!" },
		{ "{\"items\":[{}]]", "{}|!" },
		{ "{\"items\":[{}],}x", "{}|!" },
	};

	check(examples, ARRAY_SIZE(examples));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_no_lists),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
