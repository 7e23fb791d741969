#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int err_set(struct err *err, enum exit_status status, const char *fmt, ...)
{
	va_list ap;

	err->status = status;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return -1;
}

int err_errno(struct err *err, enum exit_status status, const char *fmt, ...)
{
	int saved = errno;
	size_t used;
	va_list ap;

	err->status = status;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	used = strlen(err->msg);
	snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(saved));
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char context[sizeof(err->msg) / 2];
	size_t used, kept;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context, sizeof(context) - 2, fmt, ap);
	va_end(ap);
	used = strlen(context);
	memcpy(context + used, ": ", 3);
	used += 2;
	kept = strnlen(err->msg, sizeof(err->msg) - 1 - used);
	memmove(err->msg + used, err->msg, kept);
	memcpy(err->msg, context, used);
	err->msg[used + kept] = '\0';
	return -1;
}
