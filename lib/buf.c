#include "lib/buf.h"

#include <stdarg.h>
#include <string.h>

#define KEEP_BYTES (64u << 10)

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max_bytes = max_bytes };
}

void buf_release(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max_bytes);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->cap > KEEP_BYTES)
		buf_release(b);
	else if (b->data != NULL)
		b->data[0] = '\0';
}

int buf_add(struct buf *b, const void *data, size_t len)
{
	size_t need;

	if (len > b->max_bytes || b->len > b->max_bytes - len)
		return -1;
	need = b->len + len + 1;
	if (need > b->cap) {
		b->cap = need < 256 ? 256 : need + need / 2;
		b->data = xrealloc(b->data, b->cap, 1);
	}
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int buf_adds(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	cleanup_free char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s = NULL;
		return -1;
	}
	return buf_add(b, s, (size_t)n);
}

void buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

const char *buf_str(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}
