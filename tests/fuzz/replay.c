/*
 * The main of a fuzz target without libFuzzer: gives it every file of its corpus, one test each,
 * and says in TAP what came of it.
 *
 *     test_fuzz_NAME              all of tests/fuzz/corpus/NAME
 *     test_fuzz_NAME FILE...      these, and shows what came of them
 *
 * tests/fuzz/corpus/NAME.expected has lines `FILE TEXT`: what comes of the file must begin with
 * the text. A file without a line must only do no harm.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "tests/fuzz/fuzz.h"

#define CORPUS	  "tests/fuzz/corpus/"
#define MAX_BYTES (64u << 20)

static unsigned tests, failed;

static void result(bool good, const char *name, const char *why)
{
	printf("%sok %u - %s%s%s\n", good ? "" : "not ", ++tests, name, good ? "" : ": ", why);
	failed += !good;
}

/* Owned memory of exactly the size, so that the sanitizer sees a read beyond its end. */
static bool run_file(const char *path)
{
	size_t size = 0;
	cleanup_free char *text = read_whole_file(path, MAX_BYTES, &size);
	cleanup_free uint8_t *data = NULL;

	if (text == NULL)
		return false;
	data = xcalloc(size > 0 ? size : 1, 1);
	memcpy(data, text, size);
	fuzz_outcome[0] = '\0';
	LLVMFuzzerTestOneInput(data, size);
	return true;
}

/* Text of the line `name TEXT`, owned; NULL when there is none. */
static char *expected_of(const char *expected, const char *name)
{
	cleanup_free char *start = xasprintf("%s ", name);

	for (const char *line = expected; *line != '\0'; line += strcspn(line, "\n") + 1)
		if (str_starts(line, start))
			return xstrndup(line + strlen(start), strcspn(line, "\n") - strlen(start));
	return NULL;
}

static void replay_one(const char *folder, const char *name, const char *expected)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	cleanup_free char *wanted = expected_of(expected, name);
	cleanup_free char *why = NULL;

	/* The last line of a crash says whose it is. */
	printf("# %s\n", name);
	fflush(stdout);
	if (!run_file(path)) {
		result(false, name, "cannot be read");
	} else if (wanted != NULL && !str_starts(fuzz_outcome, wanted)) {
		why = xasprintf("expected '%s', got '%s'", wanted, fuzz_outcome);
		result(false, name, why);
	} else {
		result(true, name, "");
	}
}

/* A line for a file that is not there is a seed that was lost. */
static void look_for_lost(const char *folder, const char *expected)
{
	const char *end;

	for (const char *line = expected; *line != '\0'; line = end + (*end != '\0')) {
		cleanup_free char *name = xstrndup(line, strcspn(line, " \n"));
		cleanup_free char *path = xasprintf("%s/%s", folder, name);

		end = line + strcspn(line, "\n");
		if (access(path, R_OK) < 0)
			result(false, name, "is expected, but not there");
	}
}

static int is_seed(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_corpus(const char *target)
{
	cleanup_free char *folder = xasprintf(CORPUS "%s", target);
	cleanup_free char *list = xasprintf(CORPUS "%s.expected", target);
	cleanup_free char *expected = read_whole_file(list, MAX_BYTES, NULL);
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, is_seed, alphasort);

	if (count <= 0 || expected == NULL) {
		printf("Bail out! no corpus in %s, or no %s\n", folder, list);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		replay_one(folder, entries[i]->d_name, expected);
		free(entries[i]);
	}
	free(entries);
	look_for_lost(folder, expected);
	printf("1..%u\n", tests);
	return failed > 0;
}

int main(int argc, char **argv)
{
	const char *target = program_invocation_short_name + strlen("test_fuzz_");

	if (argc == 1)
		return replay_corpus(target);
	for (int i = 1; i < argc; i++)
		if (run_file(argv[i]))
			printf("%s %s\n", argv[i], fuzz_outcome);
	return 0;
}
