#include "mesh-map/limits.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "lib/err.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_LIMIT_MEMORY false
#elif defined(__has_feature)
#define CAN_LIMIT_MEMORY (!__has_feature(address_sanitizer))
#else
#define CAN_LIMIT_MEMORY true
#endif

static void limit(int resource, uint64_t value)
{
	const struct rlimit l = { .rlim_cur = value, .rlim_max = value };

	setrlimit(resource, &l);
}

static uint64_t address_space(void)
{
	cleanup_free char *text = read_whole_file("/proc/self/statm", 4096, NULL);

	return text != NULL ? strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void limits_memory(uint64_t bytes)
{
	if (CAN_LIMIT_MEMORY && bytes > 0)
		limit(RLIMIT_AS, address_space() + bytes);
}

void limits_harmless(void)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, 0);
}

void limits_no_files(void)
{
	limit(RLIMIT_NOFILE, 0);
}

void limits_end_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_OK);
}

char *limits_cause(int status, uint64_t memory_bytes)
{
	if (WIFSIGNALED(status))
		return xasprintf("it ended the interpreter (%s)", strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == EXIT_OK)
		return NULL;
	/* As everything here ends that finds no memory; libjq too, see program.c. */
	if (WEXITSTATUS(status) == EXIT_SYSTEM)
		return xasprintf("it needs more than %llu MiB of memory (--memory)",
			(unsigned long long)(memory_bytes >> 20));
	return xasprintf("it ended the interpreter (status %d)", WEXITSTATUS(status));
}
