#include <string.h>
#include <yaml.h>

#include "lib/yaml.h"

/* The pair of a mapping whose key has this text; NULL when there is none. */
static const yaml_node_pair_t *find_pair(yaml_document_t *doc, const yaml_node_t *node, jv key)
{
	size_t len = (size_t)jv_string_length_bytes(jv_copy(key));

	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
		p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = yaml_document_get_node(doc, p->key);

		if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == len &&
			memcmp(k->data.scalar.value, jv_string_value(key), len) == 0)
			return p;
	}
	return NULL;
}

/* The id of a sequence's item, 0 when there is none. */
static int find_item(const yaml_node_t *node, jv index)
{
	double i = jv_number_value(index);
	ptrdiff_t count = node->data.sequence.items.top - node->data.sequence.items.start;

	return i >= 0 && i < (double)count ? node->data.sequence.items.start[(size_t)i] : 0;
}

/* One step down: the node's id, 0 when there is none; *ret_key becomes that of its key. */
static int step_down(yaml_document_t *doc, const yaml_node_t *node, jv step, int *ret_key)
{
	const yaml_node_pair_t *pair;

	if (node->type == YAML_MAPPING_NODE && jvx_is(step, JV_KIND_STRING)) {
		pair = find_pair(doc, node, step);
		*ret_key = pair != NULL ? pair->key : 0;
		return pair != NULL ? pair->value : 0;
	}
	if (node->type == YAML_SEQUENCE_NODE && jvx_is(step, JV_KIND_NUMBER))
		return *ret_key = find_item(node, step);
	return 0;
}

static yaml_mark_t find(yaml_document_t *doc, jv path, bool of_key)
{
	int id = 1, key = 1;

	for (int i = 0; i < jvx_length(path); i++) {
		cleanup_jv jv step = jvx_at(path, i);
		int next_key = 0;
		int next = step_down(doc, yaml_document_get_node(doc, id), step, &next_key);

		if (next == 0)
			break;
		id = next;
		key = next_key;
	}
	return yaml_document_get_node(doc, of_key ? key : id)->start_mark;
}

void yaml_position(
	const char *text, size_t len, jv path, bool of_key, struct yaml_position *ret_position)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	yaml_mark_t mark = { 0 };

	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
		if (yaml_parser_load(&parser, &doc)) {
			if (yaml_document_get_root_node(&doc) != NULL)
				mark = find(&doc, path, of_key);
			yaml_document_delete(&doc);
		}
		yaml_parser_delete(&parser);
	}
	ret_position->line = mark.line + 1;
	ret_position->column = mark.column + 1;
}
