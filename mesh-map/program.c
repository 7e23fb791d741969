#include "mesh-map/program.h"

#include <errno.h>
#include <jq.h>
#include <string.h>

#include "lib/log.h"
#include "mesh-map/filters.h"

#define MAX_PROGRAM_BYTES (16u << 20)

struct program {
	jq_state *jq;
	char *path;
	bool asked_for_input;
	jv complaint;	     /* the first one of the compiler */
	FILE *stderr_stream; /* what libjq writes to while the program runs */
};

static void on_complaint(void *arg, jv msg)
{
	struct program *p = arg;

	if (!jvx_is(p->complaint, JV_KIND_STRING) && jvx_is(msg, JV_KIND_STRING)) {
		jv_free(p->complaint);
		p->complaint = jv_copy(msg);
	}
	jv_free(msg);
}

static void on_debug(void *arg, jv msg)
{
	struct program *p = arg;

	if (log_enabled(LOG_LVL_DEBUG)) {
		cleanup_free char *text = jvx_dump(msg);

		log_debug("program says", "program", p->path, "value", text);
	}
	jv_free(msg);
}

static jv on_input(jq_state *jq UNUSED, void *arg)
{
	struct program *p = arg;

	p->asked_for_input = true;
	return jv_invalid_with_msg(jv_string("there is no input but the record"));
}

/*
 * Where libjq 1.6 writes to when a program uses `stderr` (it has no callback
 * for that), and glibc when libjq's own checks end the process. Without memory
 * libjq says so and aborts, whatever handler it was given: the status of the
 * table tells that from a bug.
 */
static ssize_t on_stderr(void *cookie UNUSED, const char *data, size_t len)
{
	cleanup_free char *text = xstrndup(data, len);
	bool crash = strstr(text, "Assertion") != NULL;

	if (strstr(text, "cannot allocate memory") != NULL)
		_exit(EXIT_SYSTEM);
	log_write(crash ? LOG_LVL_ERROR : LOG_LVL_DEBUG, "program writes to stderr", "text", text,
		(char *)NULL);
	return (ssize_t)len;
}

static FILE *open_stderr(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = on_stderr });

	if (f != NULL)
		setvbuf(f, NULL, _IONBF, 0); /* what is said before an abort is said */
	return f;
}

/* Takes ", line 3" or ", column 5" off the end of text; 0 when there is none. */
static unsigned take_number(char *text, const char *name)
{
	char *at = strstr(text, name), *next;
	uint64_t n;

	while (at != NULL && (next = strstr(at + 1, name)) != NULL)
		at = next;
	if (at == NULL || !parse_u64(at + strlen(name), UINT32_MAX, &n))
		return 0;
	*at = '\0';
	return (unsigned)n;
}

/*
 * Turns "jq: error: WHAT at PLACE, line 3, column 5:\nSOURCE" (1.6 and 1.7 know
 * no column) into "FILE:3:5: WHAT".
 */
static int fail_compile(const struct program *p, struct err *err)
{
	static const char advice[] = " (Unix shell quoting issues?)";
	const char *msg = jvx_str(p->complaint, "it does not compile");
	cleanup_free char *text = NULL;
	cleanup_free char *position = NULL;
	const char *file = p->path;
	unsigned line, column;
	char *at, *quoting;

	if (str_starts(msg, "jq: error: "))
		msg += strlen("jq: error: ");
	text = xstrndup(msg, strcspn(msg, "\n"));
	if (str_ends(text, ":"))
		text[strlen(text) - 1] = '\0';
	column = take_number(text, ", column ");
	line = take_number(text, ", line ");
	at = line > 0 ? strstr(text, " at <top-level>") : NULL;
	if (line > 0 && at == NULL && (at = strstr(text, " at /")) != NULL)
		file = at + strlen(" at ");
	if (at == NULL)
		return err_set(err, EXIT_CONFIG, "%s: %s", p->path, text);
	*at = '\0';
	if ((quoting = strstr(text, advice)) != NULL)
		memmove(quoting, quoting + strlen(advice), strlen(quoting + strlen(advice)) + 1);
	position = column > 0 ? xasprintf("%u:%u", line, column) : xasprintf("%u", line);
	return err_set(err, EXIT_CONFIG, "%s:%s: %s", file, position, text);
}

/* $config, and $ARGS as stock jq has it. Always an object: libjq frees an array twice. */
static jv make_args(jv config)
{
	cleanup_jv jv args = jv_object();
	cleanup_jv jv all = jv_object();

	jvx_set(&args, "config", jv_copy(config));
	jvx_set(&all, "positional", jv_array());
	jvx_set(&all, "named", jv_copy(args));
	jvx_set(&args, "ARGS", jv_copy(all));
	return jvx_take(&args);
}

static int compile(struct program *p, jv lib_dirs, jv config, struct err *err)
{
	cleanup_free char *origin = filters_dir_of(p->path);
	cleanup_free char *text = NULL;
	size_t len = 0;

	text = read_whole_file(p->path, MAX_PROGRAM_BYTES, &len);
	if (text == NULL || origin == NULL)
		return err_errno(err, EXIT_CONFIG, "cannot read program '%s'", p->path);
	if (strlen(text) != len)
		return err_set(err, EXIT_CONFIG, "program '%s' holds a NUL character", p->path);
	p->jq = jq_init();
	if (p->jq == NULL)
		return err_set(err, EXIT_SYSTEM, "cannot set up libjq");
	jq_set_error_cb(p->jq, on_complaint, p);
	jq_set_debug_cb(p->jq, on_debug, p);
	jq_set_input_cb(p->jq, on_input, p);
	jq_set_attr(p->jq, jv_string("JQ_LIBRARY_PATH"), jv_copy(lib_dirs));
	jq_set_attr(p->jq, jv_string("PROGRAM_ORIGIN"), jv_string(origin));
	if (!jq_compile_args(p->jq, text, make_args(config)))
		return fail_compile(p, err);
	return 0;
}

struct program *program_open(const char *path, jv lib_dirs, jv config, struct err *err)
{
	struct program *p = xcalloc(1, sizeof(*p));

	p->path = xstrdup(path);
	p->complaint = jv_invalid();
	p->stderr_stream = open_stderr();
	if (compile(p, lib_dirs, config, err) < 0) {
		program_close(p);
		return NULL;
	}
	return p;
}

void program_close(struct program *p)
{
	if (p == NULL)
		return;
	if (p->jq != NULL)
		jq_teardown(&p->jq);
	if (p->stderr_stream != NULL)
		fclose(p->stderr_stream);
	jv_free(p->complaint);
	free(p->path);
	free(p);
}

const char *program_path(const struct program *p)
{
	return p->path;
}

static int fail_run(jv msg, struct err *err)
{
	cleanup_free char *text = NULL;

	if (jvx_is(msg, JV_KIND_STRING))
		return err_set(err, EXIT_SOME_FAILED, "%s", jv_string_value(msg));
	text = jvx_dump(msg);
	return err_set(err, EXIT_SOME_FAILED, "error %s", text);
}

/*
 * libjq 1.6 frees the message of halt_error at every start from then on. One
 * start frees it rightly; a halt without a message then covers what is left.
 */
static void forget_halt(jq_state *jq)
{
	jq_start(jq, jv_null(), 0);
	jq_halt(jq, jv_invalid(), jv_invalid());
}

/* All outputs, and the end of them: an invalid value, with a message after an error. */
static jv run(struct program *p, jv input, jv *ret_outputs)
{
	FILE *real = stderr;
	jv last;

	if (p->stderr_stream != NULL)
		stderr = p->stderr_stream;
	jq_start(p->jq, jv_copy(input), 0);
	while (jv_is_valid(last = jq_next(p->jq)))
		jvx_append(ret_outputs, last);
	fflush(stderr);
	stderr = real;
	return last;
}

jv program_run(struct program *p, jv input, struct err *err)
{
	cleanup_jv jv outputs = jv_array();
	cleanup_jv jv last = jv_invalid();
	cleanup_jv jv msg = jv_invalid();

	p->asked_for_input = false;
	last = run(p, input, &outputs);
	if (jq_halted(p->jq)) {
		forget_halt(p->jq);
		err_set(err, EXIT_SOME_FAILED, "the program halted");
	} else if (p->asked_for_input) {
		err_set(err, EXIT_SOME_FAILED,
			"the program reads 'input', but its record is all there is");
	} else if (jv_invalid_has_msg(jv_copy(last))) {
		msg = jv_invalid_get_msg(jvx_take(&last));
		fail_run(msg, err);
	} else {
		return jvx_take(&outputs);
	}
	return jv_invalid();
}
