/*
 * test_report: what a developer sees of a test.
 */
#ifndef MESH_MAP_TEST_REPORT_H
#define MESH_MAP_TEST_REPORT_H

#include "mesh-map/test_run.h"

struct test_counts {
	unsigned passed;
	unsigned failed;
	unsigned accepted;
};

/* The file's line, once its tests are run. */
void test_report_file(const char *name, const struct test_counts *counts);

/* What is wrong with a test that did not pass. */
void test_report_failure(
	const struct test_file *file, const struct test *test, const struct test_outcome *outcome);

/* The last line. */
void test_report_all(const struct test_counts *counts, unsigned broken_files);

#endif
