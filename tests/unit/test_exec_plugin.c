/* Exec plugins that are shell scripts, run on a loop. */
#include "k8s-apply/exec_plugin.h"

#include <signal.h>
#include <time.h>

#include "k8s-apply/exec_config.h"
#include "tests/unit/kubeconfig_bench.h"

#define V1 "client.authentication.k8s.io/v1"
#define SAY(s)                                                                                     \
	"echo '{\"apiVersion\": \"" V1 "\", \"kind\": \"ExecCredential\", \"status\": " s "}'\n"

/* What the script is, and what was seen of it. */
static struct {
	uv_loop_t loop;
	struct kubeconfig config;
	struct exec_plugin *plugin;
	const char *command; /* NULL: by its path */
	unsigned ends;
	struct err failure;
} run;

static void put_script(const char *text)
{
	cleanup_free char *script = xasprintf("#!/bin/sh\n%s", text);

	put("plugin", script);
	assert_int_equal(chmod("plugin", 0700), 0);
}

static void put_exec(const char *more)
{
	cleanup_free char *user =
		xasprintf("{\"exec\": {\"apiVersion\": \"" V1 "\", \"command\": \"%s\"%s}}",
			run.command != NULL ? run.command : "./plugin", more);

	put_config("config", NULL,
		"{\"server\": \"https://h\", \"tls-server-name\": \"name\", \"extensions\": ["
		"{\"name\": \"client.authentication.k8s.io/exec\", \"extension\": {\"a\": 1}}]}",
		user);
}

static void on_end(void *arg UNUSED, const struct err *failure)
{
	run.ends++;
	run.failure = failure != NULL ? *failure : (struct err)ERR_INIT;
}

static void open_plugin(const char *script, const char *more, int64_t timeout_ms)
{
	const struct exec_plugin_handler handler = { .on_end = on_end };

	put_script(script);
	put_exec(more);
	run.config = load("config", NULL);
	run.ends = 0;
	assert_int_equal(uv_loop_init(&run.loop), 0);
	run.plugin = exec_plugin_open(&run.loop, run.config.exec, timeout_ms, &handler);
}

static void close_plugin(void)
{
	exec_plugin_close(run.plugin);
	assert_int_equal(uv_run(&run.loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&run.loop), 0);
	kubeconfig_release(&run.config);
}

static void wait_for_end(unsigned ends)
{
	while (run.ends < ends && uv_run(&run.loop, UV_RUN_ONCE) != 0)
		continue;
	assert_int_equal(run.ends, ends);
}

/* Of exec_plugin_get. */
static int get(const struct exec_credential **ret)
{
	struct err err = ERR_INIT;

	return exec_plugin_get(run.plugin, ret, &err);
}

static void assert_says(const char *token)
{
	const struct exec_credential *c = NULL;

	assert_int_equal(get(&c), 1);
	assert_string_equal(c->token, token);
}

static void a_credential_is_asked_for_once(void **state UNUSED)
{
	const struct exec_credential *c = NULL;
	cleanup_free char *ran = NULL;

	open_plugin("echo run >>ran\n" SAY("{\"token\": \"first\"}"), "", 60000);
	assert_int_equal(get(&c), 0);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_says("first");
	assert_says("first");
	close_plugin();
	ran = read_whole_file("ran", 100, NULL);
	assert_string_equal(ran, "run\n");
}

static void what_it_is_given(void **state UNUSED)
{
	const struct exec_credential *c = NULL;
	cleanup_free char *got = NULL;

	setenv("SAID", "by the environment", 1);
	setenv("KEPT", "\xff as it is", 1);
	open_plugin("{ printf '%s\\n' \"$@\" \"$SAID\" \"$KEPT\" \"$KUBERNETES_EXEC_INFO\"; cat; } "
		    ">got\n" SAY("{\"token\": \"t\"}"),
		", \"args\": [\"a b\", \"$(touch hacked)\", \"\"], \"provideClusterInfo\": true,"
		" \"env\": [{\"name\": \"SAID\", \"value\": \"once\"},"
		" {\"name\": \"SAID\", \"value\": \"twice; x\"}]",
		60000);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg, "");
	close_plugin();
	got = read_whole_file("got", 10000, NULL);
	assert_string_equal(got, "a b\n$(touch hacked)\n\ntwice; x\n\xff as it is\n"
				 "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"spec\":{"
				 "\"cluster\":{\"config\":{\"a\":1},\"server\":\"https://h\","
				 "\"tls-server-name\":\"name\"},\"interactive\":false}}\n");
	assert_int_equal(access("hacked", F_OK), -1);
	unsetenv("SAID");
	unsetenv("KEPT");
}

static void it_is_found_in_our_path(void **state UNUSED)
{
	const struct exec_credential *c = NULL;
	cleanup_free char *path = xstrdup(getenv("PATH"));
	cleanup_free char *ours = xasprintf("%s:%s", bench.folder, path);

	setenv("PATH", ours, 1);
	run.command = "plugin";
	open_plugin(SAY("{\"token\": \"t\"}"),
		", \"env\": [{\"name\": \"PATH\", \"value\": \"/bin\"}]", 60000);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg, "");
	close_plugin();
	open_plugin("", "", 60000);
	assert_int_equal(unlink("plugin"), 0);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg,
		"user 'u' of 'config': 'exec': 'plugin': cannot be run: "
		"No such file or directory");
	close_plugin();
	run.command = NULL;
	setenv("PATH", path, 1);
}

static void assert_failure(const char *script, int64_t timeout_ms, const char *message)
{
	cleanup_free char *whole =
		xasprintf("user 'u' of 'config': 'exec': './plugin': %s", message);
	const struct exec_credential *c = NULL;
	struct err err = ERR_INIT;

	open_plugin(script, "", timeout_ms);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg, whole);
	/* It is left alone for a while, and the reason stays. */
	assert_int_equal(exec_plugin_get(run.plugin, &c, &err), -1);
	assert_string_equal(err.msg, whole);
	close_plugin();
}

static void how_it_may_fail(void **state UNUSED)
{
	assert_failure("echo s3cret; echo one >&2; printf 'no \\033[1mlogin\\n\\n' >&2; exit 3",
		60000, "it ended with status 3: no  [1mlogin");
	assert_failure("exit 1", 60000, "it ended with status 1");
	assert_failure("kill -9 $$", 60000, "it was killed by signal 9");
	assert_failure("echo s3cret", 60000, "its output is no JSON object");
	assert_failure("head -c 1100000 /dev/zero", 60000, "its output is longer than a MiB");
	assert_failure("head -c 300000 /dev/zero | tr '\\0' x >&2; echo; echo >&2; echo end >&2; "
		       "exit 1",
		60000, "it ended with status 1: end");
}

/* With all that it has started: its child holds our pipe. */
static void one_that_hangs_is_killed(void **state UNUSED)
{
	cleanup_free char *text = NULL;
	pid_t child;

	assert_failure("sleep 1000 & echo $! >child; wait", 300, "it has not ended within 1 s");
	text = read_whole_file("child", 20, NULL);
	child = atoi(text != NULL ? text : "");
	assert_true(child > 0);
	for (int i = 0; i < 1000 && kill(child, 0) == 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	/* Or it is a zombie that nobody has buried, as in containers. */
	if (kill(child, 0) == 0) {
		cleanup_free char *path = xasprintf("/proc/%d/stat", (int)child);
		cleanup_free char *stat = read_whole_file(path, 4096, NULL);

		assert_non_null(stat);
		assert_non_null(strstr(stat, ") Z "));
	}
}

/* An agent that keeps the credential for the next time, and our pipes with it. */
static void what_it_leaves_running_holds_nobody_up(void **state UNUSED)
{
	const struct exec_credential *c = NULL;
	cleanup_free char *pid = NULL;
	uint64_t n = 0;

	open_plugin("sleep 300 &\necho $! >child\n" SAY("{\"token\": \"first\"}"), "", 60000);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg, "");
	assert_says("first");
	close_plugin();
	pid = read_whole_file("child", 100, NULL);
	pid[strcspn(pid, "\n")] = '\0';
	assert_true(parse_u64(pid, INT32_MAX, &n));
	assert_int_equal(kill((pid_t)n, SIGKILL), 0);
}

static void one_that_is_closed_while_it_runs_is_killed(void **state UNUSED)
{
	const struct exec_credential *c = NULL;

	open_plugin("sleep 1000", "", 1000000);
	assert_int_equal(get(&c), 0);
	close_plugin();
	assert_int_equal(run.ends, 0);
}

static void one_that_vanishes_is_said_with_the_hint(void **state UNUSED)
{
	const struct exec_credential *c = NULL;

	open_plugin("", ", \"installHint\": \"get it\\nthere\"", 60000);
	assert_int_equal(unlink("plugin"), 0);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg,
		"user 'u' of 'config': 'exec': './plugin': cannot be run: "
		"No such file or directory; get it there");
	close_plugin();
}

/* Text of a time so many seconds from now. */
static char *in(int seconds)
{
	char text[40];
	time_t when = time(NULL) + seconds;
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &tm));
	return xstrdup(text);
}

static void put_until(const char *token, int seconds)
{
	cleanup_free char *until = in(seconds);
	cleanup_free char *script = xasprintf(
		SAY("{\"token\": \"%s\", \"expirationTimestamp\": \"%s\"}"), token, until);

	put_script(script);
}

static void one_that_expires_is_asked_for_anew(void **state UNUSED)
{
	const struct exec_credential *c = NULL;
	struct err err = ERR_INIT;

	open_plugin("", "", 60000);
	put_until("first", 6);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	put_until("second", 3600);
	/* The old one may serve until the next is there. */
	while (run.ends < 2) {
		assert_true(exec_plugin_get(run.plugin, &c, &err) >= 0);
		uv_run(&run.loop, UV_RUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	assert_says("second");
	/* Too young for another to be better. */
	assert_false(exec_plugin_drop(run.plugin));
	assert_says("second");
	close_plugin();
}

static void one_that_has_expired_already_is_tried(void **state UNUSED)
{
	const struct exec_credential *c = NULL;

	open_plugin("", "", 60000);
	put_until("late", -3600);
	assert_int_equal(get(&c), 0);
	wait_for_end(1);
	assert_string_equal(run.failure.msg, "");
	assert_says("late");
	assert_false(exec_plugin_drop(run.plugin));
	close_plugin();
}

static void assert_config_refused(const char *exec, const char *message)
{
	cleanup_free char *user = xasprintf("{\"exec\": {%s}}", exec);
	cleanup_free char *whole = xasprintf("user 'u' of 'config': %s", message);

	put_config("config", NULL, NULL, user);
	assert_refused("config", NULL, whole);
}

#define EXEC "\"apiVersion\": \"" V1 "\", \"command\": \"sh\", "

static void what_a_kubeconfig_must_say(void **state UNUSED)
{
	assert_config_refused("\"command\": \"sh\"", "'exec' has no 'apiVersion'");
	assert_config_refused("\"apiVersion\": \"" V1 "alpha1\", \"command\": \"sh\"",
		"'exec': the apiVersion 'client.authentication.k8s.io/v1alpha1' is not supported; "
		"client.authentication.k8s.io/v1 and client.authentication.k8s.io/v1beta1 are");
	assert_config_refused("\"apiVersion\": \"" V1 "\"", "'exec' has no 'command'");
	assert_config_refused(EXEC "\"interactiveMode\": \"Always\"",
		"'exec': 'interactiveMode' is Always, but there is nobody to ask; "
		"use a command that asks nothing");
	assert_config_refused(EXEC "\"interactiveMode\": \"s3cret\"",
		"'exec': 'interactiveMode' is not Never, IfAvailable or Always");
	assert_config_refused(EXEC "\"args\": \"s3cret\"", "'exec': 'args' has to be a list");
	assert_config_refused(EXEC "\"args\": [7]", "'exec': 'args' has to be texts (in quotes)");
	assert_config_refused(EXEC "\"env\": {\"s3cret\": 1}", "'exec': 'env' has to be a list");
	assert_config_refused(EXEC "\"env\": [{\"name\": \"s3cret\"}]",
		"'exec': 'env' has to be a list of name and value (in quotes)");
	assert_config_refused("\"apiVersion\": \"" V1 "\", \"command\": \"nobody-has-it\","
			      " \"installHint\": \"Install it.\"",
		"'exec': 'nobody-has-it': cannot be run: No such file or directory; Install it.");
	assert_config_refused("\"apiVersion\": \"" V1 "\", \"command\": \"bin/none\"",
		"'exec': 'bin/none': cannot be run: No such file or directory");
}

static void a_token_beside_it_is_used(void **state UNUSED)
{
	struct kubeconfig c;

	put_config("config", NULL, NULL,
		"{\"token\": \"t\", \"exec\": {\"apiVersion\": \"" V1
		"\", \"command\": \"nobody-has-it\"}}");
	c = load("config", NULL);
	assert_token(&c, "t");
	assert_null(c.exec);
	kubeconfig_release(&c);
}

static void a_command_with_a_slash_is_relative_to_the_kubeconfig(void **state UNUSED)
{
	struct kubeconfig c;

	folder("sub");
	put("sub/plugin", "#!/bin/sh\n");
	assert_int_equal(chmod("sub/plugin", 0700), 0);
	put_config("sub/config", NULL, NULL,
		"{\"exec\": {\"apiVersion\": \"" V1 "beta1\", \"command\": \"./plugin\"}}");
	c = load("sub/config", NULL);
	assert_string_equal(c.exec->command, "sub/./plugin");
	assert_string_equal(c.exec->argv[0], "sub/./plugin");
	assert_null(c.exec->argv[1]);
	kubeconfig_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_credential_is_asked_for_once),
		TEST(what_it_is_given),
		TEST(it_is_found_in_our_path),
		TEST(how_it_may_fail),
		TEST(one_that_hangs_is_killed),
		TEST(what_it_leaves_running_holds_nobody_up),
		TEST(one_that_is_closed_while_it_runs_is_killed),
		TEST(one_that_vanishes_is_said_with_the_hint),
		TEST(one_that_expires_is_asked_for_anew),
		TEST(one_that_has_expired_already_is_tried),
		TEST(what_a_kubeconfig_must_say),
		TEST(a_token_beside_it_is_used),
		TEST(a_command_with_a_slash_is_relative_to_the_kubeconfig),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
