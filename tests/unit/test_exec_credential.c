/* What exec plugins say, and what they must not. */
#include "k8s-apply/exec_credential.h"

#include "lib/jvx.h"
#include "tests/unit/kubeconfig_bench.h"

#define V1 "client.authentication.k8s.io/v1"

static char *answer(const char *status)
{
	return xasprintf("{\"apiVersion\": \"" V1 "\", \"kind\": \"ExecCredential\","
			 " \"status\": %s}\n",
		status);
}

static struct exec_credential parse(const char *status)
{
	cleanup_free char *text = answer(status);
	struct exec_credential c = { .token = NULL };
	struct err err = ERR_INIT;

	if (exec_credential_parse(text, strlen(text), V1, &c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static void assert_wrong(const char *text, const char *message)
{
	struct exec_credential c = { .token = NULL };
	struct err err = ERR_INIT;

	assert_int_equal(exec_credential_parse(text, strlen(text), V1, &c, &err), -1);
	assert_string_equal(err.msg, message);
	assert_null(strstr(err.msg, "s3cret"));
	assert_null(c.token);
	assert_null(c.cert_pem);
}

static void assert_wrong_status(const char *status, const char *message)
{
	cleanup_free char *text = answer(status);

	assert_wrong(text, message);
}

/* A string of JSON. */
static char *quoted(const char *text)
{
	cleanup_jv jv v = jv_string(text);

	return jvx_dump(v);
}

static void a_token_and_when_it_ends(void **state UNUSED)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "2026-11-01T10:00:00Z", INT64_C(1793527200000) },
		{ "2026-11-01T10:00:00.123456Z", INT64_C(1793527200000) },
		{ "2026-11-01T12:30:00+02:30", INT64_C(1793527200000) },
		{ "2026-11-01T09:00:00-01:00", INT64_C(1793527200000) },
	};
	struct exec_credential c = parse("{\"token\": \"t\"}");

	assert_string_equal(c.token, "t");
	assert_null(c.cert_pem);
	assert_int_equal(c.expires_ms, 0);
	exec_credential_release(&c);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *status = xasprintf(
			"{\"token\": \"t\", \"expirationTimestamp\": \"%s\","
			" \"clientKeyData\": null, \"clientCertificateData\": \"\", \"more\": 1}",
			rows[i].text);

		c = parse(status);
		assert_int_equal(c.expires_ms, rows[i].ms);
		exec_credential_release(&c);
	}
}

static void yaml_is_as_good(void **state UNUSED)
{
	static const char text[] = "---\nkind: ExecCredential\napiVersion: " V1 "\nstatus:\n"
				   "  expirationTimestamp: 2026-11-01T10:00:00Z\n  token: abc\n";
	struct exec_credential c;
	struct err err = ERR_INIT;

	assert_int_equal(exec_credential_parse(text, strlen(text), V1, &c, &err), 0);
	assert_string_equal(c.token, "abc");
	assert_int_equal(c.expires_ms, INT64_C(1793527200000));
	exec_credential_release(&c);
	assert_wrong("kind: ExecCredential\n---\nkind: x\n", "its output is no JSON object");
	assert_wrong("s3cret: [", "its output is no JSON object");
}

static void a_certificate_with_its_key(void **state UNUSED)
{
	cleanup_free char *cert = quoted(bench.one.cert);
	cleanup_free char *key = quoted(bench.one.key);
	cleanup_free char *other = quoted(bench.two.key);
	cleanup_free char *good =
		xasprintf("{\"clientCertificateData\": %s, \"clientKeyData\": %s}", cert, key);
	cleanup_free char *mixed =
		xasprintf("{\"clientCertificateData\": %s, \"clientKeyData\": %s}", cert, other);
	cleanup_free char *half =
		xasprintf("{\"token\": \"t\", \"clientCertificateData\": %s}", cert);
	struct exec_credential c = parse(good);

	assert_string_equal(c.cert_pem, bench.one.cert);
	assert_string_equal(c.key_pem, bench.one.key);
	assert_null(c.token);
	exec_credential_release(&c);
	assert_wrong_status(mixed, "the client key does not belong to the client certificate");
	assert_wrong_status(half, "it says a certificate without the key");
	assert_wrong_status(
		"{\"clientKeyData\": \"s3cret\"}", "it says a key without the certificate");
}

static void what_is_no_credential(void **state UNUSED)
{
	assert_wrong("", "its output is empty");
	assert_wrong(" \n", "its output is empty");
	assert_wrong("s3cret", "its output is no JSON object");
	assert_wrong("\"s3cret\"", "its output is no JSON object");
	assert_wrong("{\"token\": \"s3cret\"", "its output is no JSON object");
	assert_wrong("{} {}", "its output is no JSON object");
	assert_wrong("{}", "its output is no ExecCredential");
	assert_wrong("{\"kind\": \"ExecCredential\"}", "its output has no apiVersion");
	assert_wrong("{\"kind\": \"ExecCredential\", \"apiVersion\": \"" V1 "beta1\"}",
		"its output is of the apiVersion 'client.authentication.k8s.io/v1beta1', "
		"but the kubeconfig says 'client.authentication.k8s.io/v1'");
	assert_wrong_status("null", "its output has no 'status'");
	assert_wrong_status("[\"s3cret\"]", "its output has no 'status'");
	assert_wrong_status("{}", "it says neither a token nor a certificate");
	assert_wrong_status("{\"token\": \"\"}", "it says neither a token nor a certificate");
	assert_wrong_status("{\"token\": {\"s3cret\": 1}}", "its 'token' is not text");
	assert_wrong_status("{\"token\": \"s3cret\\u0000\"}", "its 'token' is not text");
	assert_wrong_status("{\"token\": \"s3cret\\r\\nX: y\"}",
		"its token holds a blank or control character");
}

static void times_that_are_none(void **state UNUSED)
{
	static const char *const times[] = { "\"tomorrow\"", "\"2026-11-01\"",
		"\"2026-11-01T10:00:00\"", "\"2026-11-01T10:00:00+2\"",
		"\"2026-11-01T10:00:00+02:00x\"", "\"1965-01-01T00:00:00Z\"",
		"\"2026-13-01T10:00:00Z\"" };

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		cleanup_free char *status =
			xasprintf("{\"token\": \"s3cret\", \"expirationTimestamp\": %s}", times[i]);

		assert_wrong_status(
			status, "its 'expirationTimestamp' is no time as 2006-01-02T15:04:05Z");
	}
	assert_wrong_status("{\"token\": \"s3cret\", \"expirationTimestamp\": 1793527200}",
		"its 'expirationTimestamp' is not text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_and_when_it_ends),
		cmocka_unit_test(yaml_is_as_good),
		cmocka_unit_test(a_certificate_with_its_key),
		cmocka_unit_test(what_is_no_credential),
		cmocka_unit_test(times_that_are_none),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
