#include "mesh-map/sink.h"

#include <errno.h>
#include <poll.h>

#define GATHER_BYTES (64u << 10)

/* Far above any line that can be read, and what a program makes of it. */
#define MAX_BYTES (2048u << 20)

void sink_init(struct sink *s, int fd)
{
	s->fd = fd;
	buf_init(&s->pending, MAX_BYTES);
}

void sink_release(struct sink *s)
{
	buf_release(&s->pending);
}

/* The descriptor may be non-blocking: that is up to those we share it with. */
static void wait_for_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	poll(&p, 1, -1);
}

int sink_flush(struct sink *s, struct err *err)
{
	size_t written = 0;

	while (written < s->pending.len) {
		ssize_t n = write(s->fd, s->pending.data + written, s->pending.len - written);

		if (n >= 0)
			written += (size_t)n;
		else if (errno == EAGAIN)
			wait_for_room(s->fd);
		else if (errno == EPIPE)
			return err_set(err, EXIT_OUTPUT, "nobody reads our output");
		else if (errno != EINTR)
			return err_errno(err, EXIT_OUTPUT, "cannot write output");
	}
	buf_reset(&s->pending);
	return 0;
}

int sink_line(struct sink *s, const char *text, size_t len, struct err *err)
{
	if (buf_add(&s->pending, text, len) < 0 || buf_add(&s->pending, "\n", 1) < 0)
		return err_set(err, EXIT_SYSTEM, "a line of %zu bytes is too long to write", len);
	return s->pending.len >= GATHER_BYTES ? sink_flush(s, err) : 0;
}
