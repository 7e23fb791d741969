/*
 * dir_name: names of files and folders from sources and keys.
 *
 * Letters, digits, '.', '_' and '-' stay, all else is %XX, and so is a dot at
 * the start: no name leaves its folder or is hidden. Different texts have
 * different names; a long one is cut and gets "~" (which is never kept) and a
 * hash of the whole.
 */
#ifndef MESHPIPE_DIR_NAME_H
#define MESHPIPE_DIR_NAME_H

#include "lib/base.h"

/* The folder of plain manifests; a source of that name gets "%6Danifests". */
#define DIR_NAME_MANIFESTS "manifests"

char *dir_name_encode(const char *text) NODISCARD;

/* "dc1/student-service.yaml"; the source "" is that of plain manifests. */
char *dir_name_file(const char *source, const char *key) NODISCARD;

#endif
