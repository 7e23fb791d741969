/* kubeconfigs: found, merged, and what is chosen of them. */
#include "tests/unit/kubeconfig_bench.h"

/* In the form that kubectl and the tools around it write. */
static const char typical[] = "apiVersion: v1\n"
			      "kind: Config\n"
			      "preferences: {}\n"
			      "current-context: dev\n"
			      "contexts:\n"
			      "- context:\n"
			      "    cluster: lab\n"
			      "    namespace: shop\n"
			      "    user: anna\n"
			      "  name: dev\n"
			      "- context: {cluster: live, user: bert}\n"
			      "  name: prod\n"
			      "clusters:\n"
			      "- cluster:\n"
			      "    extensions:\n"
			      "    - {name: a, extension: {provider: x}}\n"
			      "    insecure-skip-tls-verify: true\n"
			      "    server: https://lab:6443/\n"
			      "    tls-server-name: lab.example\n"
			      "  name: lab\n"
			      "- cluster:\n"
			      "    server: http://[::1]:8080/k8s/clusters/c-1//\n"
			      "  name: live\n"
			      "users:\n"
			      "- name: anna\n"
			      "  user: {token: abc.def}\n"
			      "- name: bert\n"
			      "  user:\n"
			      "    username: bert\n"
			      "    password: s3cret\n";

static void a_context_is_a_server_and_a_user(void **state UNUSED)
{
	struct kubeconfig c;

	put("config", typical);
	c = load("config", NULL);
	assert_string_equal(c.server, "https://lab:6443");
	assert_string_equal(c.namespace, "shop");
	assert_string_equal(c.tls_server_name, "lab.example");
	assert_true(c.insecure);
	assert_token(&c, "abc.def");
	assert_null(c.username);
	assert_null(c.ca_pem);
	assert_null(c.cert_pem);
	assert_string_equal(c.where, "context 'dev' of 'config'");
	kubeconfig_release(&c);
	kubeconfig_release(&c); /* may be released again */
}

static void another_context_may_be_chosen(void **state UNUSED)
{
	struct kubeconfig c;

	put("config", typical);
	c = load("config", "prod");
	assert_string_equal(c.server, "http://[::1]:8080/k8s/clusters/c-1");
	assert_null(c.namespace);
	assert_false(c.insecure);
	assert_string_equal(c.where, "context 'prod' of 'config'");
	kubeconfig_release(&c);
}

static void json_is_read_alike(void **state UNUSED)
{
	struct kubeconfig c;

	put_config("config", NULL, "{\"server\":\"https://h\\u00e9\"}", "{\"username\":\"x\"}");
	c = load("config", NULL);
	assert_string_equal(c.server, "https://h\xc3\xa9");
	assert_string_equal(c.username, "x");
	assert_string_equal(c.password, "");
	kubeconfig_release(&c);
}

/* What YAML 1.1 or 1.2 takes for something else. */
static void names_are_text(void **state UNUSED)
{
	static const char *const names[] = { "no", "1234", "true", "2024-01-02", "1e3" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *n = names[i];
		cleanup_free char *text = xasprintf(
			"current-context: %s\n"
			"contexts: [{name: %s, context: {cluster: %s, user: %s, namespace: %s}}]\n"
			"clusters: [{name: %s, cluster: {server: https://h}}]\n"
			"users: [{name: %s}]\n",
			n, n, n, n, n, n, n);
		struct kubeconfig c;

		put("config", text);
		c = load("config", NULL);
		assert_string_equal(c.namespace, strcmp(n, "1e3") == 0 ? "1000" : n);
		kubeconfig_release(&c);
	}
}

static void empty_and_null_are_as_not_given(void **state UNUSED)
{
	struct kubeconfig c;

	put_config("config",
		"{\"cluster\": \"c\", \"user\": \"u\", \"namespace\": \"\", \"extensions\": null}",
		"{\"server\": \"https://h\", \"certificate-authority\": \"\", \"proxy-url\": \"\","
		" \"certificate-authority-data\": null, \"insecure-skip-tls-verify\": null}",
		"{\"client-certificate\": \"\", \"client-key-data\": null, \"token\": \"\","
		" \"tokenFile\": null, \"exec\": null, \"as-groups\": [], \"as-user-extra\": {}}");
	c = load("config", NULL);
	assert_null(c.namespace);
	assert_null(c.ca_pem);
	assert_null(c.cert_pem);
	assert_token(&c, NULL);
	kubeconfig_release(&c);
}

static void the_first_file_wins_entry_by_entry(void **state UNUSED)
{
	struct kubeconfig c;

	put("a", "contexts: [{name: dev, context: {cluster: c, user: u}}]\n"
		 "users: [{name: u}, {name: other, user: {token: x}}]\n");
	put("b", "current-context: dev\n"
		 "contexts: [{name: dev, context: {cluster: wrong, user: u, namespace: n}}]\n"
		 "clusters: [{name: c, cluster: {server: 'https://b'}}]\n");
	put("c", "current-context: wrong\n"
		 "clusters: [{name: c, cluster: {server: 'https://c', tls-server-name: c}}]\n"
		 "users: [{name: u, user: {token: s3cret}}]\n");
	setenv("KUBECONFIG", ":missing:a::b:a/below-a-file:c:", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://b");
	/* The whole entry: nothing of a later one fills it up. */
	assert_null(c.tls_server_name);
	assert_null(c.namespace);
	assert_token(&c, NULL);
	assert_string_equal(c.where, "context 'dev' of 'a'");
	kubeconfig_release(&c);
}

static void a_request_comes_before_the_environment_and_that_before_the_home(void **state UNUSED)
{
	struct kubeconfig c;

	folder("home");
	folder("home/.kube");
	put_config("home/.kube/config", NULL, "{\"server\": \"https://home\"}", NULL);
	put_config("list", NULL, "{\"server\": \"https://list\"}", NULL);
	put_config("given", NULL, "{\"server\": \"https://given\"}", NULL);
	setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	setenv("HOME", "home", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://home");
	assert_string_equal(c.where, "context 'dev' of 'home/.kube/config'");
	kubeconfig_release(&c);
	setenv("KUBECONFIG", "", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://home");
	kubeconfig_release(&c);
	setenv("KUBECONFIG", "list", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.server, "https://list");
	kubeconfig_release(&c);
	c = load("given", NULL);
	assert_string_equal(c.server, "https://given");
	kubeconfig_release(&c);
}

static void paths_are_relative_to_their_own_file(void **state UNUSED)
{
	cleanup_free char *key_path = xasprintf("%s/top.key", bench.folder);
	cleanup_free char *users =
		xasprintf("users: [{name: u, user: {client-certificate: ../one.crt,"
			  " client-key: %s, tokenFile: t/token}}]\n",
			key_path);
	struct kubeconfig c;

	folder("a");
	folder("b");
	folder("b/t");
	put("one.crt", bench.one.cert);
	put("top.key", bench.one.key);
	put("a/ca.crt", bench.two.cert);
	put("b/t/token", "s3cret\n");
	put("a/config", "current-context: dev\n"
			"contexts: [{name: dev, context: {cluster: c, user: u}}]\n"
			"clusters: [{name: c, cluster: {server: 'https://h',"
			" certificate-authority: ca.crt}}]\n");
	put("b/config", users);
	setenv("KUBECONFIG", "a/config:b/config", 1);
	c = load(NULL, NULL);
	assert_string_equal(c.ca_path, "a/ca.crt");
	assert_string_equal(c.ca_pem, bench.two.cert);
	assert_string_equal(c.cert_path, "b/../one.crt");
	assert_string_equal(c.cert_pem, bench.one.cert);
	assert_string_equal(c.key_path, key_path);
	assert_string_equal(c.key_pem, bench.one.key);
	assert_string_equal(c.token_path, "b/t/token");
	assert_token(&c, "s3cret");
	kubeconfig_release(&c);
}

static void nothing_at_all_is_an_error_that_helps(void **state UNUSED)
{
	static const struct {
		const char *host, *port;
	} rows[] = { { "", "" }, { "10.0.0.1", "" }, { "", "443" } };
	const struct kubeconfig_request request = { .path = NULL };
	struct kubeconfig c;
	struct err err = ERR_INIT;

	setenv("HOME", "home", 1);
	assert_int_equal(kubeconfig_load(&request, &c, &err), -1);
	assert_int_equal(err.status, EXIT_CONFIG);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		setenv("KUBERNETES_SERVICE_HOST", rows[i].host, 1);
		setenv("KUBERNETES_SERVICE_PORT", rows[i].port, 1);
		assert_refused(NULL, NULL,
			"no Kubernetes cluster is configured: set KUBECONFIG or --kubeconfig, "
			"or write to a directory with --dir DIR");
	}
}

static void contexts_that_are_not_there(void **state UNUSED)
{
	cleanup_free char *many = xstrdup("contexts:\n");
	cleanup_free char *long_ones = NULL;
	char name[300] = "";

	put("config", typical);
	assert_refused("config", "x", "no context 'x' in 'config' (there are: 'dev', 'prod')");
	assert_refused("config", "", "no context '' in 'config' (there are: 'dev', 'prod')");
	put("one", "contexts: [{name: a}]");
	assert_refused("one", NULL,
		"no 'current-context' in 'one'; choose one with --context (there is: 'a')");
	assert_refused("one", "a", "context 'a' of 'one' names no cluster");
	put("empty", "");
	assert_refused("empty", NULL,
		"no 'current-context' in 'empty'; choose one with --context (there is none)");
	setenv("KUBECONFIG", "empty:gone:one", 1);
	assert_refused(NULL, "x", "no context 'x' in 'empty', 'one' (there is: 'a')");
	for (int i = 0; i < 11; i++) {
		char *more = xasprintf("%s- name: c%d\n", many, i);

		free(many);
		many = more;
	}
	put("many", many);
	assert_refused("many", "x", "no context 'x' in 'many' (there are 11)");
	memset(name, 'n', sizeof(name) - 1);
	long_ones = xasprintf("contexts: [{name: a%s}, {name: b%s}]", name, name);
	put("long", long_ones);
	assert_refused("long", "x", "no context 'x' in 'long' (there are 2)");
}

static void entries_that_are_wrong(void **state UNUSED)
{
	static const struct {
		const char *context, *cluster, *user, *message;
	} rows[] = {
		{ "{\"user\": \"u\"}", NULL, NULL, "context 'dev' of 'config' names no cluster" },
		{ "{\"cluster\": \"c\"}", NULL, NULL, "context 'dev' of 'config' names no user" },
		{ "{\"cluster\": \"x\", \"user\": \"u\"}", NULL, NULL,
			"context 'dev' of 'config': no cluster 'x' in 'config'" },
		{ "{\"cluster\": \"c\", \"user\": \"x\"}", NULL, NULL,
			"context 'dev' of 'config': no user 'x' in 'config'" },
		{ "{\"cluster\": [], \"user\": \"u\"}", NULL, NULL,
			"context 'dev' of 'config' names no cluster" },
		{ "{\"cluster\": [1], \"user\": \"u\"}", NULL, NULL,
			"context 'dev' of 'config': 'cluster' has to be text, "
			"but is of the kind array" },
		{ "7", NULL, NULL, "'config': contexts: 'dev': 'context' has to be a mapping" },
		{ NULL, "{}", NULL, "cluster 'c' of 'config' has no 'server'" },
		{ NULL, "{\"server\": 7}", NULL,
			"cluster 'c' of 'config': 'server' has to be text (in quotes), "
			"but is of the kind number" },
		{ NULL, "{\"server\": \"https://h\", \"insecure-skip-tls-verify\": \"true\"}", NULL,
			"cluster 'c' of 'config': 'insecure-skip-tls-verify' has to be "
			"true or false, but is of the kind string" },
		{ NULL, "{\"server\": \"https://h\", \"disable-compression\": \"true\"}", NULL,
			"cluster 'c' of 'config': 'disable-compression' has to be true or false, "
			"but is of the kind string" },
		{ NULL, "{\"server\": \"https://h\", \"certificate-authority\": \"gone.crt\"}",
			NULL,
			"cluster 'c' of 'config': 'certificate-authority': "
			"cannot read 'gone.crt': No such file or directory" },
		{ NULL, "{\"server\": \"https://h\", \"certificate-authority\": \"config\"}", NULL,
			"cluster 'c' of 'config': "
			"the certificate authority is not a certificate in PEM" },
		{ NULL,
			"{\"server\": \"https://h\", \"insecure-skip-tls-verify\": true,"
			" \"certificate-authority\": \"config\"}",
			NULL,
			"cluster 'c' of 'config': both 'insecure-skip-tls-verify' and "
			"a certificate authority; remove one" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put_config("config", rows[i].context, rows[i].cluster, rows[i].user);
		assert_refused("config", NULL, rows[i].message);
	}
}

static void servers_that_are_none(void **state UNUSED)
{
	static const char *const urls[] = { "h:6443", "h", "ftp://h", "https://", "https:///x",
		"https://h:port", "https://h:99999", "https://u:s3cret@h", "https://h?x",
		"https://h#x", "https://h /x", "https://h\\n" };

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		cleanup_free char *cluster = xasprintf("{\"server\": \"%s\"}", urls[i]);

		put_config("config", NULL, cluster, NULL);
		assert_refused("config", NULL,
			"cluster 'c' of 'config': 'server' is no "
			"https://HOST[:PORT][/PATH] or http://...");
	}
}

static void proxies(void **state UNUSED)
{
	static const struct {
		const char *url, *taken; /* NULL: refused */
	} rows[] = {
		{ "http://h:3128", "http://h:3128" },
		{ "https://u:s3cret@h", "https://u:s3cret@h" },
		{ "socks5://[::1]:1080", "socks5h://[::1]:1080" },
		{ "socks5h://h", "socks5h://h" },
		{ "socks4://h:s3cret@h", NULL },
		{ "u:s3cret@h:3128", NULL },
		{ "http://", NULL },
		{ "http:///s3cret", NULL },
		{ "http://h s3cret", NULL },
		{ "http://h:s3cret", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *cluster = xasprintf(
			"{\"server\": \"https://h\", \"proxy-url\": \"%s\"}", rows[i].url);
		struct kubeconfig c;

		put_config("config", NULL, cluster, NULL);
		if (rows[i].taken == NULL) {
			assert_refused("config", NULL,
				"cluster 'c' of 'config': 'proxy-url' is no http://, https:// or "
				"socks5://HOST[:PORT]");
			continue;
		}
		c = load("config", NULL);
		assert_string_equal(c.proxy_url, rows[i].taken);
		kubeconfig_release(&c);
	}
}

/* Only the chosen context counts. */
static void what_is_not_chosen_may_be_unsupported(void **state UNUSED)
{
	struct kubeconfig c;

	put("config", "current-context: dev\n"
		      "contexts:\n"
		      "- {name: dev, context: {cluster: c, user: u}}\n"
		      "- {name: eks, context: {cluster: gone, user: aws}}\n"
		      "clusters: [{name: c, cluster: {server: 'https://h'}}]\n"
		      "users:\n"
		      "- {name: aws, user: {exec: {command: nobody-has-it}, token: 7}}\n"
		      "- {name: u, user: {token: t}}\n");
	c = load("config", NULL);
	assert_token(&c, "t");
	kubeconfig_release(&c);
}

static void files_that_are_none(void **state UNUSED)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "a: [\n", "bad:2:1: did not find expected node content" },
		{ "[]", "'bad' is no kubeconfig: it has to be one mapping" },
		{ "just text", "'bad' is no kubeconfig: it has to be one mapping" },
		{ "a: 1\n---\nb: 2\n", "'bad' is no kubeconfig: it has to be one mapping" },
		{ "kind: Pod\n", "'bad' is no kubeconfig: its kind is not 'Config'" },
		{ "kind: 7\n", "'bad' is no kubeconfig: its kind is not 'Config'" },
		{ "current-context: []\n", "'bad': 'current-context' has to be text" },
		{ "users: {}\n", "'bad': users: not a list" },
		{ "users: [7]\n", "'bad': users: an entry without a name" },
		{ "users: [{user: {}}]\n", "'bad': users: an entry without a name" },
		{ "users: [{name: []}]\n", "'bad': users: an entry without a name" },
		{ "users: [{name: ''}]\n", "'bad': users: an entry without a name" },
		{ "users: [{name: a, user: s3cret}]\n",
			"'bad': users: 'a': 'user' has to be a mapping" },
		{ "clusters: [{name: a}, {name: a}]\n",
			"'bad': clusters: the name 'a' is there twice" },
	};

	put("good", typical);
	setenv("KUBECONFIG", "good:bad", 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *place = strstr(rows[i].message, "expected node");
		const struct kubeconfig_request request = { .path = NULL };
		struct kubeconfig c;
		struct err err = ERR_INIT;

		put("bad", rows[i].text);
		if (place == NULL) {
			assert_refused(NULL, NULL, rows[i].message);
			continue;
		}
		/* libyaml goes on. */
		assert_int_equal(kubeconfig_load(&request, &c, &err), -1);
		assert_true(str_starts(err.msg, rows[i].message));
	}
}

static void files_that_cannot_be_read(void **state UNUSED)
{
	cleanup_free char *large = xcalloc(KUBECONFIG_MAX_BYTES + 2, 1);

	assert_refused("gone", NULL, "cannot read kubeconfig 'gone': No such file or directory");
	assert_refused("", NULL, "cannot read kubeconfig '': No such file or directory");
	assert_refused(".", NULL, "cannot read kubeconfig '.': Is a directory");
	memset(large, '#', KUBECONFIG_MAX_BYTES + 1);
	put("large", large);
	assert_refused("large", NULL, "cannot read kubeconfig 'large': File too large");
	setenv("KUBECONFIG", "gone:away", 1);
	assert_refused(NULL, NULL, "no file of KUBECONFIG exists: 'gone:away'");
	setenv("KUBECONFIG", ".", 1);
	assert_refused(NULL, NULL, "cannot read kubeconfig '.': Is a directory");
	/* A list that leads nowhere does not make us look elsewhere. */
	setenv("KUBECONFIG", ":", 1);
	enter_pod("10.0.0.1");
	assert_refused(NULL, NULL, "no file of KUBECONFIG exists: ':'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_context_is_a_server_and_a_user),
		TEST(another_context_may_be_chosen),
		TEST(json_is_read_alike),
		TEST(names_are_text),
		TEST(empty_and_null_are_as_not_given),
		TEST(the_first_file_wins_entry_by_entry),
		TEST(a_request_comes_before_the_environment_and_that_before_the_home),
		TEST(paths_are_relative_to_their_own_file),
		TEST(nothing_at_all_is_an_error_that_helps),
		TEST(contexts_that_are_not_there),
		TEST(entries_that_are_wrong),
		TEST(servers_that_are_none),
		TEST(proxies),
		TEST(what_is_not_chosen_may_be_unsupported),
		TEST(files_that_are_none),
		TEST(files_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
