/*
 * word_set: a set of words as the annotations of an applyset's parent have it, "a,b", and when
 * each of them was added.
 */
#ifndef MESHPIPE_WORD_SET_H
#define MESHPIPE_WORD_SET_H

#include "lib/jvx.h"

/* {"word": serial}: the serials are the caller's, and ascend. Owned by the caller. */
struct word_set {
	jv words;
};

void word_set_init(struct word_set *s);
void word_set_release(struct word_set *s);

/* Those of the list that are not there yet. */
void word_set_add(struct word_set *s, const char *list, uint64_t serial);

bool word_set_has(const struct word_set *s, const char *word);

/* It was added by then. */
bool word_set_had(const struct word_set *s, const char *word, uint64_t serial);

/* Sorted, without the word `but`. Owned by the caller. */
char *word_set_join(const struct word_set *s, const char *but) NODISCARD;

void word_set_each(
	const struct word_set *s, void (*on_word)(void *arg, const char *word), void *arg);

#endif
