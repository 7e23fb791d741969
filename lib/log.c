#include "lib/log.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/buf.h"

#define MAX_LINE (16u << 10)

static struct {
	const char *program;
	enum log_level level;
	bool json;
	bool journald;
	void (*before)(void *arg);
	void *before_arg;
} state = { .program = "meshpipe", .level = LOG_LVL_INFO };

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* sd-daemon(3) priorities, by enum log_level. */
static const int priorities[] = { 3, 4, 6, 7 };

/* journald says in JOURNAL_STREAM which device and inode it gave us. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_init(const char *program)
{
	state.program = program;
	state.journald = stderr_is_journal();
}

bool log_set_level(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (strcmp(name, level_names[i]) == 0) {
			state.level = (enum log_level)i;
			return true;
		}
	return false;
}

bool log_set_format(const char *name)
{
	if (strcmp(name, "logfmt") != 0 && strcmp(name, "json") != 0)
		return false;
	state.json = strcmp(name, "json") == 0;
	return true;
}

void log_set_before(void (*before)(void *arg), void *arg)
{
	state.before = before;
	state.before_arg = arg;
}

bool log_enabled(enum log_level level)
{
	return level <= state.level;
}

static bool is_bare(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return false;
	return true;
}

/* Escapes as JSON does, so that one message is always one line. */
static int add_quoted(struct buf *b, const char *s)
{
	int rc = buf_adds(b, "\"");

	for (; *s != '\0' && rc == 0; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			rc = buf_addf(b, "\\%c", c);
		else if (c == '\n')
			rc = buf_adds(b, "\\n");
		else if (c < ' ' || c == 0x7f)
			rc = buf_addf(b, "\\u%04x", c);
		else
			rc = buf_add(b, s, 1);
	}
	return rc == 0 ? buf_adds(b, "\"") : rc;
}

static int add_pair(struct buf *b, const char *key, const char *value, bool first)
{
	if (state.json)
		return buf_adds(b, first ? "\"" : ",\"") < 0 || buf_adds(b, key) < 0 ||
				       buf_adds(b, "\":") < 0 || add_quoted(b, value) < 0
			       ? -1
			       : 0;
	if (buf_adds(b, first ? "" : " ") < 0 || buf_adds(b, key) < 0 || buf_adds(b, "=") < 0)
		return -1;
	return is_bare(value) ? buf_adds(b, value) : add_quoted(b, value);
}

static int begin_line(struct buf *b, enum log_level level)
{
	if (state.journald && buf_addf(b, "<%d>", priorities[level]) < 0)
		return -1;
	if (!state.json)
		return buf_addf(b, "%s: ", state.program) < 0 ||
				       add_pair(b, "level", level_names[level], true) < 0
			       ? -1
			       : 0;
	if (buf_adds(b, "{") < 0 || add_pair(b, "program", state.program, true) < 0)
		return -1;
	return add_pair(b, "level", level_names[level], false);
}

void log_write(enum log_level level, const char *msg, ...)
{
	/* Also freed when the level is not enabled. */
	cleanup_buf struct buf b = { .max_bytes = MAX_LINE };
	const char *key, *value;
	va_list ap;
	int rc;

	if (!log_enabled(level))
		return;
	rc = begin_line(&b, level);
	if (rc == 0)
		rc = add_pair(&b, "msg", msg, false);
	va_start(ap, msg);
	while (rc == 0 && (key = va_arg(ap, const char *)) != NULL) {
		size_t before = b.len;

		value = va_arg(ap, const char *);
		if (value != NULL && add_pair(&b, key, value, false) < 0)
			b.len = before; /* a pair that does not fit is left out whole */
	}
	va_end(ap);
	b.max_bytes += 2; /* the end of a line that was too long must still fit */
	if (buf_adds(&b, state.json ? "}\n" : "\n") < 0 || b.len == 0)
		return;
	if (state.before != NULL)
		state.before(state.before_arg);
	/* There is nowhere to report a failed log line to. */
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return;
}

const char *log_num(long long n)
{
	static char slots[4][24];
	static unsigned next;
	char *slot = slots[next++ % ARRAY_SIZE(slots)];

	snprintf(slot, sizeof(slots[0]), "%lld", n);
	return slot;
}
