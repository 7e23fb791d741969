/*
 * intern: one copy of what many rows hold alike, such as the key of ten objects or the hashes of
 * the labels that they have in common. What is equal has the same address.
 */
#ifndef MESHPIPE_INTERN_H
#define MESHPIPE_INTERN_H

#include "k8s-apply/map.h"

struct intern {
	struct map map;
};

/* What is still held is freed as well. */
void intern_release(struct intern *in);

/*
 * The copy of these bytes, aligned as malloc's, to be dropped once for each time that it was asked
 * for, and not to be changed.
 */
void *intern_bytes(struct intern *in, const void *bytes, size_t len) NODISCARD;
const char *intern_text(struct intern *in, const char *text) NODISCARD;

/* Of the bytes of intern_bytes; 0 for NULL. */
size_t intern_len(const void *bytes);

/* NULL is allowed. */
void intern_drop(struct intern *in, const void *bytes);

#endif
