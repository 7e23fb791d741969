/*
 * report: a result as one line of output, as kubectl says it or as a record.
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

/* The line without its newline; NULL when this result is not to be shown. */
char *report_line(enum report_format format, const struct plan_result *r, bool dry_run,
	int64_t now_wall_ms) NODISCARD;

#endif
