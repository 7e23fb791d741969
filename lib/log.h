/*
 * log: logfmt lines on stderr, one write() a line.
 *
 *   consul-watch: level=warn msg="cannot reach consul" addr=127.0.0.1:8500 retry_ms=500
 *
 * Under journald (its JOURNAL_STREAM names our stderr) a line starts with the
 * priority prefix <N> of sd-daemon(3). Never log a token or a body.
 */
#ifndef MESHPIPE_LOG_H
#define MESHPIPE_LOG_H

#include "lib/base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* `program` must stay valid; it starts every line. Default level: info. */
void log_init(const char *program);

/* "error", "warn", "info", "debug"; false when it is none of them. */
bool log_set_level(const char *name);

/* "logfmt" or "json"; false when it is neither. */
bool log_set_format(const char *name);

/* Called before each line that is written: something else on the terminal gives way. NULL: nothing. */
void log_set_before(void (*before)(void *arg), void *arg);

bool log_enabled(enum log_level level);

/* msg, then pairs of (const char *key, const char *value); a NULL value leaves the pair out. */
void log_write(enum log_level level, const char *msg, ...) __attribute__((sentinel));

#define log_error(...) log_write(LOG_LVL_ERROR, __VA_ARGS__, (char *)NULL)
#define log_warn(...)  log_write(LOG_LVL_WARN, __VA_ARGS__, (char *)NULL)
#define log_info(...)  log_write(LOG_LVL_INFO, __VA_ARGS__, (char *)NULL)
#define log_debug(...) log_write(LOG_LVL_DEBUG, __VA_ARGS__, (char *)NULL)

/* Decimal text of n in one of four rotating static buffers, for log values. */
const char *log_num(long long n);

#endif
