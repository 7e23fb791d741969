#include "mesh-map/peek.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* "TYPE SOURCE SERVICE", with - for what is missing; "?" when it cannot tell. */
static const char *seen(const char *line)
{
	static char text[200];
	struct peek p;
	const struct peek_field *fields[] = { &p.type, &p.source, &p.service };
	size_t len = 0;

	if (!peek_line(line, strlen(line), &p))
		return "?";
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", i > 0 ? " " : "",
			fields[i]->text != NULL ? (int)fields[i]->len : 1,
			fields[i]->text != NULL ? fields[i]->text : "-");
	return text;
}

static void what_a_line_says_at_its_top(void **state UNUSED)
{
	static const struct {
		const char *line, *says;
	} rows[] = {
		{ "{\"type\":\"service\",\"source\":\"dc1\",\"service\":\"web\"}",
			"service dc1 web" },
		{ " { \"type\" : \"gone\" , \"service\" : \"a b\" }\t", "gone - a b" },
		{ "{\"instances\":[{\"type\":\"x\",\"service\":\"}\"}],\"type\":\"service\"}",
			"service - -" },
		{ "{\"meta\":{\"source\":\"]\\\"\\\\\"},\"at\":12.5e3,\"ok\":true,\"source\":"
		  "\"s\"}",
			"- s -" },
		{ "{\"note\":\"\\\"type\\\":\\\"gone\\\"\",\"type\":\"start\"}", "start - -" },
		/* The last one counts, as everywhere. */
		{ "{\"type\":\"gone\",\"type\":\"service\"}", "service - -" },
		{ "{\"type\":\"\",\"source\":\"\"}", "  -" },
		/* What only a parser can tell. */
		{ "{\"ty\\u0070e\":\"service\"}", "?" },
		{ "{\"type\":\"serv\\u0069ce\"}", "?" },
		{ "{\"type\":7}", "?" },
		{ "{\"service\":null,\"type\":\"service\"}", "?" },
		{ "{\"type\":\"service\",\"service\":\"a\tb\"}", "?" },
		{ "{}", "?" },
		/* No objects, and no JSON. */
		{ "", "?" },
		{ "{", "?" },
		{ "[]", "?" },
		{ "7", "?" },
		{ "{\"type\":\"service\"", "?" },
		{ "{\"type\":\"service\"} x", "?" },
		{ "{\"type\":\"service\",}", "?" },
		{ "{\"type\":\"service", "?" },
		{ "{\"type\":\"service\\", "?" },
		{ "{\"a\":[1,2}", "?" },
		{ "{\"a\":[[[[", "?" },
		{ "{\"a\":", "?" },
		{ "{\"a\"", "?" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(seen(rows[i].line), rows[i].says);
}

static void bytes_behind_the_length_are_not_read(void **state UNUSED)
{
	static const char line[] = "{\"type\":\"service\"}";
	struct peek p;

	for (size_t len = 0; len < strlen(line); len++)
		assert_false(peek_line(line, len, &p));
	assert_true(peek_line(line, strlen(line), &p));
	assert_true(peek_is(&p.type, "service"));
	assert_false(peek_is(&p.type, "servic"));
	assert_false(peek_is(&p.type, "service2"));
	assert_false(peek_is(&p.source, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_line_says_at_its_top),
		cmocka_unit_test(bytes_behind_the_length_are_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
