/*
 * test_find: which *.test files a command line means.
 */
#ifndef MESH_MAP_TEST_FIND_H
#define MESH_MAP_TEST_FIND_H

#include "lib/jvx.h"

/*
 * Appends to `paths`: a file itself, all *.test files below a directory (but those below names
 * that start with a dot) in byte order. EXIT_CONFIG when it cannot be read.
 */
int test_find(const char *path, jv *paths, struct err *err) NODISCARD;

#endif
