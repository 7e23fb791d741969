#include "lib/opt.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "lib/log.h"

static struct {
	bool once;
	const char *addr;
	uint64_t number;
	int64_t wait_ms;
	struct opt_list names;
} arg;

static const struct opt opts[] = {
	{ OPT_SECTION, .help = "First" },
	{ OPT_FLAG, '1', "once", &arg.once, NULL, "TEST_ONCE", "end soon", 0 },
	{ OPT_STR, 'a', "addr", &arg.addr, "URL", "TEST_ADDR", "where it is", 0 },
	{ OPT_SECTION, .help = "Second" },
	{ OPT_UINT, 0, "number", &arg.number, "N", "TEST_NUMBER", "how many", 100 },
	{ OPT_DURATION, 0, "a-very-long-option-name", &arg.wait_ms, "DURATION", NULL, "how long",
		0 },
	{ OPT_LIST, 'n', "name", &arg.names, "NAME", "TEST_NAME", "which", 0 },
	{ OPT_UINT, 0, "any", &arg.number, "N", NULL, NULL, 0 },
	{ .kind = OPT_END },
};

static const struct opt_program program = {
	.name = "prog",
	.summary = "Does what it does.",
	.synopsis = "[option]... file...",
	.epilogue = "Examples:\n  prog -1\n",
	.opts = opts,
};

static int setup(void **state UNUSED)
{
	opt_list_release(&arg.names);
	memset(&arg, 0, sizeof(arg));
	arg.addr = "default";
	arg.number = 7;
	unsetenv("TEST_ONCE");
	unsetenv("TEST_ADDR");
	unsetenv("TEST_NUMBER");
	unsetenv("TEST_NAME");
	unsetenv("MESHPIPE_LOG_LEVEL");
	unsetenv("MESHPIPE_LOG_FORMAT");
	log_init("prog");
	return 0;
}

static int teardown(void **state UNUSED)
{
	opt_list_release(&arg.names);
	return 0;
}

/* Splits at blanks; static, because values point into argv. */
static int parse(const char *line, struct err *err, char ***ret_argv)
{
	static char text[512];
	static char *argv[32];
	int argc = 0;
	char *save = NULL;

	snprintf(text, sizeof(text), "prog %s", line);
	for (char *word = strtok_r(text, " ", &save); word != NULL;
		word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	if (ret_argv != NULL)
		*ret_argv = argv;
	return opt_parse(&program, argc, argv, err);
}

static void values_of_each_kind(void **state UNUSED)
{
	struct err err = ERR_INIT;
	char **argv;
	int first = parse("file1 --once -a URL --number=100 file2 --a-very-long-option-name 5m "
			  "--name x -n y -- --file3",
		&err, &argv);

	assert_int_equal(first, 12);
	assert_true(arg.once);
	assert_string_equal(arg.addr, "URL");
	assert_int_equal(arg.number, 100);
	assert_int_equal(arg.wait_ms, 300000);
	assert_int_equal(arg.names.count, 2);
	assert_string_equal(arg.names.item[0], "x");
	assert_string_equal(arg.names.item[1], "y");
	assert_string_equal(argv[first], "file1");
	assert_string_equal(argv[first + 1], "file2");
	assert_string_equal(argv[first + 2], "--file3");
}

static void nothing_given_changes_nothing(void **state UNUSED)
{
	struct err err = ERR_INIT;

	assert_int_equal(parse("", &err, NULL), 1);
	assert_false(arg.once);
	assert_string_equal(arg.addr, "default");
	assert_int_equal(arg.number, 7);
}

static void the_command_line_goes_before_the_environment(void **state UNUSED)
{
	struct err err = ERR_INIT;

	setenv("TEST_ADDR", "from-env", 1);
	setenv("TEST_ONCE", "true", 1);
	setenv("TEST_NUMBER", "9", 1);
	setenv("TEST_NAME", "e", 1);
	assert_int_equal(parse("--addr given", &err, NULL), 3);
	assert_string_equal(arg.addr, "given");
	assert_true(arg.once);
	assert_int_equal(arg.number, 9);
	assert_int_equal(arg.names.count, 1);
	/* Empty is as good as unset. */
	setenv("TEST_ADDR", "", 1);
	setenv("TEST_NUMBER", "", 1);
	setenv("TEST_ONCE", "0", 1);
	setup(NULL);
	assert_int_equal(parse("", &err, NULL), 1);
	assert_string_equal(arg.addr, "default");
}

static void what_is_wrong_is_named(void **state UNUSED)
{
	static const struct {
		const char *line, *env, *value, *message;
	} rows[] = {
		{ "--nope", NULL, NULL, "unknown option '--nope' (see --help)" },
		{ "file --nope=1", NULL, NULL, "unknown option '--nope=1' (see --help)" },
		{ "-x", NULL, NULL, "unknown option '-x' (see --help)" },
		{ "-1x", NULL, NULL, "unknown option '-x' (see --help)" },
		{ "--addr", NULL, NULL, "option '--addr' needs a value (URL)" },
		{ "-a", NULL, NULL, "option '--addr' needs a value (URL)" },
		{ "--once=1", NULL, NULL, "option '--once' takes no value" },
		{ "--number 101", NULL, NULL,
			"option '--number': '101' is not a whole number from 0 to 100" },
		{ "--number -1", NULL, NULL,
			"option '--number': '-1' is not a whole number from 0 to 100" },
		{ "--a-very-long-option-name 5", NULL, NULL,
			"option '--a-very-long-option-name': '5' is not a duration (write a whole "
			"number and a unit: 500ms, 10s, 5m, 1h)" },
		{ "", "TEST_NUMBER", "many",
			"environment variable 'TEST_NUMBER': 'many' is not a whole number from 0 "
			"to 100" },
		{ "", "TEST_ONCE", "perhaps",
			"environment variable 'TEST_ONCE': 'perhaps' is neither true nor false" },
		{ "--log-format xml", NULL, NULL,
			"option '--log-format': 'xml' is not logfmt or json" },
		/* Last: it stays set. */
		{ "--log-level loud", NULL, NULL,
			"option '--log-level': 'loud' is not error, warn, info or debug" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;

		setup(NULL);
		if (rows[i].env != NULL)
			setenv(rows[i].env, rows[i].value, 1);
		assert_int_equal(parse(rows[i].line, &err, NULL), -1);
		assert_int_equal(err.status, EXIT_USAGE);
		assert_string_equal(err.msg, rows[i].message);
	}
}

static void durations(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ms;
	} rows[] = {
		{ "0", true, 0 },
		{ "0s", true, 0 },
		{ "500ms", true, 500 },
		{ "10s", true, 10000 },
		{ "5m", true, 300000 },
		{ "1h", true, 3600000 },
		{ "87600h", true, 315360000000 },
		{ "87601h", false, 0 },
		{ "18446744073709551615h", false, 0 },
		{ "99999999999999999999s", false, 0 },
		{ "10", false, 0 },
		{ "", false, 0 },
		{ "s", false, 0 },
		{ "-1s", false, 0 },
		{ "1.5s", false, 0 },
		{ "1 s", false, 0 },
		{ "1S", false, 0 },
		{ "1d", false, 0 },
		{ "1s1", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		int64_t ms = 42;

		assert_int_equal(
			opt_parse_duration(rows[i].text, &ms, &err), rows[i].good ? 0 : -1);
		assert_int_equal(ms, rows[i].good ? rows[i].ms : 42);
		assert_int_equal(err.status, rows[i].good ? EXIT_OK : EXIT_USAGE);
	}
}

static void sizes(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t bytes;
	} rows[] = {
		{ "0", true, 0 },
		{ "65536", true, 65536 },
		{ "64K", true, 65536 },
		{ "512M", true, UINT64_C(512) << 20 },
		{ "2G", true, UINT64_C(2) << 30 },
		{ "1024G", true, UINT64_C(1) << 40 },
		{ "1025G", false, 0 },
		{ "18446744073709551615G", false, 0 },
		{ "", false, 0 },
		{ "M", false, 0 },
		{ "1T", false, 0 },
		{ "1MB", false, 0 },
		{ "1 M", false, 0 },
		{ "1m", false, 0 },
		{ "-1M", false, 0 },
		{ "1.5G", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = ERR_INIT;
		uint64_t bytes = 42;

		assert_int_equal(opt_parse_size(rows[i].text, UINT64_C(1) << 40, &bytes, &err),
			rows[i].good ? 0 : -1);
		assert_int_equal(bytes, rows[i].good ? rows[i].bytes : 42);
		assert_int_equal(err.status, rows[i].good ? EXIT_OK : EXIT_USAGE);
	}
}

/* Runs opt_parse in a process of its own; returns its exit status and what it printed. */
static int printed(const char *line, char *text, size_t size)
{
	int fds[2], status = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err = ERR_INIT;

		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(parse(line, &err, NULL) < 0 ? 100 : 101);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void help_is_the_table(void **state UNUSED)
{
	char text[8192];

	assert_int_equal(printed("--help", text, sizeof(text)), EXIT_OK);
	assert_string_equal(text,
		"Usage: prog [option]... file...\n"
		"Does what it does.\n"
		"\n"
		"First:\n"
		"  -1, --once                  end soon [TEST_ONCE]\n"
		"  -a, --addr URL              where it is [TEST_ADDR]\n"
		"\n"
		"Second:\n"
		"      --number N              how many [TEST_NUMBER]\n"
		"      --a-very-long-option-name DURATION\n"
		"                              how long\n"
		"  -n, --name NAME             which [TEST_NAME]\n"
		"\n"
		"Common options:\n"
		"      --log-level LEVEL       error, warn, info (default) or debug "
		"[MESHPIPE_LOG_LEVEL]\n"
		"      --log-format FORMAT     logfmt (default) or json [MESHPIPE_LOG_FORMAT]\n"
		"  -h, --help                  show this text\n"
		"      --version               show the version\n"
		"\n"
		"Examples:\n"
		"  prog -1\n");
	assert_int_equal(printed("-h", text, sizeof(text)), EXIT_OK);
	assert_int_equal(printed("--version", text, sizeof(text)), EXIT_OK);
	assert_string_equal(text, "prog (meshpipe) " MESHPIPE_VERSION "\n");
	/* Help wins over what the environment has wrong, not over a wrong command line. */
	setenv("TEST_NUMBER", "many", 1);
	assert_int_equal(printed("--help", text, sizeof(text)), EXIT_OK);
	assert_int_equal(printed("--nope --help", text, sizeof(text)), 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_of_each_kind),
		TEST(nothing_given_changes_nothing),
		TEST(the_command_line_goes_before_the_environment),
		TEST(what_is_wrong_is_named),
		TEST(durations),
		TEST(sizes),
		TEST(help_is_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
