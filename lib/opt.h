/*
 * opt: one table of options drives parsing, --help and the environment.
 *
 * Precedence: command line, then environment, then the value that the variable
 * had before. Every program also gets --log-level, --log-format, --help and
 * --version from here; --help and --version print to stdout and end with 0.
 */
#ifndef MESHPIPE_OPT_H
#define MESHPIPE_OPT_H

#include "lib/base.h"
#include "lib/err.h"

enum opt_kind {
	OPT_END,
	OPT_SECTION,  /* a heading in --help: only `help` is used */
	OPT_FLAG,     /* bool; from the environment: true/false/1/0 */
	OPT_STR,      /* const char * */
	OPT_UINT,     /* uint64_t; `max` limits it when not 0 */
	OPT_DURATION, /* int64_t milliseconds; "500ms", "10s", "5m", "1h" */
	OPT_SIZE,     /* uint64_t bytes; "512M", "2G"; `max` as above */
	OPT_LIST,     /* struct opt_list; may be given several times */
};

struct opt_list {
	const char **item; /* point into argv */
	size_t count;
};

struct opt {
	enum opt_kind kind;
	char letter;	  /* short form, 0 for none */
	const char *name; /* long form, without the dashes */
	void *value;	  /* points to a variable of the kind's type */
	const char *arg;  /* what --help calls the value; NULL for a flag */
	const char *env;  /* environment variable read when the option is not given, or NULL */
	const char *help; /* one line, lower case; NULL leaves the option out of --help */
	uint64_t max;	  /* OPT_UINT and OPT_SIZE only */
};

struct opt_program {
	const char *name;
	const char *summary;  /* one line */
	const char *synopsis; /* what stands behind the name in the usage line */
	const char *epilogue; /* printed below the options; examples; may be NULL */
	const struct opt *opts;
};

/*
 * Returns the index of the first argument that is not an option (argv is
 * permuted as getopt_long does), or -1 with EXIT_USAGE. Ends the process after
 * --help and --version. log_init must have been called.
 */
int opt_parse(const struct opt_program *program, int argc, char **argv, struct err *err) NODISCARD;

/* "500ms", "10s", "5m", "1h", "0"; at most ten years. */
int opt_parse_duration(const char *text, int64_t *ret_ms, struct err *err) NODISCARD;

/* "65536", "64K", "512M", "2G": powers of 1024. */
int opt_parse_size(const char *text, uint64_t max, uint64_t *ret_bytes, struct err *err) NODISCARD;

void opt_list_release(struct opt_list *list);

#endif
