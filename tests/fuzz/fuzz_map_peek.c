/*
 * Any bytes as a line of input of mesh-map, as it looks at them before a parser does.
 *
 * Where it says that it can tell, and the parser reads the line, both must see the same type,
 * source and service: else a record would go another way than its worker thinks.
 */
#include <string.h>

#include "lib/jvx.h"
#include "mesh-map/peek.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static void compare(jv record, const char *name, const struct peek_field *field)
{
	cleanup_jv jv value = jvx_get(record, name);

	if (field->text == NULL) {
		MUST(!jv_is_valid(value), "'%s' was not seen", name);
		return;
	}
	MUST(jvx_is(value, JV_KIND_STRING), "'%s' is no string", name);
	MUST(field->len == strlen(jv_string_value(value)) &&
			memcmp(field->text, jv_string_value(value), field->len) == 0,
		"'%s' is '%.*s', not '%s'", name, (int)field->len, field->text,
		jv_string_value(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *line = xcalloc(size + 1, 1);
	cleanup_jv jv record = jv_invalid();
	struct err err = ERR_INIT;
	struct peek peek;
	bool can_tell;

	memcpy(line, data, size);
	fuzz_leaks_begin();
	can_tell = peek_line(line, size, &peek);
	record = jvx_parse(line, size, &err);
	if (can_tell && jv_is_valid(record)) {
		MUST(jvx_is(record, JV_KIND_OBJECT), "not an object");
		compare(record, "type", &peek.type);
		compare(record, "source", &peek.source);
		compare(record, "service", &peek.service);
	}
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s, %s", can_tell ? "told" : "not told",
		jv_is_valid(record) ? "json" : "no json");
	fuzz_leaks_end();
	return 0;
}
