#include "lib/base.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "lib/err.h"

static void *die_no_memory(void)
{
	static const char msg[] = "out of memory\n";

	if (write(STDERR_FILENO, msg, sizeof(msg) - 1) < 0)
		_exit(EXIT_SYSTEM);
	_exit(EXIT_SYSTEM);
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	return p != NULL ? p : die_no_memory();
}

void *xrealloc(void *ptr, size_t count, size_t size)
{
	void *p = reallocarray(ptr, count > 0 ? count : 1, size > 0 ? size : 1);

	return p != NULL ? p : die_no_memory();
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);

	return p != NULL ? p : die_no_memory();
}

char *xstrndup(const char *s, size_t len)
{
	char *p = strndup(s, len);

	return p != NULL ? p : die_no_memory();
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n >= 0 ? s : die_no_memory();
}

void hold_std_fds(void)
{
	int fd;

	/* The lowest free number is what open() gives; the first above the three is given back. */
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int64_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t steady_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

char *str_trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len > 0 && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (*s < '0' || *s > '9' || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

char *read_whole_file(const char *path, size_t max_bytes, size_t *ret_len)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *data = NULL;
	size_t len = 0, cap = 0;

	if (fd < 0)
		return NULL;
	for (;;) {
		ssize_t n;

		if (len + 1 >= cap) {
			cap = cap > 0 ? cap * 2 : 4096;
			data = xrealloc(data, cap, 1);
		}
		n = read(fd, data + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return NULL;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max_bytes) {
			errno = EFBIG;
			return NULL;
		}
	}
	data[len] = '\0';
	if (ret_len != NULL)
		*ret_len = len;
	return TAKE(data);
}
