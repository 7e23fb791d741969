/*
 * warnings: what the API server says besides its answers, in headers "Warning: 299 - "text"":
 * deprecated versions, fields that are dropped, policies in trial. Each goes to the log once.
 *
 * https://kubernetes.io/blog/2020/09/03/warnings/
 */
#ifndef MESHPIPE_WARNINGS_H
#define MESHPIPE_WARNINGS_H

#include "lib/http.h"

/* Different ones that are said; a server that words them anew for each object has said enough. */
#define WARNINGS_MAX 64u

struct warnings {
	uint64_t seen[WARNINGS_MAX]; /* hashes of texts */
	unsigned count;
	bool full_said;
};

/* Those of a reply. */
void warnings_take(struct warnings *w, const struct http_reply *reply);

/* One header's value. True: it is new, and *ret is its text without quotes and controls, owned. */
bool warnings_read(struct warnings *w, const char *value, char **ret);

#endif
