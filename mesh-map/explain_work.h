/*
 * explain_work: all that is to be said of one record, found out.
 */
#ifndef MESH_MAP_EXPLAIN_WORK_H
#define MESH_MAP_EXPLAIN_WORK_H

#include "mesh-map/mapping.h"

struct explanation {
	jv result;     /* the apply or keep record */
	char *problem; /* why the result is not all that was asked for, or NULL */
	int64_t ms;    /* how long the mapping took */
	jv said;       /* lines that the programs said with `debug` and `stderr` */
	/* By the module: {settings, left_out}; invalid with the reason when it cannot say. */
	jv module;
	char *module_problem;
};

/* Runs the programs of `m`, made of `options`, on a `service` record. */
void explain_work(struct mapping *m, const struct mapping_options *options, jv record,
	int64_t timeout_ms, struct explanation *ret);
void explanation_release(struct explanation *e);

#endif
