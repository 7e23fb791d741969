#include "lib/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/buf.h"

#define READ_BYTES (64u << 10)

/* Reads in a row before other events of the loop get their turn. */
#define MAX_READS 16

struct lines {
	struct lines_handler h;
	int fd;
	bool pollable;
	bool skipping; /* inside a line that was too long */
	bool ended;
	bool closed;
	bool busy; /* inside a callback: closing waits */
	bool paused;
	char *rest; /* of the chunk, not handed out yet */
	size_t rest_len;
	struct buf partial;
	char *chunk;
	union {
		uv_poll_t poll;
		uv_idle_t idle;
		uv_handle_t handle;
	} uv;
};

static void on_handle_closed(uv_handle_t *handle)
{
	struct lines *l = handle->data;

	buf_release(&l->partial);
	free(l->chunk);
	free(l);
}

static void stop(struct lines *l)
{
	if (l->pollable)
		uv_poll_stop(&l->uv.poll);
	else
		uv_idle_stop(&l->uv.idle);
}

static void end(struct lines *l, const struct err *err)
{
	l->ended = true;
	stop(l);
	if (err == NULL && l->partial.len > 0 && !l->skipping)
		l->h.on_line(l->h.arg, l->partial.data, l->partial.len);
	if (!l->closed)
		l->h.on_end(l->h.arg, err);
}

/* Adds to the line in hand; a line that grows over the limit is reported once. */
static void add_partial(struct lines *l, const char *data, size_t len)
{
	if (l->skipping || buf_add(&l->partial, data, len) == 0)
		return;
	l->skipping = true;
	buf_reset(&l->partial);
	l->h.on_line(l->h.arg, NULL, 0);
}

static void take(struct lines *l, char *data, size_t len)
{
	while (len > 0 && !l->closed && !l->paused) {
		char *newline = memchr(data, '\n', len);
		size_t n = newline != NULL ? (size_t)(newline - data) : len;

		if (newline != NULL && l->partial.len == 0 && !l->skipping &&
			n <= l->partial.max_bytes) {
			*newline = '\0';
			l->h.on_line(l->h.arg, data, n);
		} else {
			add_partial(l, data, n);
			if (newline != NULL && !l->skipping)
				l->h.on_line(l->h.arg, buf_str(&l->partial), l->partial.len);
			if (newline != NULL) {
				l->skipping = false;
				buf_reset(&l->partial);
			}
		}
		if (newline != NULL)
			n++;
		data += n;
		len -= n;
	}
	l->rest = data;
	l->rest_len = l->closed ? 0 : len;
}

static bool readable_now(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* One read; false when there is nothing more for now or for ever. */
static bool read_once(struct lines *l)
{
	struct err err = ERR_INIT;
	ssize_t n = read(l->fd, l->chunk, READ_BYTES);

	if (n > 0) {
		take(l, l->chunk, (size_t)n);
		return !l->closed && !l->paused;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n < 0) {
		err_errno(&err, EXIT_SYSTEM, "cannot read input");
		end(l, &err);
	} else {
		end(l, NULL);
	}
	return false;
}

static void read_some(struct lines *l)
{
	l->busy = true;
	take(l, l->rest, l->rest_len);
	for (int i = 0; i < MAX_READS && !l->closed && !l->paused; i++) {
		/* The descriptor may be in blocking mode, which is its owner's choice: ask first. */
		if (i > 0 && l->pollable && !readable_now(l->fd))
			break;
		if (!read_once(l))
			break;
	}
	if (!l->closed && !l->ended && !l->paused && l->h.on_idle != NULL &&
		(!l->pollable || !readable_now(l->fd)))
		l->h.on_idle(l->h.arg);
	l->busy = false;
	if (l->closed)
		uv_close(&l->uv.handle, on_handle_closed);
}

static void on_poll(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
	/* A status below 0 is the hang-up of the other side: read() tells what is left. */
	read_some(poll->data);
}

static void on_idle(uv_idle_t *idle)
{
	read_some(idle->data);
}

static int start(struct lines *l)
{
	return l->pollable ? uv_poll_start(&l->uv.poll, UV_READABLE, on_poll)
			   : uv_idle_start(&l->uv.idle, on_idle);
}

static bool is_pollable(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd));
}

struct lines *lines_open(
	uv_loop_t *loop, int fd, size_t max_bytes, const struct lines_handler *h, struct err *err)
{
	struct lines *l;
	int rc;

	if (fcntl(fd, F_GETFD) < 0) {
		err_errno(err, EXIT_SYSTEM, "cannot read input");
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->h = *h;
	l->fd = fd;
	l->pollable = is_pollable(fd);
	l->chunk = xcalloc(READ_BYTES, 1);
	buf_init(&l->partial, max_bytes);
	if (l->pollable) {
		int flags = fcntl(fd, F_GETFL);

		rc = uv_poll_init(loop, &l->uv.poll, fd);
		/* uv_poll_init makes it non-blocking, also for whoever shares the terminal with us. */
		if (rc == 0 && fcntl(fd, F_SETFL, flags) < 0)
			rc = UV_EINVAL;
	} else {
		rc = uv_idle_init(loop, &l->uv.idle);
	}
	if (rc == 0)
		rc = start(l);
	l->uv.handle.data = l;
	if (rc < 0) {
		err_set(err, EXIT_SYSTEM, "cannot wait for input: %s", uv_strerror(rc));
		free(l->chunk);
		free(l);
		return NULL;
	}
	return l;
}

void lines_pause(struct lines *l)
{
	if (l->paused || l->closed || l->ended)
		return;
	l->paused = true;
	stop(l);
}

void lines_resume(struct lines *l)
{
	if (!l->paused || l->closed)
		return;
	l->paused = false;
	start(l);
	if (!l->busy && l->rest_len > 0)
		read_some(l);
}

void lines_close(struct lines *l)
{
	if (l == NULL || l->closed)
		return;
	l->closed = true;
	stop(l);
	if (!l->busy)
		uv_close(&l->uv.handle, on_handle_closed);
}
