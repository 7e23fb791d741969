#include "k8s-apply/lease_identity.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <xxhash.h>

#define MAX_STAT_BYTES 4096

/* In place of the hash: never the same machine, not even as another such. */
#define NO_MACHINE "unknown"

/* Field 22, counted from the state, which is field 3. */
#define START_AFTER_STATE 19

static bool read_link(const char *path, char ret[PATH_MAX])
{
	ssize_t len = readlink(path, ret, PATH_MAX - 1);

	ret[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* In a pid namespace that has the /proc of another, the numbers there are not ours. */
static bool proc_is_ours(void)
{
	char link[PATH_MAX];
	uint64_t pid;

	return read_link("/proc/self", link) && parse_u64(link, INT_MAX, &pid) &&
	       (pid_t)pid == getpid();
}

static char *machine(void)
{
	cleanup_free char *boot =
		read_whole_file("/proc/sys/kernel/random/boot_id", MAX_STAT_BYTES, NULL);
	cleanup_free char *all = NULL;
	char pids[PATH_MAX], times[PATH_MAX];

	if (boot == NULL || !proc_is_ours() || !read_link("/proc/self/ns/pid", pids))
		return xstrdup(NO_MACHINE);
	/* Not there before Linux 5.6, where all have the same time. */
	read_link("/proc/self/ns/time", times);
	all = xasprintf("%s %s %s", boot, pids, times);
	return xasprintf("%08x", (unsigned)XXH3_64bits(all, strlen(all)));
}

/* A zombie is as good as none: false. True with 0: it runs, and more cannot be seen. */
static bool start_of(pid_t pid, uint64_t *ret)
{
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)pid);
	cleanup_free char *text = read_whole_file(path, MAX_STAT_BYTES, NULL);
	/* The name of the program before it may hold blanks and brackets. */
	char *field = text != NULL ? strrchr(text, ')') : NULL;

	*ret = 0;
	if (field == NULL || strlen(field) < 3)
		return true;
	field += 2;
	if (*field == 'Z' || *field == 'X')
		return false;
	for (int i = 0; i < START_AFTER_STATE && field != NULL; i++) {
		field = strchr(field, ' ');
		field += field != NULL;
	}
	if (field == NULL)
		return true;
	field[strcspn(field, " \n")] = '\0';
	if (!parse_u64(field, UINT64_MAX, ret))
		*ret = 0;
	return true;
}

char *lease_identity(void)
{
	char host[HOST_NAME_MAX + 1] = "";
	cleanup_free char *where = machine();
	uint64_t start;

	if (gethostname(host, sizeof(host) - 1) < 0 || *host == '\0')
		snprintf(host, sizeof(host), "localhost");
	start_of(getpid(), &start);
	return xasprintf("%s_%d_%llu_%s", host, (int)getpid(), (unsigned long long)start, where);
}

/* Cuts the part behind the last '_' off; a host may have more of them. NULL: there is none. */
static char *cut_part(char *text)
{
	char *at = strrchr(text, '_');

	if (at == NULL)
		return NULL;
	*at = '\0';
	return at + 1;
}

static bool same_machine(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0 && strcmp(a, NO_MACHINE) != 0;
}

bool lease_identity_is_gone(const char *holder, const char *own)
{
	cleanup_free char *theirs = xstrdup(holder), *ours = xstrdup(own);
	uint64_t pid, start, start_now;
	const char *part;

	if (!same_machine(cut_part(theirs), cut_part(ours)))
		return false;
	part = cut_part(theirs);
	if (part == NULL || !parse_u64(part, UINT64_MAX, &start) || start == 0)
		return false;
	part = cut_part(theirs);
	if (part == NULL || !parse_u64(part, INT_MAX, &pid) || pid == 0)
		return false;
	/* Not by /proc, where those of other users may be hidden (hidepid, ProtectProc). */
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return true;
	return !start_of((pid_t)pid, &start_now) || (start_now != 0 && start_now != start);
}
