/*
 * test_options: what stands behind the %% of a test of a whole program.
 */
#ifndef MESH_MAP_TEST_OPTIONS_H
#define MESH_MAP_TEST_OPTIONS_H

#include "mesh-map/test_file.h"

/* Words divided by blanks, or in single or double quotes. -1 with one line of what is wrong. */
int test_options_parse(struct test *t, const char *text, struct err *err) NODISCARD;
void test_options_release(struct test *t);

#endif
