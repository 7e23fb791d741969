/* Access without a kubeconfig, and what the command line says in place of one. */
#include "tests/unit/kubeconfig_bench.h"

static void a_pod_uses_its_service_account(void **state UNUSED)
{
	struct kubeconfig c;

	enter_pod("10.96.0.1");
	setenv("HOME", "/dev/null", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://10.96.0.1:6443");
	assert_string_equal(c.namespace, "shop");
	assert_string_equal(c.ca_pem, bench.two.cert);
	assert_string_equal(c.ca_path, "account/ca.crt");
	assert_string_equal(c.token_path, "account/token");
	assert_string_equal(c.where, "in-cluster configuration");
	assert_token(&c, "pod-token");
	kubeconfig_release(&c);
	assert_int_equal(unlink("account/namespace"), 0);
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://[fd00::1]:6443");
	assert_null(c.namespace);
	kubeconfig_release(&c);
}

static void what_is_wrong_in_a_pod_is_said(void **state UNUSED)
{
	enter_pod("10.96.0.1");
	put("account/ca.crt", "");
	assert_refused(NULL, NULL,
		"in-cluster configuration: the certificate authority is not a certificate in PEM");
	assert_int_equal(unlink("account/ca.crt"), 0);
	assert_refused(NULL, NULL,
		"in-cluster configuration: 'certificate-authority': "
		"cannot read 'account/ca.crt': "
		"No such file or directory");
	put("account/ca.crt", bench.two.cert);
	assert_int_equal(unlink("account/token"), 0);
	assert_refused(NULL, NULL,
		"in-cluster configuration: cannot read token file 'account/token': "
		"No such file or directory");
	setenv("KUBERNETES_SERVICE_PORT", "tcp://x", 1);
	assert_refused(NULL, NULL,
		"in-cluster configuration: KUBERNETES_SERVICE_HOST with KUBERNETES_SERVICE_PORT "
		"is no https://HOST[:PORT][/PATH] or http://...");
	assert_refused(NULL, "dev",
		"no kubeconfig to find context 'dev' in: set KUBECONFIG or --kubeconfig");
}

static struct kubeconfig load_with(const struct kubeconfig_request *request)
{
	struct kubeconfig c = { .server = NULL };
	struct err err = ERR_INIT;

	if (kubeconfig_load_from(request, "account", &c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static void assert_fails(
	const struct kubeconfig_request *request, enum exit_status status, const char *message)
{
	struct kubeconfig c = { .server = NULL };
	struct err err = ERR_INIT;

	assert_int_equal(kubeconfig_load_from(request, "account", &c, &err), -1);
	assert_string_equal(err.msg, message);
	assert_int_equal(err.status, status);
}

static void the_command_line_names_cluster_and_user(void **state UNUSED)
{
	struct kubeconfig c;

	put("config", "current-context: dev\n"
		      "contexts: [{name: dev, context: {cluster: c, user: u, namespace: n}}]\n"
		      "clusters: [{name: c, cluster: {server: 'https://c'}},"
		      " {name: d, cluster: {server: 'https://d'}}]\n"
		      "users: [{name: u, user: {token: of-u}}, {name: v, user: {token: of-v}}]\n");
	c = load_with(
		&(struct kubeconfig_request){ .path = "config", .cluster = "d", .user = "v" });
	assert_string_equal(c.server, "https://d");
	assert_string_equal(c.namespace, "n");
	assert_token(&c, "of-v");
	kubeconfig_release(&c);
	assert_fails(&(struct kubeconfig_request){ .path = "config", .cluster = "x" }, EXIT_CONFIG,
		"no cluster 'x' in 'config'");
	assert_fails(&(struct kubeconfig_request){ .path = "config", .user = "x" }, EXIT_CONFIG,
		"no user 'x' in 'config'");
	assert_fails(&(struct kubeconfig_request){ .user = "x" }, EXIT_CONFIG,
		"no kubeconfig to find user 'x' in: set KUBECONFIG or --kubeconfig");
}

static void the_command_line_stands_for_fields_of_the_cluster(void **state UNUSED)
{
	cleanup_free char *ca = base64(bench.one.cert);
	cleanup_free char *cluster = xasprintf(
		"{\"server\": \"https://h\", \"certificate-authority-data\": \"%s\"}", ca);
	struct kubeconfig c;

	put_config("config", NULL, cluster, NULL);
	put("ca.crt", bench.two.cert);
	c = load_with(&(struct kubeconfig_request){ .path = "config",
		.server = "https://other/",
		.certificate_authority = "ca.crt",
		.tls_server_name = "name",
		.disable_compression = true,
		.request_timeout_ms = 7 });
	assert_string_equal(c.server, "https://other");
	assert_string_equal(c.ca_pem, bench.two.cert);
	assert_string_equal(c.tls_server_name, "name");
	assert_true(c.disable_compression);
	assert_int_equal(c.request_timeout_ms, 7);
	kubeconfig_release(&c);
	c = load_with(&(struct kubeconfig_request){ .path = "config", .insecure = true });
	assert_true(c.insecure);
	assert_null(c.ca_pem);
	assert_false(c.disable_compression);
	kubeconfig_release(&c);
	put_config(
		"config", NULL, "{\"server\": \"https://h\", \"tls-server-name\": \"h1\"}", NULL);
	c = load_with(&(struct kubeconfig_request){ .path = "config", .insecure = true });
	assert_string_equal(c.tls_server_name, "h1");
	kubeconfig_release(&c);
	c = load_with(&(struct kubeconfig_request){ .path = "config", .server = "https://other" });
	assert_null(c.tls_server_name);
	kubeconfig_release(&c);
	assert_fails(&(struct kubeconfig_request){ .path = "config", .server = "h:443" },
		EXIT_CONFIG, "option '--server' is no https://HOST[:PORT][/PATH] or http://...");
}

static void the_command_line_stands_for_credentials(void **state UNUSED)
{
	struct kubeconfig c;

	put("crt", bench.one.cert);
	put("key", bench.one.key);
	put("t", "of-file");
	put_config("config", NULL, NULL, "{\"exec\": {\"command\": \"nobody-has-it\"}}");
	c = load_with(&(struct kubeconfig_request){ .path = "config", .token_file = "t" });
	assert_token(&c, "of-file");
	assert_null(c.exec);
	kubeconfig_release(&c);
	put_config("config", NULL, NULL, "{\"username\": \"u\", \"password\": \"s3cret\"}");
	c = load_with(&(struct kubeconfig_request){ .path = "config", .token_file = "t" });
	assert_token(&c, "of-file");
	assert_null(c.username);
	kubeconfig_release(&c);
	c = load_with(&(struct kubeconfig_request){
		.path = "config", .client_certificate = "crt", .client_key = "key" });
	assert_string_equal(c.cert_pem, bench.one.cert);
	kubeconfig_release(&c);
	assert_fails(&(struct kubeconfig_request){ .path = "config", .client_certificate = "crt" },
		EXIT_CONFIG,
		"user 'u' of 'config': certificate and key go together; "
		"'client-key' or 'client-key-data' is missing");
}

static void the_command_line_alone_is_enough(void **state UNUSED)
{
	struct kubeconfig c;

	put("t", "of-file");
	c = load_with(
		&(struct kubeconfig_request){ .server = "https://h:6443", .token_file = "t" });
	assert_string_equal(c.server, "https://h:6443");
	assert_token(&c, "of-file");
	assert_null(c.namespace);
	assert_string_equal(c.where, "the command line");
	kubeconfig_release(&c);
}

static void assert_withheld(const char *user)
{
	const struct kubeconfig_request request = { .path = "config", .server = "http://h:8001" };
	struct kubeconfig c;

	put_config("config", NULL, NULL, user);
	c = load_with(&request);
	assert_true(c.withheld);
	assert_token(&c, NULL);
	assert_null(c.username);
	assert_null(c.cert_pem);
	assert_null(c.exec);
	assert_null(c.impersonation);
	kubeconfig_release(&c);
	c = load("config", NULL);
	assert_false(c.withheld);
	kubeconfig_release(&c);
}

static void nothing_of_a_user_goes_over_http(void **state UNUSED)
{
	struct kubeconfig c;

	put("crt", bench.one.cert);
	put("key", bench.one.key);
	put("t", "s3cret");
	assert_withheld("{\"token\": \"s3cret\", \"as\": \"anna\"}");
	assert_withheld("{\"tokenFile\": \"t\"}");
	assert_withheld("{\"username\": \"u\", \"password\": \"s3cret\"}");
	assert_withheld("{\"client-certificate\": \"crt\", \"client-key\": \"key\"}");
	assert_withheld("{\"exec\": {\"command\": \"/bin/true\","
			" \"apiVersion\": \"client.authentication.k8s.io/v1\"}}");
	c = load_with(&(struct kubeconfig_request){ .server = "http://h", .token_file = "t" });
	assert_true(c.withheld);
	assert_token(&c, NULL);
	kubeconfig_release(&c);
	/* Nobody misses what was never there. */
	c = load_with(&(struct kubeconfig_request){ .server = "http://h" });
	assert_false(c.withheld);
	kubeconfig_release(&c);
}

static void assert_headers(const struct kubeconfig *c, const char *expected)
{
	cleanup_free char *all = xstrdup("");

	for (const struct curl_slist *h = c->impersonation; h != NULL; h = h->next) {
		char *more = xasprintf("%s%s\n", all, h->data);

		free(all);
		all = more;
	}
	assert_string_equal(all, expected);
}

static void impersonation_is_headers(void **state UNUSED)
{
	struct kubeconfig c;

	put_config("config", NULL, NULL,
		"{\"as\": \"anna\", \"as-uid\": \"7\", \"as-groups\": [\"a\", \"b\"],"
		" \"as-user-extra\": {\"example.org/a%\": [\"x\", \"y\"], \"b\": [\"z\"]}}");
	c = load("config", NULL);
	assert_headers(&c, "Impersonate-User: anna\nImpersonate-Uid: 7\n"
			   "Impersonate-Group: a\nImpersonate-Group: b\n"
			   "Impersonate-Extra-b: z\n"
			   "Impersonate-Extra-example.org%2Fa%25: x\n"
			   "Impersonate-Extra-example.org%2Fa%25: y\n");
	kubeconfig_release(&c);
}

static void impersonation_by_the_command_line(void **state UNUSED)
{
	const char *groups[] = { "g", "h" }, *extra[] = { "k=v=w", "k=", "l=x" };
	const char *wrong[] = { "=v" };
	struct kubeconfig_request request = { .path = "config", .as = "bert" };
	struct kubeconfig c;

	put_config("config", NULL, NULL, "{\"as\": \"anna\", \"as-groups\": [\"a\"]}");
	c = load_with(&request);
	assert_headers(&c, "Impersonate-User: bert\nImpersonate-Group: a\n");
	kubeconfig_release(&c);
	request.as_groups = (struct opt_list){ groups, 2 };
	request.as_user_extra = (struct opt_list){ extra, 1 };
	request.as_uid = "1";
	c = load_with(&request);
	assert_headers(&c, "Impersonate-User: bert\nImpersonate-Uid: 1\nImpersonate-Group: g\n"
			   "Impersonate-Group: h\nImpersonate-Extra-k: v=w\n");
	kubeconfig_release(&c);
	request.as_user_extra = (struct opt_list){ extra, 3 };
	assert_fails(
		&request, EXIT_CONFIG, "user 'u' of 'config': 'as-user-extra' holds an empty text");
	request.as_user_extra = (struct opt_list){ wrong, 1 };
	assert_fails(&request, EXIT_USAGE, "option '--as-user-extra': '=v' is not KEY=VALUE");
	put_config("config", NULL, NULL, NULL);
	assert_fails(&(struct kubeconfig_request){ .path = "config", .as_uid = "1" }, EXIT_CONFIG,
		"user 'u' of 'config': 'as-uid', 'as-groups' and 'as-user-extra' need 'as', too");
}

static void a_pod_may_act_as_somebody(void **state UNUSED)
{
	struct kubeconfig c;

	enter_pod("10.0.0.1");
	put("t", "mine");
	c = load_with(&(struct kubeconfig_request){ .as = "anna", .token_file = "t" });
	assert_string_equal(c.server, "https://10.0.0.1:6443");
	assert_headers(&c, "Impersonate-User: anna\n");
	assert_token(&c, "mine");
	kubeconfig_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pod_uses_its_service_account),
		TEST(what_is_wrong_in_a_pod_is_said),
		TEST(the_command_line_names_cluster_and_user),
		TEST(the_command_line_stands_for_fields_of_the_cluster),
		TEST(the_command_line_stands_for_credentials),
		TEST(the_command_line_alone_is_enough),
		TEST(nothing_of_a_user_goes_over_http),
		TEST(impersonation_is_headers),
		TEST(impersonation_by_the_command_line),
		TEST(a_pod_may_act_as_somebody),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
