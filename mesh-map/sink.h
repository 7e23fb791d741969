/*
 * sink: writes lines to a descriptor and waits while it is full. Lines are
 * gathered until 64 KiB are there or sink_flush is called.
 */
#ifndef MESH_MAP_SINK_H
#define MESH_MAP_SINK_H

#include "lib/buf.h"
#include "lib/err.h"

struct sink {
	int fd;
	struct buf pending;
};

void sink_init(struct sink *s, int fd);
void sink_release(struct sink *s);

/* Takes text and adds the newline. -1 with EXIT_OUTPUT when it cannot be written. */
int sink_line(struct sink *s, const char *text, size_t len, struct err *err) NODISCARD;

/* Writes what was gathered. */
int sink_flush(struct sink *s, struct err *err) NODISCARD;

#endif
