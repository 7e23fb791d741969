/*
 * progress: one line on a terminal that says how far a long piece of work is, rewritten in place.
 *
 *   1,234 of 5,000 objects, 410/s, 9 s left
 *
 * It appears when work has gone on for two seconds, and gives way to each line of the log.
 */
#ifndef MESHPIPE_PROGRESS_H
#define MESHPIPE_PROGRESS_H

#include <uv.h>

#include "lib/base.h"

struct progress;

/* `fd` is a terminal. */
struct progress *progress_open(uv_loop_t *loop, int fd);

/* NULL is allowed, here and below. */
void progress_close(struct progress *p);

/* One more object is done. */
void progress_step(struct progress *p);

/* So many wait; with none the piece of work is over. */
void progress_set_waiting(struct progress *p, size_t waiting);

/* Takes the line off the terminal until it is written again. */
void progress_clear(struct progress *p);

/* "1,234 of 5,000 objects, 410/s, 9 s left". Owned by the caller. */
char *progress_text(size_t done, size_t waiting, int64_t elapsed_ms) NODISCARD;

/* 1234567 as "1,234,567". Owned by the caller. */
char *progress_number(size_t n) NODISCARD;

#endif
