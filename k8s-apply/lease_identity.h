/*
 * lease_identity: the name of a process in a Lease, and whether one that is named there is gone.
 *
 * "<host>_<pid>_<start>_<machine>": the start time of /proc/PID/stat, field 22, tells a process
 * from a later one of the same pid; the machine is a hash of what pid and start time count in:
 * this boot of the kernel, the pid namespace and the time namespace.
 */
#ifndef MESHPIPE_LEASE_IDENTITY_H
#define MESHPIPE_LEASE_IDENTITY_H

#include "lib/base.h"

/* Of this process. Owned by the caller. */
char *lease_identity(void) NODISCARD;

/*
 * True only when it is certain: `holder` is a process of the machine of `own`, an identity of
 * this process, and runs no more. What is not an identity of ours is never known to be gone.
 */
bool lease_identity_is_gone(const char *holder, const char *own);

#endif
