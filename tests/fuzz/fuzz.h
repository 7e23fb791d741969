/*
 * fuzz: what every fuzz target has.
 *
 * A target takes any bytes, as libFuzzer or replay.c gives them, and ends the process where
 * something is not as it must be, whatever the bytes are. What came of them, in one line, it
 * leaves in fuzz_outcome: the replay compares that with what the corpus expects.
 */
#ifndef MESHPIPE_FUZZ_H
#define MESHPIPE_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern char fuzz_outcome[600];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process when `condition` does not hold; the rest says what is wrong. */
#define MUST(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/*
 * Between these LeakSanitizer, where there is one, lets leaks be: libjq 1.6 loses the second of
 * two strings without a separator, and a leak of its memory looks the same as one of ours.
 */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static inline void fuzz_leaks_begin(void)
{
	if (__lsan_disable != NULL)
		__lsan_disable();
}

static inline void fuzz_leaks_end(void)
{
	if (__lsan_enable != NULL)
		__lsan_enable();
}

#endif
