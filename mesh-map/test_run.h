/*
 * test_run: one test of a *.test file, run.
 */
#ifndef MESH_MAP_TEST_RUN_H
#define MESH_MAP_TEST_RUN_H

#include "mesh-map/mapping.h"
#include "mesh-map/test_file.h"

struct test_outcome {
	bool passed;
	jv problems;	      /* lines of text: what is wrong besides outputs that differ */
	jv outputs;	      /* array; invalid when there are none to compare */
	bool failed_on_input; /* the program ended in an error */
};

/*
 * `options` has what the command line says: directories for modules, and the configuration of
 * tests that name none. Nothing that the program does can harm us (isolate.h).
 */
void test_run(const struct test_file *file, const struct test *test,
	const struct mapping_options *options, int64_t timeout_ms, struct test_outcome *ret);
void test_outcome_release(struct test_outcome *outcome);

#endif
