#include "consul-watch/selection.h"

#include <fnmatch.h>
#include <string.h>

/* Escaped, and beside the longest name, it fits the address of a query. */
#define MAX_FILTER_BYTES (16u << 10)

static const char *const known_kinds[] = { "typical", "connect-proxy", "mesh-gateway",
	"terminating-gateway", "ingress-gateway", "api-gateway", "any" };

/* A field of an entry that must have a value. */
struct pair {
	jv key;
	const char *value;
};

struct selection {
	struct opt_list services, excluded, tags, node_meta, kinds; /* sorted sets */
	bool any_kind, from_kubernetes;
	const char *filter;
	char *opt_in_tag; /* KEY=VALUE, or NULL */
	struct pair opt_in, external_source;
	struct pair *node_pairs; /* one for each of node_meta */

	/* Names of fields: a string of libjq's would be made for each look into an object. */
	jv node_key, service_key, kind_key, meta_key, tags_key;
};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct opt_list sorted_set(const struct opt_list *list)
{
	struct opt_list set = { .item = xcalloc(list->count, sizeof(*set.item)) };

	for (size_t i = 0; i < list->count; i++)
		set.item[i] = list->item[i];
	qsort(set.item, list->count, sizeof(*set.item), compare_texts);
	for (size_t i = 0; i < list->count; i++)
		if (set.count == 0 || strcmp(set.item[i], set.item[set.count - 1]) != 0)
			set.item[set.count++] = set.item[i];
	return set;
}

static bool has(const struct opt_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->item[i], text) == 0)
			return true;
	return false;
}

static int parse_pair(const char *option, const char *text, struct pair *ret, struct err *err)
{
	const char *equals = strchr(text, '=');

	if (equals == NULL || equals == text)
		return err_set(err, EXIT_USAGE, "option '%s': '%s' is not KEY=VALUE", option, text);
	ret->key = jv_string_sized(text, (int)(equals - text));
	ret->value = equals + 1;
	return 0;
}

static int take_node_meta(struct selection *s, struct err *err)
{
	s->node_pairs = xcalloc(s->node_meta.count, sizeof(*s->node_pairs));
	for (size_t i = 0; i < s->node_meta.count; i++)
		s->node_pairs[i].key = jv_invalid();
	for (size_t i = 0; i < s->node_meta.count; i++)
		if (parse_pair("--node-meta", s->node_meta.item[i], &s->node_pairs[i], err) < 0)
			return -1;
	return 0;
}

static int take_opt_in(struct selection *s, const char *text, struct err *err)
{
	if (text == NULL)
		return 0;
	s->opt_in_tag = strchr(text, '=') != NULL || *text == '\0' ? xstrdup(text)
								   : xasprintf("%s=true", text);
	return parse_pair("--opt-in", s->opt_in_tag, &s->opt_in, err);
}

static int take_kinds(struct selection *s, struct err *err)
{
	for (size_t i = 0; i < s->kinds.count; i++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_SIZE(known_kinds); k++)
			known = known || strcmp(s->kinds.item[i], known_kinds[k]) == 0;
		if (!known)
			return err_set(err, EXIT_USAGE,
				"option '--kind': '%s' is not typical, connect-proxy, "
				"mesh-gateway, "
				"terminating-gateway, ingress-gateway, api-gateway or any",
				s->kinds.item[i]);
	}
	s->any_kind = has(&s->kinds, "any");
	return 0;
}

static int take_filter(struct selection *s, const char *filter, struct err *err)
{
	if (filter != NULL && *filter == '\0')
		return err_set(err, EXIT_USAGE, "option '--filter': the expression is empty");
	if (filter != NULL && strlen(filter) > MAX_FILTER_BYTES)
		return err_set(err, EXIT_USAGE,
			"option '--filter': the expression is longer than %u bytes",
			MAX_FILTER_BYTES);
	s->filter = filter;
	return 0;
}

static struct selection *selection_new(const struct selection_config *config)
{
	struct selection *s = xcalloc(1, sizeof(*s));

	s->services = sorted_set(&config->services);
	s->excluded = sorted_set(&config->excluded);
	s->tags = sorted_set(&config->tags);
	s->node_meta = sorted_set(&config->node_meta);
	s->kinds = sorted_set(&config->kinds);
	s->from_kubernetes = config->from_kubernetes;
	s->opt_in.key = jv_invalid();
	s->external_source = (struct pair){ jv_string("external-source"), "kubernetes" };
	s->node_key = jv_string("Node");
	s->service_key = jv_string("Service");
	s->kind_key = jv_string("Kind");
	s->meta_key = jv_string("Meta");
	s->tags_key = jv_string("Tags");
	return s;
}

struct selection *selection_open(const struct selection_config *config, struct err *err)
{
	struct selection *s = selection_new(config);
	int rc = 0;

	if (has(&s->tags, ""))
		rc = err_set(err, EXIT_USAGE, "option '--tag': the tag is empty");
	if (rc < 0 || take_node_meta(s, err) < 0 || take_kinds(s, err) < 0 ||
		take_filter(s, config->filter, err) < 0 ||
		take_opt_in(s, config->opt_in, err) < 0) {
		selection_close(s);
		return NULL;
	}
	return s;
}

void selection_close(struct selection *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; s->node_pairs != NULL && i < s->node_meta.count; i++)
		jv_free(s->node_pairs[i].key);
	free(s->node_pairs);
	opt_list_release(&s->services);
	opt_list_release(&s->excluded);
	opt_list_release(&s->tags);
	opt_list_release(&s->node_meta);
	opt_list_release(&s->kinds);
	free(s->opt_in_tag);
	jv_free(s->opt_in.key);
	jv_free(s->external_source.key);
	jv_free(s->node_key);
	jv_free(s->service_key);
	jv_free(s->kind_key);
	jv_free(s->meta_key);
	jv_free(s->tags_key);
	free(s);
}

static bool matches(const struct opt_list *patterns, const char *name)
{
	for (size_t i = 0; i < patterns->count; i++)
		if (fnmatch(patterns->item[i], name, 0) == 0)
			return true;
	return false;
}

bool selection_takes_name(const struct selection *s, const char *service)
{
	if (matches(&s->excluded, service))
		return false;
	if (s->services.count == 0)
		return strcmp(service, "consul") != 0;
	return matches(&s->services, service);
}

/* As jvx_get, with a key that is there already. */
static jv field(jv object, jv key)
{
	if (!jvx_is(object, JV_KIND_OBJECT))
		return jv_invalid();
	return jv_object_get(jv_copy(object), jv_copy(key));
}

static bool text_is(jv v, const char *text)
{
	return jvx_is(v, JV_KIND_STRING) &&
	       (size_t)jv_string_length_bytes(jv_copy(v)) == strlen(text) &&
	       memcmp(jv_string_value(v), text, strlen(text)) == 0;
}

static bool has_pair(jv object, const struct pair *pair)
{
	cleanup_jv jv value = field(object, pair->key);

	return text_is(value, pair->value);
}

static bool has_tag(jv tags, const char *tag)
{
	for (int i = 0; i < jvx_length(tags); i++) {
		cleanup_jv jv one = jvx_at(tags, i);

		if (text_is(one, tag))
			return true;
	}
	return false;
}

static bool takes_kind(const struct selection *s, jv service)
{
	cleanup_jv jv kind = field(service, s->kind_key);
	const char *text = jvx_str(kind, "");

	if (*text == '\0')
		text = "typical";
	return s->any_kind || (s->kinds.count == 0 && strcmp(text, "typical") == 0) ||
	       has(&s->kinds, text);
}

static bool takes_tags(const struct selection *s, jv tags)
{
	for (size_t i = 0; i < s->tags.count; i++)
		if (!has_tag(tags, s->tags.item[i]))
			return false;
	return true;
}

static bool takes_node(const struct selection *s, jv entry)
{
	cleanup_jv jv node = field(entry, s->node_key);
	cleanup_jv jv meta = field(node, s->meta_key);

	for (size_t i = 0; i < s->node_meta.count; i++)
		if (!has_pair(meta, &s->node_pairs[i]))
			return false;
	return true;
}

bool selection_takes_entry(const struct selection *s, jv entry)
{
	cleanup_jv jv service = field(entry, s->service_key);
	cleanup_jv jv meta = field(service, s->meta_key);
	cleanup_jv jv tags = field(service, s->tags_key);

	/* What is in Kubernetes already would come back to where it is from. */
	if (!s->from_kubernetes && has_pair(meta, &s->external_source))
		return false;
	if (s->opt_in_tag != NULL && !has_tag(tags, s->opt_in_tag) && !has_pair(meta, &s->opt_in))
		return false;
	return takes_kind(s, service) && takes_tags(s, tags) && takes_node(s, entry);
}

const char *selection_filter(const struct selection *s)
{
	return s->filter;
}

/* In quotes where it could be taken for two words, or for the end of a list. */
static int add_word(struct buf *scope, const char *word)
{
	cleanup_jv jv quoted = jv_dump_string(jv_string(word), 0);
	bool bare = *word != '\0' && strpbrk(word, "\"\\,") == NULL;

	for (const char *c = word; *c != '\0'; c++)
		bare = bare && (unsigned char)*c > ' ';
	return buf_addf(scope, " %s", bare ? word : jv_string_value(quoted));
}

static int add_words(struct buf *scope, const char *what, const struct opt_list *words)
{
	if (words->count == 0)
		return 0;
	if (buf_addf(scope, ", %s", what) < 0)
		return -1;
	for (size_t i = 0; i < words->count; i++)
		if (add_word(scope, words->item[i]) < 0)
			return -1;
	return 0;
}

static int add_text(struct buf *scope, const char *what, const char *text)
{
	struct opt_list words = { .item = &text, .count = text != NULL ? 1 : 0 };

	return add_words(scope, what, &words);
}

/* Not where it is what is watched without the option. */
static int add_kinds(const struct selection *s, struct buf *scope)
{
	if (s->any_kind)
		return buf_adds(scope, ", kinds any");
	if (s->kinds.count == 1 && has(&s->kinds, "typical"))
		return 0;
	return add_words(scope, "kinds", &s->kinds);
}

int selection_describe(const struct selection *s, struct buf *scope)
{
	if (s->services.count == 0 && buf_adds(scope, ", all services") < 0)
		return -1;
	if (add_words(scope, "services", &s->services) < 0 ||
		add_words(scope, "without", &s->excluded) < 0 ||
		add_words(scope, "tags", &s->tags) < 0 ||
		add_words(scope, "node-meta", &s->node_meta) < 0 || add_kinds(s, scope) < 0 ||
		add_text(scope, "opt-in", s->opt_in_tag) < 0 ||
		add_text(scope, "filter", s->filter) < 0)
		return -1;
	return s->from_kubernetes ? buf_adds(scope, ", from-kubernetes") : 0;
}
