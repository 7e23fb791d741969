#include "lib/yaml.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 1000
#define MAX_NODES 4000000u

/* A node takes a byte of the text at least: what aliases add to those may be this many. */
#define MAX_ALIASED 100000u

/* 2^53: what is given as this may have been the next one, which is no double. */
#define MAX_EXACT 9007199254740992.0

struct reader {
	yaml_document_t doc;
	const char *name;
	size_t nodes, max_nodes;
	struct err *err;
};

static int fail_at(struct reader *r, const yaml_mark_t *at, const char *what)
{
	return err_set(
		r->err, EXIT_CONFIG, "%s:%zu:%zu: %s", r->name, at->line + 1, at->column + 1, what);
}

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static bool all_in(const char *s, const char *set)
{
	return *s != '\0' && s[strspn(s, set)] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_decimal(const char *s)
{
	size_t whole, fraction = 0;

	s += *s == '-' || *s == '+';
	whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		fraction = strspn(++s, "0123456789");
		s += fraction;
	}
	if (whole + fraction == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		return all_in(s, "0123456789");
	}
	return *s == '\0';
}

static jv number_or_text(double d, const char *text)
{
	if (!isfinite(d) || fabs(d) >= MAX_EXACT)
		return jv_string(text);
	return jv_number(d);
}

static jv resolve_plain(const char *s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };

	if (is_one_of(s, nulls))
		return jv_null();
	if (is_one_of(s, trues))
		return jv_true();
	if (is_one_of(s, falses))
		return jv_false();
	if (str_starts(s, "0x") && all_in(s + 2, "0123456789abcdefABCDEF"))
		return number_or_text((double)strtoull(s + 2, NULL, 16), s);
	if (str_starts(s, "0o") && all_in(s + 2, "01234567"))
		return number_or_text((double)strtoull(s + 2, NULL, 8), s);
	if (is_decimal(s))
		return number_or_text(strtod(s, NULL), s);
	return jv_string(s);
}

static jv read_scalar(struct reader *r, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	const char *tag = (const char *)node->tag;

	if (strlen(text) != node->data.scalar.length) {
		fail_at(r, &node->start_mark, "a NUL character");
		return jv_invalid();
	}
	/* libyaml gives every scalar without a tag !!str, whether it was quoted or plain. */
	if (strcmp(tag, YAML_STR_TAG) == 0)
		return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? resolve_plain(text)
									  : jv_string(text);
	if (strcmp(tag, YAML_INT_TAG) == 0 || strcmp(tag, YAML_FLOAT_TAG) == 0 ||
		strcmp(tag, YAML_BOOL_TAG) == 0 || strcmp(tag, YAML_NULL_TAG) == 0)
		return resolve_plain(text);
	fail_at(r, &node->start_mark, "an unknown tag");
	return jv_invalid();
}

static jv read_node(struct reader *r, int id, int depth);

static jv read_sequence(struct reader *r, const yaml_node_t *node, int depth)
{
	cleanup_jv jv array = jv_array();

	for (yaml_node_item_t *i = node->data.sequence.items.start;
		i < node->data.sequence.items.top; i++) {
		jv item = read_node(r, *i, depth + 1);

		if (!jv_is_valid(item))
			return item;
		jvx_append(&array, item);
	}
	return jvx_take(&array);
}

static jv read_mapping(struct reader *r, const yaml_node_t *node, int depth)
{
	cleanup_jv jv object = jv_object();

	for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		jv name, value;

		if (key->type != YAML_SCALAR_NODE) {
			fail_at(r, &key->start_mark, "a key that is not a scalar");
			return jv_invalid();
		}
		if (memchr(key->data.scalar.value, '\0', key->data.scalar.length) != NULL) {
			fail_at(r, &key->start_mark, "a NUL character");
			return jv_invalid();
		}
		name = jv_string_sized(
			(const char *)key->data.scalar.value, (int)key->data.scalar.length);
		if (jv_object_has(jv_copy(object), jv_copy(name))) {
			jv_free(name);
			fail_at(r, &key->start_mark, "a key that is there already");
			return jv_invalid();
		}
		value = read_node(r, p->value, depth + 1);
		if (!jv_is_valid(value)) {
			jv_free(name);
			return value;
		}
		object = jv_object_set(object, name, value);
	}
	return jvx_take(&object);
}

static jv read_node(struct reader *r, int id, int depth)
{
	const yaml_node_t *node = yaml_document_get_node(&r->doc, id);

	/* An alias to an enclosing node never ends, and aliases of aliases grow without bound. */
	if (depth > MAX_DEPTH || ++r->nodes > r->max_nodes) {
		fail_at(r, &node->start_mark, "too deep, or too many nodes by aliases");
		return jv_invalid();
	}
	switch (node->type) {
	case YAML_SCALAR_NODE:
		return read_scalar(r, node);
	case YAML_SEQUENCE_NODE:
		return read_sequence(r, node, depth);
	case YAML_MAPPING_NODE:
		return read_mapping(r, node, depth);
	case YAML_NO_NODE:
		break;
	}
	return jv_null();
}

static int fail_parser(const yaml_parser_t *p, const char *name, struct err *err)
{
	return err_set(err, EXIT_CONFIG, "%s:%zu:%zu: %s%s%s", name, p->problem_mark.line + 1,
		p->problem_mark.column + 1, p->problem != NULL ? p->problem : "not YAML",
		p->context != NULL ? ", " : "", p->context != NULL ? p->context : "");
}

/* One document into *docs. 1: read, 0: end of the stream, -1: error. */
static int read_document(
	yaml_parser_t *parser, size_t len, const char *name, jv *docs, struct err *err)
{
	struct reader r = { .name = name,
		.max_nodes = len < MAX_NODES ? len + MAX_ALIASED : MAX_NODES,
		.err = err };
	yaml_node_t *root;
	jv value;

	if (!yaml_parser_load(parser, &r.doc))
		return fail_parser(parser, name, err);
	root = yaml_document_get_root_node(&r.doc);
	value = root != NULL ? read_node(&r, 1, 0) : jv_invalid();
	yaml_document_delete(&r.doc);
	if (root == NULL)
		return 0;
	if (!jv_is_valid(value)) {
		jv_free(value);
		return -1;
	}
	jvx_append(docs, value);
	return 1;
}

static size_t count_brackets(const char *text, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += text[i] == '[' || text[i] == '{';
	return count;
}

/* How much deeper the next event's node lies than this one's. */
static int step_of(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return 1;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return -1;
	default:
		return 0;
	}
}

/*
 * libyaml looks at every open bracket again for each token: a text of 500,000 brackets would
 * take it minutes, long before anything could be said of its depth.
 */
static int check_depth(const char *text, size_t len, const char *name, struct err *err)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool more = true;
	int depth = 0, rc = 0;

	if (count_brackets(text, len) <= MAX_DEPTH)
		return 0;
	if (!yaml_parser_initialize(&parser))
		return err_set(err, EXIT_SYSTEM, "cannot set up libyaml");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (rc == 0 && more) {
		if (!yaml_parser_parse(&parser, &event)) {
			rc = fail_parser(&parser, name, err);
			break;
		}
		depth += step_of(&event);
		if (depth > MAX_DEPTH)
			rc = err_set(err, EXIT_CONFIG, "%s:%zu:%zu: too deep", name,
				event.start_mark.line + 1, event.start_mark.column + 1);
		more = event.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

jv yaml_parse(const char *text, size_t len, const char *name, struct err *err)
{
	cleanup_jv jv docs = jv_array();
	yaml_parser_t parser;
	int rc;

	if (check_depth(text, len, name, err) < 0)
		return jv_invalid();
	if (!yaml_parser_initialize(&parser)) {
		err_set(err, EXIT_SYSTEM, "cannot set up libyaml");
		return jv_invalid();
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while ((rc = read_document(&parser, len, name, &docs, err)) > 0)
		;
	yaml_parser_delete(&parser);
	return rc == 0 ? jvx_take(&docs) : jv_invalid();
}

jv yaml_parse_file(const char *path, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(path, YAML_MAX_BYTES, &len);

	if (text == NULL) {
		err_errno(err, EXIT_CONFIG, "cannot read '%s'", path);
		return jv_invalid();
	}
	return yaml_parse(text, len, path, err);
}
