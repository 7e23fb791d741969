/*
 * applier: runs the whole: inputs to the plan, the plan's operations to the
 * target, results to standard output, on one loop.
 */
#ifndef MESHPIPE_APPLIER_H
#define MESHPIPE_APPLIER_H

#include "k8s-apply/report.h"
#include "lib/opt.h"

struct applier_config {
	const char *dir;
	const char *namespace; /* of objects without one; NULL: they stay without */
	const char *set;
	struct opt_list files; /* "-" is standard input; none: only that */
	struct opt_list prune_sources;
	uint64_t approve_deletes; /* keys */
	bool once, accept_scope, strict, dry_run;
	enum report_format format;
};

/* Runs to the end. Returns the exit status, or -1 with the error that ended it. */
int applier_run(const struct applier_config *config, struct err *err) NODISCARD;

#endif
