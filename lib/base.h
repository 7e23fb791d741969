/*
 * base: memory that cannot fail, cleanup attributes, and the clocks.
 *
 * Out of memory ends the process with status 71: libjq aborts in that case
 * anyway, and a pipeline that restarts as a whole is the recovery.
 */
#ifndef MESHPIPE_BASE_H
#define MESHPIPE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NODISCARD     __attribute__((warn_unused_result))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define UNUSED	      __attribute__((unused))

/* Hands the value of an owned variable out and leaves NULL behind. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__auto_type take_ptr = &(p);                                                       \
		__auto_type taken = *take_ptr;                                                     \
		*take_ptr = NULL;                                                                  \
		taken;                                                                             \
	})

void *xcalloc(size_t count, size_t size) NODISCARD;
void *xrealloc(void *ptr, size_t count, size_t size) NODISCARD;
char *xstrdup(const char *s) NODISCARD;
char *xstrndup(const char *s, size_t len) NODISCARD;
char *xasprintf(const char *fmt, ...) NODISCARD PRINTF(1, 2);

static inline void base_freep(void *p)
{
	free(*(void **)p);
}

static inline void base_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void base_fclosep(FILE **f)
{
	if (*f != NULL)
		fclose(*f);
}

#define cleanup_free  __attribute__((cleanup(base_freep)))
#define cleanup_close __attribute__((cleanup(base_closep)))
#define cleanup_file  __attribute__((cleanup(base_fclosep)))

/*
 * For the start of main(): where stdin, stdout or stderr is closed, something
 * that only reads takes its place, or the next file or socket would, and our
 * output would go there (libuv aborts on it). Writing still fails, with EBADF.
 */
void hold_std_fds(void);

/*
 * Steady clock, for every timer and pause; not related to the time of day. It goes on while the
 * machine is suspended, as everybody else's does. (The loop's own timers do not: they come late.)
 */
int64_t steady_ms(void);

/* Milliseconds since 1970, for the `at` of records only. */
int64_t wall_ms(void);

/* Cuts blanks off the end, and returns where the text begins. */
char *str_trim(char *s);

/* True when s matches prefix / suffix at its start / end. */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/*
 * Parses a whole non-negative decimal number of at most `max`.
 * Returns false when s is anything else (empty, sign, blank, overflow).
 */
bool parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* Writes all of it; -1 with errno set. For descriptors that may be waited for. */
int write_all(int fd, const void *data, size_t len) NODISCARD;

/*
 * Reads a regular file or pipe whole, at most max_bytes; the result ends in
 * NUL, *ret_len (may be NULL) does not count it. NULL with errno set on
 * failure; EFBIG when there is more.
 */
char *read_whole_file(const char *path, size_t max_bytes, size_t *ret_len) NODISCARD;

#endif
