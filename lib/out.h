/*
 * out: writes lines to a descriptor on a libuv loop without ever waiting in it.
 *
 * The caller asks out_full() before it makes the next line and goes on in
 * on_room: so a slow reader costs the caller one dirty mark a subject instead
 * of a queue of lines. The mode of the descriptor is left alone (others may
 * share it): writes are of at most PIPE_BUF bytes, after poll() found room.
 */
#ifndef MESHPIPE_OUT_H
#define MESHPIPE_OUT_H

#include <uv.h>

#include "lib/base.h"
#include "lib/err.h"

struct out;

struct out_handler {
	/* Room again after out_full() was true, and each time that all is written. */
	void (*on_room)(void *arg);
	/* The reader went away (also while nothing is written) or the disk is full. Called once. */
	void (*on_gone)(void *arg, const struct err *err);
	void *arg;
};

struct out *out_open(
	uv_loop_t *loop, int fd, const struct out_handler *h, struct err *err) NODISCARD;
void out_close(struct out *o);

/* Takes a line and adds the newline. Written now as far as there is room, else later. */
void out_bytes(struct out *o, const char *text, size_t len);
void out_line(struct out *o, const char *text);

/* True from 64 KiB waiting on. */
bool out_full(const struct out *o);

/* Nobody will ever read from the other end of a pipe or socket. Does not wait. */
bool out_is_broken(int fd);

/* Bytes that wait to be written. */
size_t out_pending(const struct out *o);

#endif
