/*
 * input: the values of one input, whatever form it has.
 *
 * One JSON value a line (records, manifests) is handed out line by line as it
 * comes. Anything else is taken for manifests as people keep them: YAML
 * documents, or JSON over several lines; that is read to its end first. A line
 * that turns out to be a record makes a stream of records of it after all.
 */
#ifndef MESHPIPE_INPUT_H
#define MESHPIPE_INPUT_H

#include <uv.h>

#include "lib/jvx.h"

struct input;

struct input_handler {
	/* Borrowed. An error (-1) comes back as on_unreadable, with the place put before it. */
	int (*on_value)(void *arg, jv v, struct err *err);
	/* A line, a document, or all of a YAML text that cannot be read. */
	void (*on_unreadable)(void *arg, const struct err *err);
	void (*on_end)(void *arg, const struct err *err); /* nothing follows; err: reading failed */
	void *arg;
};

/* The descriptor stays the caller's; `name` is what messages call it. */
struct input *input_open(uv_loop_t *loop, int fd, const char *name, const struct input_handler *h,
	struct err *err) NODISCARD;

/* NULL is allowed; from inside a callback, too. */
void input_close(struct input *in);

#endif
