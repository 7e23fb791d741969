/*
 * worker: a process that maps records, one after the other, and may die of one.
 *
 * Programs are the user's code: one that loops for ever, eats memory or
 * crashes the interpreter costs the record in hand. A worker is forked from a
 * process that has everything loaded, so that starting one costs little and
 * reads nothing; it can open no file, socket or process, and has the limits
 * below. It ends when the socket to it is closed or its parent is gone.
 */
#ifndef MESH_MAP_WORKER_H
#define MESH_MAP_WORKER_H

#include <sys/types.h>

#include "lib/buf.h"
#include "mesh-map/mapping.h"

struct worker_limits {
	uint64_t
		memory_bytes; /* for one record, above what the process has at its start; 0: no limit */
	int64_t timeout_ms; /* processor time for one record; kept by who waits, see worker_cpu_ms */
};

enum answer_kind {
	ANSWER_RECORD,	   /* an apply or keep */
	ANSWER_UNREADABLE, /* the line is no record of a service; `problem` says why */
};

/* What became of one line. */
struct answer {
	enum answer_kind kind;
	const char *record; /* a line without its newline; in the worker's buffer */
	size_t record_len;
	const char *problem; /* NULL when all went well; not NUL-terminated */
	size_t problem_len;
	unsigned objects, kept;
	int64_t took_us;
};

struct worker {
	pid_t pid;
	int fd; /* non-blocking stream socket; -1 when there is no process */
	struct buf in;
	size_t taken; /* of `in`, by the last answer */
};

/* Forks; 0 or -1. `m` stays the caller's, and may be closed meanwhile. */
int worker_start(struct worker *w, struct mapping *m, const struct worker_limits *limits,
	struct err *err) NODISCARD;

/*
 * Writes from byte *offset on of a line, as much as there is room for, and moves *offset to
 * WORKER_SENT when all is written. -1 when the worker is gone.
 */
#define WORKER_SENT SIZE_MAX
int worker_send(struct worker *w, const char *text, size_t len, size_t *offset) NODISCARD;

/* Reads what there is. False at the end: the worker is gone. */
bool worker_read(struct worker *w) NODISCARD;

/* The next answer of those read; false when there is none. What it points to lasts until the next call. */
bool worker_answer(struct worker *w, struct answer *ret) NODISCARD;

/* Processor time that it used so far. */
int64_t worker_cpu_ms(const struct worker *w);

/*
 * Ends it at once if it has not ended, and forgets it. When it died of what it did, *ret_why (may
 * be NULL) becomes the reason, which the caller frees; else NULL.
 */
void worker_end(struct worker *w, const struct worker_limits *limits, char **ret_why);

#endif
