/*
 * test_file: the format of *.test files, read and written.
 *
 * Tests are divided by blank lines; lines that start with # are comments. Three kinds:
 *
 *   functions   as jq --run-tests has them: a line each for the program, its input and every
 *               output
 *   %%FAIL      as jq has them: the program must not compile; its line, then that of the error
 *               (with %%FAIL IGNORE MSG any error will do)
 *   programs    %% and options of mesh-map (-f, -L, --config, --no-validate), then a line for the
 *               `service` record and one for every object that is to come of it
 */
#ifndef MESH_MAP_TEST_FILE_H
#define MESH_MAP_TEST_FILE_H

#include "lib/jvx.h"

#define TEST_FILE_MAX_BYTES (64u << 20)

enum test_kind { TEST_FUNCTION, TEST_NO_COMPILE, TEST_PROGRAM };

struct test_words {
	char **item;
	size_t count;
};

struct test {
	enum test_kind kind;
	size_t line;   /* where the program stands, from 1 */
	char *program; /* as it is written there */
	jv input;
	jv expected; /* array; of TEST_NO_COMPILE the error, or nothing for any */
	/* Of TEST_PROGRAM, as they were written. */
	struct test_words programs;
	struct test_words lib_dirs;
	char *config; /* NULL: none */
	bool no_validate;
	jv accepted;	   /* array to be written in place of `expected`; invalid: none */
	size_t after_line; /* the last line of what is expected, or that of the input */
};

/* A line of the file. */
struct test_line {
	const char *text; /* into the file's text; not terminated */
	size_t len;	  /* without its newline */
	struct test *of;  /* whose output it is that is expected here, or NULL */
	int index;	  /* which one */
};

struct test_file {
	char *name;
	char *text;
	struct test **tests;
	size_t n_tests;
	struct test_line *lines;
	size_t n_lines;
};

/* NULL with EXIT_BAD_INPUT and "name:line: what". */
struct test_file *test_file_parse(
	const char *name, const char *text, size_t len, struct err *err) NODISCARD;

/* The same; EXIT_CONFIG when it cannot be read. */
struct test_file *test_file_read(const char *path, struct err *err) NODISCARD;
void test_file_close(struct test_file *f);

/* The text with what was accepted in its place and everything else as it was. */
char *test_file_text(const struct test_file *f) NODISCARD;

/* Writes that in place of the file at its path, in one step. */
int test_file_write(const struct test_file *f, struct err *err) NODISCARD;

#endif
