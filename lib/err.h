/*
 * err: one error on the caller's stack, and the table of exit statuses.
 *
 * A fallible function takes `struct err *err` last and returns 0 or -1 (or a
 * pointer or NULL). On success *err is untouched. The setters return -1, so
 * that `return err_set(err, ...)` is the whole of an error path.
 */
#ifndef MESHPIPE_ERR_H
#define MESHPIPE_ERR_H

#include "lib/base.h"

/* The exit statuses of all three programs; sysexits.h where it has a name. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_SOME_FAILED = 1,  /* some objects or services failed */
	EXIT_HELD = 3,	       /* deletions held, or differences found (diff) */
	EXIT_USAGE = 64,       /* wrong option or argument */
	EXIT_BAD_INPUT = 65,   /* unreadable input, under --strict */
	EXIT_UNAVAILABLE = 69, /* the peer cannot be reached, or --once ended without synced */
	EXIT_BUG = 70,
	EXIT_SYSTEM = 71,  /* memory, descriptors, a directory that cannot be written */
	EXIT_OUTPUT = 74,  /* nobody reads our output */
	EXIT_REFUSED = 77, /* credentials refused, lock held by another */
	EXIT_CONFIG = 78,  /* configuration or mapping program is wrong */
};

struct err {
	enum exit_status status;
	char msg[1024];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		.status = EXIT_OK, .msg = ""                                                       \
	}

/* Sets status and message; longer messages are cut. Always returns -1. */
int err_set(struct err *err, enum exit_status status, const char *fmt, ...) PRINTF(3, 4);

/* As err_set, with ": " and the text of errno at the end. */
int err_errno(struct err *err, enum exit_status status, const char *fmt, ...) PRINTF(3, 4);

/* Puts "context: " before the message; keeps the status. Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

#endif
