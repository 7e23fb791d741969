#include "mesh-map/product.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void identity_is_group_kind_namespace_and_name(void **state UNUSED)
{
	static const struct {
		const char *json, *identity;
	} rows[] = {
		{ "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\"}}", "/A//n" },
		{ "{\"apiVersion\":\"v2\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\"}}", "/A//n" },
		{ "{\"apiVersion\":\"x.io/"
		  "v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\",\"namespace\":\"s\"}}",
			"x.io/A/s/n" },
		{ "{\"apiVersion\":\"x.io/v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"n\","
		  "\"namespace\":null}}",
			"x.io/A//n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv value = jv_parse(rows[i].json);
		struct err err = ERR_INIT;
		cleanup_free char *identity = product_identity(value, &err);

		assert_non_null(identity);
		assert_string_equal(identity, rows[i].identity);
	}
}

static void what_has_no_identity_is_said(void **state UNUSED)
{
	static const struct {
		const char *json, *what;
	} rows[] = {
		{ "1", "a number" },
		{ "[]", "an array" },
		{ "{}", "'apiVersion'" },
		{ "{\"apiVersion\":\"v1\"}", "'kind'" },
		{ "{\"apiVersion\":\"v1\",\"kind\":\"\"}", "'kind'" },
		{ "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":\"x\"}", "'metadata.name'" },
		{ "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":1}}",
			"'metadata.name'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv value = jv_parse(rows[i].json);
		struct err err = ERR_INIT;

		assert_null(product_identity(value, &err));
		assert_int_equal(err.status, EXIT_SOME_FAILED);
		assert_non_null(strstr(err.msg, rows[i].what));
	}
}

/* An object with this metadata. */
static jv with_metadata(const char *metadata)
{
	cleanup_free char *json =
		xasprintf("{\"apiVersion\":\"x.io/v1\",\"kind\":\"A\",\"metadata\":%s}", metadata);
	jv value = jv_parse(json);

	assert_true(jv_is_valid(value));
	return value;
}

static void metadata_that_no_server_takes_is_found(void **state UNUSED)
{
	static const struct {
		const char *metadata, *error; /* NULL: fine */
	} rows[] = {
		{ "{\"name\":\"n\"}", NULL },
		{ "{\"name\":\"n\",\"namespace\":null,\"labels\":null}", NULL },
		{ "{\"name\":\"system:x\",\"labels\":{\"a\":\"\"},\"annotations\":{\"b\":\"c\"}}",
			NULL },
		{ "{\"name\":\"a/b\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"..\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"a%\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"a b\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"\u00e9\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"n\",\"labels\":{\"a\":null}}", NULL },
		{ "{\"name\":\"a\\u0000b\"}", "metadata.name is not a valid name" },
		{ "{\"name\":\"n\",\"namespace\":\"../x\"}",
			"metadata.namespace is not a valid name" },
		{ "{\"name\":\"n\",\"namespace\":1}", "metadata.namespace is not a valid name" },
		{ "{\"name\":\"n\",\"labels\":{\"a\":1}}",
			"metadata.labels: the value of 'a' is not a string" },
		{ "{\"name\":\"n\",\"annotations\":[]}", "metadata.annotations is not a map" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv value = with_metadata(rows[i].metadata);
		struct err err = ERR_INIT;
		int rc = product_check(value, &err);

		assert_int_equal(rc, rows[i].error == NULL ? 0 : -1);
		assert_string_equal(err.msg, rows[i].error == NULL ? "" : rows[i].error);
	}
}

static void a_name_may_be_as_long_as_kubernetes_takes(void **state UNUSED)
{
	for (size_t len = 253; len <= 254; len++) {
		char name[300] = "";
		cleanup_free char *metadata = NULL;
		cleanup_jv jv value = jv_invalid();
		struct err err = ERR_INIT;

		memset(name, 'a', len);
		metadata = xasprintf("{\"name\":\"%s\"}", name);
		value = with_metadata(metadata);
		assert_int_equal(product_check(value, &err), len == 253 ? 0 : -1);
	}
}

static void what_is_kept_is_named_in_full(void **state UNUSED)
{
	cleanup_jv jv value = with_metadata("{\"name\":\"n\",\"namespace\":\"s\",\"labels\":1}");
	cleanup_jv jv bare = with_metadata("{\"name\":\"n\",\"namespace\":null}");
	cleanup_jv jv kept = product_keep(value, "why");
	cleanup_jv jv kept_bare = product_keep(bare, "why");
	cleanup_free char *text = jvx_dump(kept);
	cleanup_free char *bare_text = jvx_dump(kept_bare);

	assert_string_equal(text, "{\"apiVersion\":\"x.io/v1\",\"error\":\"why\",\"kind\":\"A\","
				  "\"name\":\"n\",\"namespace\":\"s\"}");
	assert_string_equal(bare_text, "{\"apiVersion\":\"x.io/v1\",\"error\":\"why\","
				       "\"kind\":\"A\",\"name\":\"n\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_group_kind_namespace_and_name),
		cmocka_unit_test(what_has_no_identity_is_said),
		cmocka_unit_test(metadata_that_no_server_takes_is_found),
		cmocka_unit_test(a_name_may_be_as_long_as_kubernetes_takes),
		cmocka_unit_test(what_is_kept_is_named_in_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
