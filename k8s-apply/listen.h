/*
 * listen: a TCP socket that listens where an option says.
 */
#ifndef MESHPIPE_LISTEN_H
#define MESHPIPE_LISTEN_H

#include "lib/err.h"

/*
 * `address` is HOST:PORT, [IPV6]:PORT, or :PORT for all addresses of the machine; with port 0 the
 * system picks one. Returns a descriptor that does not block; *ret_where is where it listens, as
 * text, owned by the caller. -1 with EXIT_USAGE when it is no such address, else EXIT_SYSTEM.
 */
int listen_on(const char *address, char **ret_where, struct err *err) NODISCARD;

#endif
