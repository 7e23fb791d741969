/*
 * lines: reads newline-delimited records from a descriptor on a libuv loop.
 *
 * Works for pipes, sockets, terminals, regular files and /dev/null alike
 * (epoll refuses the last two, so those are read in idle callbacks). A last
 * line without a newline counts. A line over the limit is reported to
 * on_line with text NULL, its rest is skipped, and reading goes on.
 */
#ifndef MESHPIPE_LINES_H
#define MESHPIPE_LINES_H

#include <uv.h>

#include "lib/base.h"
#include "lib/err.h"

#define LINES_MAX_BYTES (64u << 20)

struct lines;

struct lines_handler {
	/* One line without its newline; NUL-terminated, valid during the call. NULL: too long. */
	void (*on_line)(void *arg, const char *text, size_t len);
	/* End of input (err NULL) or a read error; nothing follows. */
	void (*on_end)(void *arg, const struct err *err);
	/* Called when everything that could be read without waiting was handed out; may be NULL. */
	void (*on_idle)(void *arg);
	void *arg;
};

/* The descriptor stays the caller's. NULL on failure. */
struct lines *lines_open(uv_loop_t *loop, int fd, size_t max_bytes, const struct lines_handler *h,
	struct err *err) NODISCARD;

/*
 * Hands nothing out until lines_resume(), not even what was read already. Both may be called in
 * on_line; lines_resume() elsewhere too, and calls on_line before it returns.
 */
void lines_pause(struct lines *l);
void lines_resume(struct lines *l);

/* Stops and frees once the loop ran its close callbacks; NULL is allowed. */
void lines_close(struct lines *l);

#endif
