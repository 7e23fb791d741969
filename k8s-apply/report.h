/*
 * report: what the applier says: results as lines of output, as kubectl words
 * them or as records; problems and the plan's notices as lines of the log.
 */
#ifndef MESHPIPE_REPORT_H
#define MESHPIPE_REPORT_H

#include "k8s-apply/plan.h"

enum report_format {
	REPORT_TEXT, /* unchanged objects only of plain manifests, as kubectl does */
	REPORT_WIDE, /* all of them, and the key behind each */
	REPORT_NAME,
	REPORT_JSON,
};

/* False when there is no format of that name. "" is REPORT_TEXT. */
bool report_format_from(const char *name, enum report_format *ret);

/*
 * The line without its newline; NULL when this result is not to be shown. `dry_run` is NULL when
 * it was done, else kubectl's words for what it was: "dry run" or "server dry run".
 */
char *report_line(enum report_format format, const struct plan_result *r, const char *dry_run,
	int64_t now_wall_ms) NODISCARD;

/*
 * Logs a result that is a failure or conflict: one line a key and error, not
 * one an object. *last is the memory of that: NULL at first, freed by the caller.
 */
void report_log_problem(const struct plan_result *r, char **last);

/* `how` says how a person releases held deletions. */
void report_log_notice(const struct plan_notice *n, const char *how);

#endif
