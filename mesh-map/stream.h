/*
 * stream: what becomes of each line of input.
 *
 *   service         the mapping's apply or keep
 *   gone            an apply with no objects
 *   anything else   passed on byte for byte
 *   not a record    reported and dropped. A snapshot that it fell into is
 *                   incomplete: its `synced` is dropped too, so that nothing
 *                   is pruned by it
 */
#ifndef MESH_MAP_STREAM_H
#define MESH_MAP_STREAM_H

#include "mesh-map/mapping.h"
#include "mesh-map/said.h"
#include "mesh-map/sink.h"

struct stream {
	struct mapping *mapping; /* the caller's; may be changed between two lines */
	struct sink out;
	struct said said;
	long long line;
	bool dropped; /* a line, at any time */
	jv snapshots; /* the open ones: source to whether it is complete so far */
};

void stream_init(struct stream *s, struct mapping *mapping, int out_fd);
void stream_release(struct stream *s);

/* One line of input, NULL for one that was too long. -1 only when output cannot be written. */
int stream_line(struct stream *s, const char *text, size_t len, struct err *err) NODISCARD;

/* Lets everything out that was gathered. */
int stream_flush(struct stream *s, struct err *err) NODISCARD;

/* True when a line was dropped, or while some service's last mapping failed. */
bool stream_has_problems(const struct stream *s);

#endif
