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

#include "lib/out.h"
#include "mesh-map/item.h"
#include "mesh-map/said.h"

struct stream {
	struct out *out;
	struct said said;
	long long line;
	bool trace;   /* every service is said, with what it cost */
	bool dropped; /* a line, at any time */
	jv snapshots; /* the open ones: source to whether it is complete so far */
};

void stream_init(struct stream *s, struct out *out);
void stream_release(struct stream *s);

/* What a line is (NULL: it was too long), to be given to the pool; NULL for a blank one. Owned. */
struct item *stream_take(struct stream *s, const char *text, size_t len) NODISCARD;

/* Says and writes what became of it; called in the order of the lines. */
void stream_put(struct stream *s, struct item *item);

/* True when a line was dropped, or while some service's last mapping failed. */
bool stream_has_problems(const struct stream *s);

#endif
