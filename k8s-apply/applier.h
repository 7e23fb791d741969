/*
 * applier: runs the whole: inputs to the plan, the plan's operations to the
 * target, results to standard output, on one loop.
 */
#ifndef MESHPIPE_APPLIER_H
#define MESHPIPE_APPLIER_H

#include "k8s-apply/kubeconfig.h"
#include "k8s-apply/report.h"

/* What is done with what the input says. */
enum applier_mode {
	APPLIER_APPLY,
	APPLIER_DRY_RUN_CLIENT, /* said, by what is known here */
	APPLIER_DRY_RUN_SERVER, /* said, and the API server is asked whether it would take it */
	APPLIER_DIFF,		/* shown */
};

struct applier_config {
	enum applier_mode mode;
	/* No input: the whole set goes. `yes`: without asking on the terminal. */
	bool delete_set, yes;
	bool prune;	 /* what the set has of plain manifests and the input does not name goes */
	bool recursive;	 /* the folders of folders, too */
	bool colour;	 /* of the diff */
	const char *dir; /* NULL: a cluster */
	const char
		*namespace; /* of objects without one; NULL: the cluster's, or they stay without */
	const char *set;
	const char *set_namespace; /* cluster.h */
	struct kubeconfig_request access;
	bool lease;
	uint64_t qps;
	/* How long a cluster is waited for, at the start and at the end; -1: for ever, and 1 min. */
	int64_t timeout_ms;
	const char *metrics;   /* where to listen (listen.h); NULL: nowhere */
	struct opt_list files; /* "-" is standard input; none: only that */
	struct opt_list prune_sources;
	uint64_t approve_deletes; /* keys */
	int64_t prune_delay_ms;
	bool adopt, force_conflicts; /* cluster.h */
	bool once, accept_scope, strict;
	enum report_format format;
};

/* Runs to the end. Returns the exit status, or -1 with the error that ended it. */
int applier_run(const struct applier_config *config, struct err *err) NODISCARD;

#endif
