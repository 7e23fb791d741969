/*
 * buf: a growing byte buffer that is born with a limit.
 *
 * Appending beyond the limit fails and leaves the content as it was; there is
 * no way to make a buffer without one.
 */
#ifndef MESHPIPE_BUF_H
#define MESHPIPE_BUF_H

#include "lib/base.h"

struct buf {
	char *data; /* always ends in NUL once anything was appended; NULL before */
	size_t len;
	size_t cap;
	size_t max_bytes;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_release(struct buf *b);

/* Empties the buffer; keeps at most 64 KiB of its memory. */
void buf_reset(struct buf *b);

/* 0, or -1 when the limit would be passed. */
int buf_add(struct buf *b, const void *data, size_t len) NODISCARD;
int buf_adds(struct buf *b, const char *s) NODISCARD;
int buf_addf(struct buf *b, const char *fmt, ...) NODISCARD PRINTF(2, 3);

/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);

/* The content as a string, "" when empty. */
const char *buf_str(const struct buf *b);

#define cleanup_buf __attribute__((cleanup(buf_release)))

#endif
