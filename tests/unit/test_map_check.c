/* Checks of objects of any kind: what Kubernetes asks. */
#include "mesh-map/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The error of a check; empty when there is none. The caller frees it. */
static char *error_of(jv object)
{
	struct err err = ERR_INIT;

	if (check_object(object, &err) == 0) {
		assert_string_equal(err.msg, "");
		return xstrdup("");
	}
	assert_int_equal(err.status, EXIT_SOME_FAILED);
	return xstrdup(err.msg);
}

static void expect(jv object, const char *error)
{
	cleanup_free char *got = error_of(object);

	assert_string_equal(got, error != NULL ? error : "");
}

static jv make(const char *api_version, const char *kind, const char *metadata)
{
	cleanup_free char *json = xasprintf("{\"apiVersion\":\"%s\",\"kind\":\"%s\","
					    "\"metadata\":%s}",
		api_version, kind, metadata);
	jv object = jv_parse(json);

	if (!jv_is_valid(object))
		fail_msg("no JSON: %s", json);
	return object;
}

static void names_are_checked_by_kind(void **state UNUSED)
{
	static const struct {
		const char *version, *kind, *name, *error;
	} rows[] = {
		{ "v1", "Service", "a-1", NULL },
		{ "v1", "Service", "1a", NULL },
		{ "v1", "Service", "a.b",
			"metadata.name: a lower-case DNS label of at most 63 characters: 'a.b'" },
		{ "v1", "Namespace", "a", NULL },
		{ "v1", "Namespace", "a.b",
			"metadata.name: a lower-case DNS label of at most 63 characters: 'a.b'" },
		{ "v1", "ConfigMap", "a.b", NULL },
		{ "v1", "ConfigMap", "A",
			"metadata.name: a lower-case DNS name of at most 253 characters: 'A'" },
		{ "apps/v1", "Deployment", "a_b",
			"metadata.name: a lower-case DNS name of at most 253 characters: 'a_b'" },
		{ "security.istio.io/v1", "PeerAuthentication", "A",
			"metadata.name: a lower-case DNS name of at most 253 characters: 'A'" },
		{ "rbac.authorization.k8s.io/v1", "Role", "system:A", NULL },
		{ "example.com/v1", "Service", "1:A", NULL },
		{ "istio.io/v1", "X", "A", NULL },
		{ "v2", "ConfigMap", "a", "apiVersion: v1 or GROUP/VERSION: 'v2'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *metadata = xasprintf("{\"name\":\"%s\"}", rows[i].name);
		cleanup_jv jv object = make(rows[i].version, rows[i].kind, metadata);

		expect(object, rows[i].error);
	}
}

static void metadata_is_checked(void **state UNUSED)
{
	static const struct {
		const char *more, *error;
	} rows[] = {
		{ "\"namespace\":\"a\"", NULL },
		{ "\"namespace\":null,\"labels\":null", NULL },
		{ "\"namespace\":\"a.b\"", "metadata.namespace: a lower-case DNS label of at most "
					   "63 characters: 'a.b'" },
		{ "\"labels\":{\"x.io/A\":\"\"}", NULL },
		{ "\"labels\":{\"X.io/a\":\"\"}",
			"metadata.labels: keys: [lower-case DNS name/]at most 63 letters, digits, "
			"'-', '_' and '.', a letter or digit first and last: 'X.io/a'" },
		{ "\"labels\":{\"x.io/a\":\"b c\"}",
			"metadata.labels['x.io/a']: at most 63 letters, digits, '-', '_' and '.', "
			"a letter or digit first and last: 'b c'" },
		{ "\"labels\":{\"a\":1}", "metadata.labels.a: a string: 1" },
		{ "\"labels\":{\"a\":null}", NULL },
		{ "\"annotations\":{\"X.io/a\":\"b c\"}", NULL },
		{ "\"annotations\":{\"a b\":\"\"}",
			"metadata.annotations: keys: [DNS name/]at most 63 letters, digits, '-', "
			"'_' and '.', a letter or digit first and last: 'a b'" },
		{ "\"finalizers\":[\"x.io/y\"]", NULL },
		{ "\"finalizers\":[\"\"]",
			"metadata.finalizers[0]: [DNS name/]at most 63 letters, digits, '-', '_' "
			"and '.', a letter or digit first and last: ''" },
		{ "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"A\",\"name\":\"a\","
		  "\"uid\":\"u\"}]",
			NULL },
		{ "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"A\",\"name\":\"a\"}]",
			"metadata.ownerReferences[0].uid: required: missing" },
		{ "\"other\":1", "metadata.other: a field that is known: 1" },
		/* The server's own, which k8s-apply does not send. */
		{ "\"uid\":1,\"managedFields\":[{}]", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *metadata = xasprintf("{\"name\":\"n\",%s}", rows[i].more);
		cleanup_jv jv object = make("v1", "ConfigMap", metadata);

		expect(object, rows[i].error);
	}
}

static jv repeat(char c, size_t n)
{
	cleanup_free char *text = xcalloc(1, n + 1);

	memset(text, c, n);
	return jv_string(text);
}

static void annotations_have_a_size(void **state UNUSED)
{
	const size_t most = 252 * 1024;

	for (size_t over = 0; over <= 1; over++) {
		cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");
		cleanup_jv jv metadata = jvx_get(object, "metadata");
		cleanup_jv jv map = jv_object();

		jvx_set(&map, "a", repeat('x', most - 1 + over));
		jvx_set(&metadata, "annotations", jv_copy(map));
		jvx_set(&object, "metadata", jv_copy(metadata));
		expect(object, over == 0 ? NULL
					 : "metadata.annotations: at most 258048 bytes "
					   "together: 258049 bytes");
	}
}

static void an_object_has_a_size(void **state UNUSED)
{
	static const struct {
		size_t len;
		bool fits;
	} rows[] = { { 1400 * 1024, true }, { 1480 * 1024, false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");
		cleanup_free char *error = NULL;

		jvx_set(&object, "data", repeat('x', rows[i].len));
		error = error_of(object);
		assert_int_equal(*error == '\0', rows[i].fits);
		if (!rows[i].fits)
			assert_non_null(strstr(error, "the object: at most 1507328 bytes: 15"));
	}
}

static void nesting_ends_somewhere(void **state UNUSED)
{
	for (int depth = 127; depth <= 128; depth++) {
		cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");
		jv deep = jv_null();

		for (int i = 0; i < depth; i++)
			deep = jv_array_append(jv_array(), deep);
		jvx_set(&object, "a", deep);
		if (depth == 127) {
			expect(object, NULL);
		} else {
			cleanup_free char *error = error_of(object);

			assert_non_null(strstr(error, "at most 128 levels"));
		}
	}
}

static void what_k8s_apply_cannot_send_is_refused(void **state UNUSED)
{
	static const struct {
		const char *value, *error;
	} rows[] = {
		{ "9007199254740991", NULL },
		{ "9007199254740992", "a: a number below 2^53 (or a string): 9007199254740992" },
		{ "[1,\"a\\u0000b\"]", "a[1]: no NUL character: 'a'" },
		{ "{\"b c\":{\"d\":\"\\u0000\"}}", "a['b c'].d: no NUL character: ''" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");

		jvx_set(&object, "a", jv_parse(rows[i].value));
		expect(object, rows[i].error);
	}
}

static void a_key_has_a_length(void **state UNUSED)
{
	for (size_t len = 1024; len <= 1025; len++) {
		cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");
		cleanup_jv jv map = jv_object();
		cleanup_jv jv key = repeat('k', len);
		cleanup_free char *error = NULL;

		jvx_set(&map, jv_string_value(key), jv_true());
		jvx_set(&object, "data", jv_copy(map));
		error = error_of(object);
		assert_int_equal(*error == '\0', len == 1024);
	}
}

static void a_message_is_one_short_line(void **state UNUSED)
{
	cleanup_jv jv object = make("v1", "ConfigMap", "{\"name\":\"n\"}");
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_free char *error = NULL;

	jvx_set_str(&metadata, "namespace",
		"a\nb\x1b \u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66"
		"\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66\u5b66"
		"\u5b66\u5b66\u5b66\u5b66");
	jvx_set(&object, "metadata", jv_copy(metadata));
	error = error_of(object);
	assert_non_null(strstr(error, ": 'a?b? \u5b66"));
	assert_non_null(strstr(error, "\u5b66...'"));
	assert_in_range(strlen(error), 100, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked_by_kind),
		cmocka_unit_test(metadata_is_checked),
		cmocka_unit_test(annotations_have_a_size),
		cmocka_unit_test(an_object_has_a_size),
		cmocka_unit_test(nesting_ends_somewhere),
		cmocka_unit_test(what_k8s_apply_cannot_send_is_refused),
		cmocka_unit_test(a_key_has_a_length),
		cmocka_unit_test(a_message_is_one_short_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
