#include "k8s-apply/lease_identity.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

struct child {
	pid_t pid;
	char identity[256];
};

/* A process that only waits, and what it calls itself. */
static void start_child(struct child *child)
{
	int fds[2];
	ssize_t len;

	assert_int_equal(pipe(fds), 0);
	child->pid = fork();
	if (child->pid == 0) {
		char *identity = lease_identity();

		len = write(fds[1], identity, strlen(identity));
		close(fds[1]);
		pause();
		_exit(len > 0 ? 0 : 1);
	}
	close(fds[1]);
	len = read(fds[0], child->identity, sizeof(child->identity) - 1);
	close(fds[0]);
	assert_true(len > 0);
	child->identity[len] = '\0';
}

static void kill_child(const struct child *child, bool reap)
{
	siginfo_t info;

	kill(child->pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child->pid, &info, WEXITED | (reap ? 0 : WNOWAIT)), 0);
}

static void a_process_is_known_to_be_gone(void **state UNUSED)
{
	cleanup_free char *own = lease_identity(), *again = lease_identity();
	struct child child;

	assert_string_equal(own, again);
	assert_false(lease_identity_is_gone(own, own));
	start_child(&child);
	assert_string_not_equal(child.identity, own);
	assert_false(lease_identity_is_gone(child.identity, own));
	kill_child(&child, false);
	/* What nobody has waited for yet. */
	assert_true(lease_identity_is_gone(child.identity, own));
	kill_child(&child, true);
	assert_true(lease_identity_is_gone(child.identity, own));
}

static void what_is_not_certain_is_not_gone(void **state UNUSED)
{
	cleanup_free char *own = lease_identity();
	const char *machine = strrchr(own, '_') + 1;
	const struct {
		const char *format;
		bool gone;
	} rows[] = {
		/* Our pid, which is there, with another start: one before us. */
		{ "host_%2$d_1_%1$s", true },
		{ "other_host_with_more_%2$d_1_%1$s", true },
		{ "host_2147483647_1_%1$s", true },
		{ "host_2147483647_1_ffffffff", false },
		{ "host_2147483647_1_unknown", false },
		{ "host_2147483647_0_%1$s", false },
		{ "host_2147483648_1_%1$s", false },
		{ "host_0_1_%1$s", false },
		{ "host_-1_1_%1$s", false },
		{ "host_x_1_%1$s", false },
		{ "host_1_x_%1$s", false },
		{ "2147483647_1_%1$s", false },
		{ "1_%1$s", false },
		{ "_%1$s", false },
		{ "%1$s", false },
		{ "", false },
		{ "_", false },
		{ "istiod-7f_8c5b6c1e-8b0e-4e62-9d59-6d1d4f7a3f10", false },
	};

	assert_int_equal(strlen(machine), 8);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char holder[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(holder, sizeof(holder), rows[i].format, machine, (int)getpid());
#pragma GCC diagnostic pop
		if (lease_identity_is_gone(holder, own) != rows[i].gone)
			fail_msg("'%s' is%s gone", holder, rows[i].gone ? " not" : "");
	}
	assert_false(lease_identity_is_gone("host_2147483647_1_unknown", "host_1_1_unknown"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_is_known_to_be_gone),
		cmocka_unit_test(what_is_not_certain_is_not_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
