#include "lib/opt.h"

#include <getopt.h>
#include <string.h>

#include "lib/log.h"

#ifndef MESHPIPE_VERSION
#define MESHPIPE_VERSION "unknown"
#endif

#define MAX_OPTS	64
#define MAX_DURATION_MS (INT64_C(10) * 365 * 24 * 3600 * 1000)
#define HELP_COLUMN	30

static const char *log_level = NULL, *log_format = NULL;
static bool help = false, version = false;

static const struct opt common[] = {
	{ OPT_SECTION, .help = "Common options" },
	{ OPT_STR, 0, "log-level", &log_level, "LEVEL", "MESHPIPE_LOG_LEVEL",
		"error, warn, info (default) or debug", 0 },
	{ OPT_STR, 0, "log-format", &log_format, "FORMAT", "MESHPIPE_LOG_FORMAT",
		"logfmt (default) or json", 0 },
	{ OPT_FLAG, 'h', "help", &help, NULL, NULL, "show this text", 0 },
	{ OPT_FLAG, 0, "version", &version, NULL, NULL, "show the version", 0 },
	{ .kind = OPT_END },
};

int opt_parse_duration(const char *text, int64_t *ret_ms, struct err *err)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	size_t digits = strspn(text, "0123456789");
	cleanup_free char *number = xstrndup(text, digits);
	uint64_t n = 0;

	if (parse_u64(number, MAX_DURATION_MS, &n)) {
		if (n == 0 && text[digits] == '\0') {
			*ret_ms = 0;
			return 0;
		}
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			if (strcmp(text + digits, units[i].unit) == 0 &&
				n <= MAX_DURATION_MS / units[i].ms) {
				*ret_ms = (int64_t)(n * units[i].ms);
				return 0;
			}
	}
	return err_set(err, EXIT_USAGE,
		"'%s' is not a duration (write a whole number and a unit: 500ms, 10s, 5m, 1h)",
		text);
}

int opt_parse_size(const char *text, uint64_t max, uint64_t *ret_bytes, struct err *err)
{
	static const char units[] = "KMG";
	size_t digits = strspn(text, "0123456789");
	cleanup_free char *number = xstrndup(text, digits);
	const char *unit = text[digits] != '\0' ? strchr(units, text[digits]) : NULL;
	unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
	uint64_t n = 0;

	if (!parse_u64(number, (max > 0 ? max : UINT64_MAX) >> shift, &n) ||
		(text[digits] != '\0' && (unit == NULL || text[digits + 1] != '\0')))
		return err_set(err, EXIT_USAGE,
			"'%s' is not a size (write a whole number and a unit: 64K, 512M, 2G)",
			text);
	*ret_bytes = n << shift;
	return 0;
}

static int parse_bool(const char *text, bool *ret, struct err *err)
{
	if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0)
		*ret = true;
	else if (strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0)
		*ret = false;
	else
		return err_set(err, EXIT_USAGE, "'%s' is neither true nor false", text);
	return 0;
}

static int parse_uint(const struct opt *o, const char *text, struct err *err)
{
	uint64_t max = o->max > 0 ? o->max : INT64_MAX;

	if (!parse_u64(text, max, o->value))
		return err_set(err, EXIT_USAGE, "'%s' is not a whole number from 0 to %llu", text,
			(unsigned long long)max);
	return 0;
}

static void list_add(struct opt_list *list, const char *text)
{
	list->item = xrealloc(list->item, list->count + 1, sizeof(*list->item));
	list->item[list->count++] = text;
}

static int set_value(const struct opt *o, const char *text, struct err *err)
{
	switch (o->kind) {
	case OPT_FLAG:
		if (text != NULL)
			return parse_bool(text, o->value, err);
		*(bool *)o->value = true;
		return 0;
	case OPT_STR:
		*(const char **)o->value = text;
		return 0;
	case OPT_UINT:
		return parse_uint(o, text, err);
	case OPT_DURATION:
		return opt_parse_duration(text, o->value, err);
	case OPT_SIZE:
		return opt_parse_size(text, o->max, o->value, err);
	case OPT_LIST:
		list_add(o->value, text);
		return 0;
	case OPT_END:
	case OPT_SECTION:
		break;
	}
	return err_set(err, EXIT_BUG, "option table is wrong at '%s'", o->name);
}

static void print_option(const struct opt *o)
{
	char left[128];
	int width;

	if (o->kind == OPT_SECTION) {
		printf("\n%s:\n", o->help);
		return;
	}
	if (o->help == NULL)
		return;
	snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", o->letter ? '-' : ' ',
		o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name, o->arg ? " " : "",
		o->arg ? o->arg : "");
	width = (int)strlen(left);
	if (width >= HELP_COLUMN)
		printf("%s\n%*s%s", left, HELP_COLUMN, "", o->help);
	else
		printf("%-*s%s", HELP_COLUMN, left, o->help);
	if (o->env != NULL)
		printf(" [%s]", o->env);
	printf("\n");
}

static void print_help(const struct opt_program *program)
{
	printf("Usage: %s %s\n%s\n", program->name, program->synopsis, program->summary);
	if (program->opts[0].kind != OPT_SECTION && program->opts[0].kind != OPT_END)
		printf("\nOptions:\n");
	for (const struct opt *o = program->opts; o->kind != OPT_END; o++)
		print_option(o);
	for (const struct opt *o = common; o->kind != OPT_END; o++)
		print_option(o);
	if (program->epilogue != NULL)
		printf("\n%s", program->epilogue);
}

/* The tables of the program and of this module as getopt_long wants them. */
struct spec {
	const struct opt *opt[MAX_OPTS];
	bool given[MAX_OPTS];
	struct option longs[MAX_OPTS + 1];
	char shorts[2 * MAX_OPTS + 2];
	int count;
};

static void spec_add(struct spec *s, const struct opt *table)
{
	for (const struct opt *o = table; o->kind != OPT_END; o++) {
		size_t used = strlen(s->shorts);

		if (o->kind == OPT_SECTION || s->count == MAX_OPTS)
			continue;
		s->opt[s->count] = o;
		s->longs[s->count] = (struct option){
			.name = o->name,
			.has_arg = o->kind == OPT_FLAG ? no_argument : required_argument,
			.val = 256 + s->count,
		};
		if (o->letter != 0)
			snprintf(s->shorts + used, sizeof(s->shorts) - used, "%c%s", o->letter,
				o->kind == OPT_FLAG ? "" : ":");
		s->count++;
	}
}

static int spec_find(const struct spec *s, int code)
{
	for (int i = 0; i < s->count; i++)
		if (code == 256 + i || (s->opt[i]->letter != 0 && code == s->opt[i]->letter))
			return i;
	return -1;
}

static int bad_option(const struct spec *s, char **argv, int code, struct err *err)
{
	int i = spec_find(s, optopt);
	const char *word = argv[optind - 1];

	if (code == ':' && i >= 0)
		return err_set(err, EXIT_USAGE, "option '--%s' needs a value (%s)", s->opt[i]->name,
			s->opt[i]->arg);
	if (i >= 0)
		return err_set(err, EXIT_USAGE, "option '--%s' takes no value", s->opt[i]->name);
	if (optopt > 0 && optopt < 256)
		return err_set(err, EXIT_USAGE, "unknown option '-%c' (see --help)", optopt);
	return err_set(err, EXIT_USAGE, "unknown option '%s' (see --help)", word);
}

static int parse_argv(struct spec *s, int argc, char **argv, struct err *err)
{
	int code;

	opterr = 0;
	optind = 0; /* anew, also inside a cluster of letters */
	while ((code = getopt_long(argc, argv, s->shorts, s->longs, NULL)) != -1) {
		int i = spec_find(s, code);

		if (i < 0)
			return bad_option(s, argv, code, err);
		if (set_value(s->opt[i], optarg, err) < 0)
			return err_wrap(err, "option '--%s'", s->opt[i]->name);
		s->given[i] = true;
	}
	return optind;
}

static int parse_environment(struct spec *s, struct err *err)
{
	for (int i = 0; i < s->count; i++) {
		const struct opt *o = s->opt[i];
		const char *text = o->env != NULL ? getenv(o->env) : NULL;

		if (s->given[i] || text == NULL || *text == '\0')
			continue;
		if (set_value(o, text, err) < 0)
			return err_wrap(err, "environment variable '%s'", o->env);
	}
	return 0;
}

int opt_parse(const struct opt_program *program, int argc, char **argv, struct err *err)
{
	struct spec s = { .shorts = ":" };
	int first;

	spec_add(&s, program->opts);
	spec_add(&s, common);
	first = parse_argv(&s, argc, argv, err);
	if (first < 0)
		return -1;
	if (help || version) {
		if (help)
			print_help(program);
		else
			printf("%s (meshpipe) %s\n", program->name, MESHPIPE_VERSION);
		exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_OUTPUT);
	}
	if (parse_environment(&s, err) < 0)
		return -1;
	if (log_level != NULL && !log_set_level(log_level))
		return err_set(err, EXIT_USAGE,
			"option '--log-level': '%s' is not error, warn, info or debug", log_level);
	if (log_format != NULL && !log_set_format(log_format))
		return err_set(err, EXIT_USAGE, "option '--log-format': '%s' is not logfmt or json",
			log_format);
	return first;
}

void opt_list_release(struct opt_list *list)
{
	free(list->item);
	*list = (struct opt_list){ .item = NULL };
}
