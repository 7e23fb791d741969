/*
 * diff: what two texts differ in, line by line, for people.
 */
#ifndef MESHPIPE_DIFF_H
#define MESHPIPE_DIFF_H

#include "lib/base.h"

enum diff_side { DIFF_BOTH = ' ', DIFF_OLD = '-', DIFF_NEW = '+', DIFF_SKIPPED = '@' };

/*
 * Calls on_line for each line that is to be shown: those that differ and three around them.
 * DIFF_SKIPPED, with an empty line, stands for lines that are left out.
 */
void diff_texts(const char *old, const char *new,
	void (*on_line)(void *arg, enum diff_side side, const char *line, size_t len), void *arg);

/*
 * The same as a unified diff has it, for people and for patch(1): DIFF_SKIPPED stands before each
 * piece, and its line is the piece's head, "@@ -1,4 +1,5 @@". Nothing when the texts are the same.
 */
void diff_unified(const char *old, const char *new,
	void (*on_line)(void *arg, enum diff_side side, const char *line, size_t len), void *arg);

#endif
