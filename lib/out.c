#include "lib/out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/buf.h"

#define FULL_BYTES (64u << 10)

struct out {
	struct out_handler h;
	int fd;
	bool pollable;
	bool was_full;
	bool gone;
	bool closed;
	struct buf pending;
	size_t written; /* of pending */
	uv_poll_t poll;
};

static void fail(struct out *o, int code)
{
	struct err err = ERR_INIT;

	if (o->gone || o->closed)
		return;
	o->gone = true;
	if (o->pollable)
		uv_poll_stop(&o->poll);
	if (code == EPIPE)
		err_set(&err, EXIT_OUTPUT, "nobody reads our output");
	else
		err_set(&err, EXIT_OUTPUT, "cannot write output: %s", strerror(code));
	o->h.on_gone(o->h.arg, &err);
}

static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLOUT | POLLERR)) != 0;
}

static void write_pending(struct out *o)
{
	while (o->written < o->pending.len && !o->gone && (!o->pollable || has_room(o->fd))) {
		size_t len = o->pending.len - o->written;
		ssize_t n;

		if (o->pollable && len > PIPE_BUF)
			len = PIPE_BUF;
		n = write(o->fd, o->pending.data + o->written, len);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			fail(o, errno);
		else if (n > 0)
			o->written += (size_t)n;
	}
	if (o->written > FULL_BYTES / 2 || o->written == o->pending.len) {
		buf_consume(&o->pending, o->written);
		o->written = 0;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events);

/*
 * That nobody reads is reported whatever is waited for, as POLLERR or POLLHUP; libuv needs
 * something to wait for, and priority data never comes. Not UV_DISCONNECT: it is also true,
 * for ever, for a socket that is only written to, such as journald's.
 */
static void wait_for_room(struct out *o)
{
	int events = UV_PRIORITIZED | (out_pending(o) > 0 ? UV_WRITABLE : 0);

	if (o->pollable && !o->gone && !o->closed)
		uv_poll_start(&o->poll, events, on_poll);
}

bool out_is_broken(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static void on_poll(uv_poll_t *poll, int status, int events UNUSED)
{
	struct out *o = poll->data;

	if (status < 0 || out_is_broken(o->fd)) {
		fail(o, EPIPE);
		return;
	}
	write_pending(o);
	wait_for_room(o);
	if (!o->gone && (out_pending(o) == 0 || (o->was_full && !out_full(o)))) {
		o->was_full = false;
		o->h.on_room(o->h.arg);
	}
}

struct out *out_open(uv_loop_t *loop, int fd, const struct out_handler *h, struct err *err)
{
	struct stat st;
	struct out *o;
	int rc = 0, flags;

	if (fstat(fd, &st) < 0) {
		err_errno(err, EXIT_OUTPUT, "cannot write output");
		return NULL;
	}
	o = xcalloc(1, sizeof(*o));
	o->h = *h;
	o->fd = fd;
	o->pollable = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd);
	buf_init(&o->pending, SIZE_MAX / 4);
	if (o->pollable) {
		flags = fcntl(fd, F_GETFL);
		rc = uv_poll_init(loop, &o->poll, fd);
		if (rc == 0)
			rc = fcntl(fd, F_SETFL, flags) < 0 ? UV_EINVAL : 0;
	}
	o->poll.data = o;
	if (rc < 0) {
		err_set(err, EXIT_OUTPUT, "cannot write output: %s", uv_strerror(rc));
		free(o);
		return NULL;
	}
	wait_for_room(o);
	return o;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct out *o = handle->data;

	buf_release(&o->pending);
	free(o);
}

void out_close(struct out *o)
{
	if (o == NULL || o->closed)
		return;
	o->closed = true;
	if (o->pollable) {
		uv_close((uv_handle_t *)&o->poll, on_handle_closed);
		return;
	}
	buf_release(&o->pending);
	free(o);
}

void out_line(struct out *o, const char *text)
{
	out_bytes(o, text, strlen(text));
}

void out_bytes(struct out *o, const char *text, size_t len)
{
	if (o->gone)
		return;
	/* The limit is never met: callers stop at FULL_BYTES plus one line. */
	if (buf_add(&o->pending, text, len) < 0 || buf_adds(&o->pending, "\n") < 0)
		abort();
	write_pending(o);
	wait_for_room(o);
	o->was_full = o->was_full || out_full(o);
}

bool out_full(const struct out *o)
{
	return out_pending(o) >= FULL_BYTES;
}

size_t out_pending(const struct out *o)
{
	return o->pending.len - o->written;
}
