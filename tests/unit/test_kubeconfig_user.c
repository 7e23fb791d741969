/* Credentials in a kubeconfig, and in the files that it names. */
#include "tests/unit/kubeconfig_bench.h"

static void inline_data_wins_over_files(void **state UNUSED)
{
	cleanup_free char *ca = base64(bench.two.cert);
	cleanup_free char *cert = base64(bench.one.cert);
	cleanup_free char *key = base64(bench.one.key);
	/* As a block of YAML, broken into two lines. */
	cleanup_free char *text =
		xasprintf("current-context: dev\n"
			  "contexts: [{name: dev, context: {cluster: c, user: u}}]\n"
			  "clusters: [{name: c, cluster: {server: 'https://h',"
			  " certificate-authority: missing, certificate-authority-data: %s}}]\n"
			  "users:\n"
			  "- name: u\n"
			  "  user:\n"
			  "    client-certificate: missing\n"
			  "    client-certificate-data: |\n"
			  "      %.64s\n"
			  "      %s\n"
			  "    client-key: missing\n"
			  "    client-key-data: %s\n",
			ca, cert, cert + 64, key);
	struct kubeconfig c;

	put("config", text);
	c = load("config", NULL);
	assert_string_equal(c.ca_pem, bench.two.cert);
	assert_string_equal(c.cert_pem, bench.one.cert);
	assert_string_equal(c.key_pem, bench.one.key);
	assert_null(c.ca_path);
	assert_null(c.cert_path);
	assert_null(c.key_path);
	assert_false(kubeconfig_reload(&c));
	kubeconfig_release(&c);
}

static void base64_is_strict(void **state UNUSED)
{
	/* The last ones decode, but not to PEM. */
	static const struct {
		const char *data, *message;
	} rows[] = {
		{ "s3cret!!", "not base64" },
		{ "abc", "not base64" },
		{ "abc=d", "not base64" },
		{ "ab==abcd", "not base64" },
		{ "a===", "not base64" },
		{ "====", "not base64" },
		{ "abcd-bcd", "not base64" },
		{ " abcd", "not base64" },
		{ "abcd efgh", "not base64" },
		{ "YQBi", "not PEM text" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *user = xasprintf("{\"client-key-data\": \"%s\"}", rows[i].data);
		cleanup_free char *message =
			xasprintf("user 'u' of 'config': 'client-key-data': %s", rows[i].message);

		put_config("config", NULL, NULL, user);
		assert_refused("config", NULL, message);
	}
}

static void assert_pair_refused(const char *cert, const char *key, const char *message)
{
	put("crt", cert);
	put("key", key);
	put_config(
		"config", NULL, NULL, "{\"client-certificate\": \"crt\", \"client-key\": \"key\"}");
	assert_refused("config", NULL, message);
}

static void certificate_and_key_belong_together(void **state UNUSED)
{
	assert_pair_refused(bench.one.cert, bench.two.key,
		"user 'u' of 'config': "
		"the client key does not belong to the client certificate");
	assert_pair_refused(bench.one.cert, bench.encrypted_key,
		"user 'u' of 'config': the client key is not a key in PEM, or needs a password");
	assert_pair_refused(bench.one.cert, "s3cret",
		"user 'u' of 'config': the client key is not a key in PEM, or needs a password");
	assert_pair_refused(bench.one.key, bench.one.key,
		"user 'u' of 'config': the client certificate is not a certificate in PEM");
	put_bytes("crt", "s3\0cret", 7);
	assert_refused("config", NULL,
		"user 'u' of 'config': 'client-certificate': 'crt' is not PEM text");
	put("crt", bench.one.cert);
	put_config("config", NULL, NULL, "{\"client-certificate\": \"crt\"}");
	assert_refused("config", NULL,
		"user 'u' of 'config': certificate and key go together; "
		"'client-key' or 'client-key-data' is missing");
	put_config("config", NULL, NULL, "{\"client-key\": \"key\"}");
	assert_refused("config", NULL,
		"user 'u' of 'config': certificate and key go together; "
		"'client-certificate' or 'client-certificate-data' is missing");
}

static void a_token_file_wins_and_is_read_each_time(void **state UNUSED)
{
	struct kubeconfig c;
	struct err err = ERR_INIT;
	char *token = NULL;

	put("t", "\n  first\r\n");
	put_config("config", NULL, NULL, "{\"token\": \"inline\", \"tokenFile\": \"t\"}");
	c = load("config", NULL);
	assert_string_equal(c.token_path, "t");
	assert_token(&c, "first");
	put("t", "second");
	assert_token(&c, "second");
	assert_int_equal(unlink("t"), 0);
	assert_int_equal(kubeconfig_token(&c, &token, &err), -1);
	assert_string_equal(err.msg, "cannot read token file 't': No such file or directory");
	put("t", " \n");
	assert_int_equal(kubeconfig_token(&c, &token, &err), -1);
	assert_string_equal(err.msg, "token file 't' is empty");
	put("t", "s3cret\r\nX-Header: 1");
	assert_int_equal(kubeconfig_token(&c, &token, &err), -1);
	assert_string_equal(err.msg, "token file 't' holds a blank or control character");
	put_bytes("t", "s3\0cret", 7);
	assert_int_equal(kubeconfig_token(&c, &token, &err), -1);
	assert_string_equal(err.msg, "token file 't' holds a blank or control character");
	assert_null(token);
	kubeconfig_release(&c);
}

static void assert_explained(const struct pair *pair, const char *expected)
{
	struct kubeconfig c;
	cleanup_free char *text = NULL;

	put("crt", pair->cert);
	put("key", pair->key);
	put_config(
		"config", NULL, NULL, "{\"client-certificate\": \"crt\", \"client-key\": \"key\"}");
	c = load("config", NULL);
	text = kubeconfig_explain_refusal(&c);
	if (expected == NULL)
		assert_null(text);
	else
		assert_string_equal(text, expected);
	kubeconfig_release(&c);
}

static void a_refusal_is_explained_by_the_certificates_dates(void **state UNUSED)
{
	const struct kubeconfig none = { .server = NULL };

	assert_explained(
		&bench.expired, "the client certificate expired on 2021-11-01 10:00:00 UTC");
	assert_explained(
		&bench.early, "the client certificate is valid only from 2098-12-31 23:59:59 UTC");
	assert_explained(&bench.one, NULL);
	assert_null(kubeconfig_explain_refusal(&none));
}

static struct kubeconfig load_files(void)
{
	put("crt", bench.one.cert);
	put("key", bench.one.key);
	put("ca", bench.one.cert);
	put_config("config", NULL, "{\"server\": \"https://h\", \"certificate-authority\": \"ca\"}",
		"{\"client-certificate\": \"crt\", \"client-key\": \"key\"}");
	return load("config", NULL);
}

static void changed_files_are_read_anew(void **state UNUSED)
{
	struct kubeconfig c = load_files();

	assert_false(kubeconfig_reload(&c));
	put("crt", bench.renewed_cert);
	assert_true(kubeconfig_reload(&c));
	assert_string_equal(c.cert_pem, bench.renewed_cert);
	put("crt", bench.two.cert);
	put("key", bench.two.key);
	assert_true(kubeconfig_reload(&c));
	assert_string_equal(c.cert_pem, bench.two.cert);
	assert_string_equal(c.key_pem, bench.two.key);
	assert_string_equal(c.ca_pem, bench.one.cert);
	assert_false(kubeconfig_reload(&c));
	put("ca", bench.two.cert);
	assert_true(kubeconfig_reload(&c));
	assert_string_equal(c.ca_pem, bench.two.cert);
	assert_false(kubeconfig_reload(&c));
	kubeconfig_release(&c);
}

static void half_a_rotation_leaves_the_old_pair(void **state UNUSED)
{
	struct kubeconfig c = load_files();

	put("crt", bench.two.cert);
	assert_false(kubeconfig_reload(&c));
	assert_string_equal(c.cert_pem, bench.one.cert);
	put("key", "");
	put("ca", "");
	assert_false(kubeconfig_reload(&c));
	assert_int_equal(unlink("key"), 0);
	assert_int_equal(unlink("ca"), 0);
	assert_false(kubeconfig_reload(&c));
	assert_string_equal(c.cert_pem, bench.one.cert);
	assert_string_equal(c.key_pem, bench.one.key);
	assert_string_equal(c.ca_pem, bench.one.cert);
	/* The one that is complete is taken without waiting for the other. */
	put("ca", bench.two.cert);
	assert_true(kubeconfig_reload(&c));
	put("key", bench.two.key);
	assert_true(kubeconfig_reload(&c));
	assert_string_equal(c.cert_pem, bench.two.cert);
	kubeconfig_release(&c);
}

static void users_that_are_wrong(void **state UNUSED)
{
	static const struct {
		const char *user, *message;
	} rows[] = {
		{ "{\"auth-provider\": {\"name\": \"oidc\"}}",
			"user 'u' of 'config': 'auth-provider' is not supported "
			"(nor by kubectl since 1.26); use 'exec' or a tokenFile" },
		{ "{\"as\": \"a\\nX: y\"}",
			"user 'u' of 'config': 'as' holds a control character" },
		{ "{\"as\": 7}", "user 'u' of 'config': 'as' has to be text (in quotes), "
				 "but is of the kind number" },
		{ "{\"as\": \"a\", \"as-groups\": \"g\"}",
			"user 'u' of 'config': 'as-groups' has to have lists of texts" },
		{ "{\"as\": \"a\", \"as-groups\": [7]}",
			"user 'u' of 'config': 'as-groups' has to have texts (in quotes)" },
		{ "{\"as\": \"a\", \"as-user-extra\": [\"x\"]}",
			"user 'u' of 'config': 'as-user-extra' has to be a mapping, "
			"but is of the kind array" },
		{ "{\"as\": \"a\", \"as-user-extra\": {\"k\": \"x\"}}",
			"user 'u' of 'config': 'as-user-extra' has to have lists of texts" },
		{ "{\"as-groups\": [\"x\"]}",
			"user 'u' of 'config': 'as-uid', 'as-groups' and 'as-user-extra' "
			"need 'as', too" },
		{ "{\"token\": 123}", "user 'u' of 'config': 'token' has to be text (in quotes), "
				      "but is of the kind number" },
		{ "{\"token\": \"s3cret \\u0001 x\"}",
			"context 'dev' of 'config': "
			"the token holds a blank or control character" },
		{ "{\"token\": \" \"}", "context 'dev' of 'config': the token is empty" },
		{ "{\"tokenFile\": \"gone\"}",
			"context 'dev' of 'config': cannot read token file 'gone': "
			"No such file or directory" },
		{ "{\"token\": \"s3cret\", \"username\": \"x\"}",
			"user 'u' of 'config': both a token and 'username'; remove one" },
		{ "{\"tokenFile\": \"config\", \"username\": \"x\"}",
			"user 'u' of 'config': both a token and 'username'; remove one" },
		{ "{\"password\": \"s3cret\"}",
			"user 'u' of 'config': 'password' without 'username'" },
		{ "{\"username\": \"x\", \"password\": {\"s3cret\": 1}}",
			"user 'u' of 'config': 'password' has to be text (in quotes), "
			"but is of the kind object" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put_config("config", NULL, NULL, rows[i].user);
		assert_refused("config", NULL, rows[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inline_data_wins_over_files),
		TEST(base64_is_strict),
		TEST(certificate_and_key_belong_together),
		TEST(a_token_file_wins_and_is_read_each_time),
		TEST(a_refusal_is_explained_by_the_certificates_dates),
		TEST(changed_files_are_read_anew),
		TEST(half_a_rotation_leaves_the_old_pair),
		TEST(users_that_are_wrong),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
