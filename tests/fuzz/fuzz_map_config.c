/*
 * Any bytes as a configuration of mesh-map.
 *
 * Whatever the bytes: they are refused with one line that names the text, or they are an object
 * that comes back as it was when it is written as YAML and read again.
 */
#include <string.h>

#include "lib/buf.h"
#include "lib/yaml_write.h"
#include "mesh-map/config.h"
#include "tests/fuzz/fuzz.h"

#define NAME "c.yaml"

char fuzz_outcome[600];

static void check_refusal(const struct err *err)
{
	MUST(err->status == EXIT_CONFIG, "status %d", (int)err->status);
	MUST(str_starts(err->msg, NAME ":"), "it does not say where: %s", err->msg);
	for (const char *c = err->msg; *c != '\0'; c++)
		MUST((unsigned char)*c >= 0x20 && *c != 0x7f, "not one line: %s", err->msg);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "refused %s", err->msg + strlen(NAME ":"));
}

/* What is nested deeper than we write YAML may be there under 'custom'. */
static void check_round_trip(jv config)
{
	struct err err = ERR_INIT;
	cleanup_free char *before = jvx_dump(config);
	cleanup_free char *after = NULL;
	cleanup_buf struct buf text;
	cleanup_jv jv back = jv_invalid();

	buf_init(&text, 1u << 24);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "taken %.500s", before);
	if (yaml_write_nulls(config, &text, &err) < 0)
		return;
	back = config_parse(buf_str(&text), text.len, NAME, &err);
	MUST(jv_is_valid(back), "it does not come back: %s", err.msg);
	after = jvx_dump(back);
	/* Not by their texts: -0 is 0. */
	MUST(jv_equal(jv_copy(config), jv_copy(back)), "it comes back as %s", after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	cleanup_jv jv config = config_parse((const char *)data, size, NAME, &err);

	if (!jv_is_valid(config)) {
		check_refusal(&err);
		return 0;
	}
	MUST(jvx_is(config, JV_KIND_OBJECT), "it is no object");
	check_round_trip(config);
	return 0;
}
