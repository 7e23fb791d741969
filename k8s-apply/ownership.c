#include "k8s-apply/ownership.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include <xxhash.h>

#include "k8s-apply/api_json.h"
#include "lib/canon.h"

#define MARK_VERSION "1"

#define MAX_BODY_BYTES (16u << 20)

/* KEP-3659: "applyset-" + base64url(sha256("<name>.<namespace>.<kind>.<group>")) + "-v1". */
static char *set_id(const char *set, const char *namespace)
{
	cleanup_free char *text = xasprintf("%s.%s.ConfigMap.", set, namespace);
	unsigned char digest[SHA256_DIGEST_LENGTH];
	char encoded[4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1];

	SHA256((const unsigned char *)text, strlen(text), digest);
	EVP_EncodeBlock((unsigned char *)encoded, digest, sizeof(digest));
	for (char *c = encoded; *c != '\0'; c++) {
		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
		else if (*c == '=')
			*c = '\0';
	}
	return xasprintf("applyset-%s-v1", encoded);
}

void ownership_init(struct ownership *own, const char *set, const char *namespace)
{
	*own = (struct ownership){
		.set = xstrdup(set),
		.namespace = xstrdup(namespace),
		.id = set_id(set, namespace),
		.manager = xasprintf(OWNERSHIP_MANAGER "%s", set),
	};
}

void ownership_release(struct ownership *own)
{
	free(own->set);
	free(own->namespace);
	free(own->id);
	free(own->manager);
	*own = (struct ownership){ .set = NULL };
}

/* Labels and annotations as hashes. */

static int compare_hashes(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

void word_hashes_release(struct word_hashes *w)
{
	free(w->item);
	*w = (struct word_hashes){ .item = NULL };
}

static bool has_hash(const struct word_hashes *all, uint64_t hash)
{
	return all->count > 0 &&
	       bsearch(&hash, all->item, all->count, sizeof(hash), compare_hashes) != NULL;
}

bool word_hashes_within(const struct word_hashes *some, const struct word_hashes *all)
{
	for (size_t i = 0; i < some->count; i++)
		if (!has_hash(all, some->item[i]))
			return false;
	return true;
}

void word_hashes_keep(struct word_hashes *some, const struct word_hashes *all)
{
	size_t kept = 0;

	for (size_t i = 0; i < some->count; i++)
		if (has_hash(all, some->item[i]))
			some->item[kept++] = some->item[i];
	some->count = kept;
}

/* The mark is no word: what it says is looked at for itself. */
static void add_words(struct word_hashes *w, char kind, jv map)
{
	size_t count = jvx_is(map, JV_KIND_OBJECT) ? (size_t)jvx_length(map) : 0;

	if (count == 0)
		return;
	w->item = xrealloc(w->item, w->count + count, sizeof(*w->item));
	for (int i = jv_object_iter(map); jv_object_iter_valid(map, i);
		i = jv_object_iter_next(map, i)) {
		cleanup_jv jv key = jv_object_iter_key(map, i);
		cleanup_jv jv value = jv_object_iter_value(map, i);
		const char *name = jv_string_value(key);
		cleanup_free char *word = NULL;

		if (strcmp(name, OWNERSHIP_MARK) == 0)
			continue;
		word = xasprintf("%c%s\n%s", kind, name, jvx_str(value, ""));
		w->item[w->count++] = XXH3_64bits(word, strlen(word));
	}
}

static struct word_hashes words_of(jv metadata)
{
	cleanup_jv jv labels = jvx_get(metadata, "labels");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	struct word_hashes w = { .item = NULL };

	add_words(&w, 'l', labels);
	add_words(&w, 'a', annotations);
	if (w.count > 0)
		qsort(w.item, w.count, sizeof(*w.item), compare_hashes);
	return w;
}

/* The key: the source is escaped so that the first slash ends it. */

static char *join_key(const char *source, const char *key)
{
	cleanup_buf struct buf text;
	int rc = 0;

	buf_init(&text, MAX_BODY_BYTES);
	for (; *source != '\0' && rc == 0; source++) {
		if (*source == '/')
			rc = buf_adds(&text, "%2F");
		else if (*source == '%')
			rc = buf_adds(&text, "%25");
		else
			rc = buf_add(&text, source, 1);
	}
	return rc == 0 && buf_addf(&text, "/%s", key) == 0 ? TAKE(text.data) : xstrdup("");
}

/* False when it is none. */
static bool split_key(const char *text, char **ret_source, char **ret_key)
{
	const char *slash = strchr(text, '/');
	char *source, *to;

	if (slash == NULL)
		return false;
	source = to = xcalloc((size_t)(slash - text) + 1, 1);
	while (text < slash) {
		bool is_slash = strncmp(text, "%2F", 3) == 0;

		*to++ = *text == '%' ? (is_slash ? '/' : '%') : *text;
		text += *text == '%' ? (slash - text < 3 ? slash - text : 3) : 1;
	}
	*ret_source = source;
	*ret_key = xstrdup(slash + 1);
	return true;
}

static uint32_t identity_hash(
	const struct ownership *own, const struct object_id *id, const char *key)
{
	XXH64_hash_t hash = XXH3_64bits_withSeed(id->bytes, id->len,
		XXH3_64bits_withSeed(key, strlen(key), XXH3_64bits(own->id, strlen(own->id))));

	return (uint32_t)hash;
}

/* Composing. */

/*
 * A body around its metadata. It is canonical JSON, with a name at least, so that the metadata is
 * found without a parser, and what is around it goes out as it is.
 */
struct split {
	const char *before, *after;
	size_t before_len;
	jv metadata;
};

#define METADATA "\"metadata\":"

static struct split split_body(const char *body)
{
	struct err impossible = ERR_INIT;
	const char *end = body + strlen(body), *at = body + 1, *value;

	while (at < end && strncmp(at, METADATA, strlen(METADATA)) != 0) {
		at = api_json_skip_value(api_json_skip_string(at, end) + 1, end);
		at += *at == ',';
	}
	assert(at < end);
	value = at + strlen(METADATA);
	end = api_json_skip_value(value, end);
	return (struct split){ body, end, (size_t)(at - body),
		jvx_parse(value, (size_t)(end - value), &impossible) };
}

static void split_release(struct split *s)
{
	jv_free(s->metadata);
}

#define cleanup_split __attribute__((cleanup(split_release)))

static uint64_t hash_without_metadata(const struct split *s)
{
	/* The comma that is too many is after it, or before it where it comes last. */
	bool last = *s->after == '}' && s->before_len > 1;
	size_t before = s->before_len - last;
	const char *after = s->after + (*s->after == ',');
	cleanup_free char *rest = xasprintf("%.*s%s", (int)before, s->before, after);

	return XXH3_64bits(rest, strlen(rest));
}

/* A map of the metadata, to be added to. */
static jv take_map(jv metadata, const char *name)
{
	jv map = jvx_get(metadata, name);

	if (jvx_is(map, JV_KIND_OBJECT))
		return map;
	jv_free(map);
	return jv_object();
}

/* The metadata with what says whose it is, but for the mark. */
static jv add_ownership(const struct ownership *own, jv metadata, const char *key)
{
	cleanup_jv jv labels = take_map(metadata, "labels");
	cleanup_jv jv annotations = take_map(metadata, "annotations");
	jv with = jv_copy(metadata);

	jvx_set_str(&labels, OWNERSHIP_LABEL, own->id);
	jvx_set_str(&annotations, OWNERSHIP_KEY, key);
	jvx_set(&with, "labels", jvx_take(&labels));
	jvx_set(&with, "annotations", jvx_take(&annotations));
	return with;
}

/* What the API server will say: 1 for a new object, one more when something but metadata changes. */
static int64_t next_generation(const struct ownership_write *w, uint64_t spec_hash)
{
	if (!w->counted)
		return 0;
	if (w->uid == NULL)
		return 1;
	return w->generation + (spec_hash != w->spec_hash);
}

static void add_mark(const struct ownership *own, jv *metadata, const struct ownership_write *w,
	const struct ownership_text *t, const char *key)
{
	cleanup_jv jv annotations = take_map(*metadata, "annotations");
	cleanup_free char *mark =
		xasprintf(MARK_VERSION ".%016" PRIx64 ".%016" PRIx64 ".%" PRId64 ".%08" PRIx32,
			w->hash, t->spec_hash, t->generation, identity_hash(own, w->id, key));

	jvx_set_str(&annotations, OWNERSHIP_MARK, mark);
	jvx_set(metadata, "annotations", jvx_take(&annotations));
}

int ownership_compose(const struct ownership *own, const struct ownership_write *w,
	struct ownership_text *ret, struct err *err)
{
	cleanup_free char *key = join_key(w->source, w->key);
	cleanup_split struct split body = split_body(w->body);
	cleanup_jv jv metadata = add_ownership(own, body.metadata, key);
	cleanup_buf struct buf text;

	buf_init(&text, MAX_BODY_BYTES);
	*ret = (struct ownership_text){ .words = words_of(metadata) };
	ret->spec_hash = hash_without_metadata(&body);
	ret->generation = next_generation(w, ret->spec_hash);
	add_mark(own, &metadata, w, ret, key);
	/* "1" is the version of no object: with it an apply creates, or is refused with 409. */
	if (w->uid != NULL)
		jvx_set_str(&metadata, "uid", w->uid);
	else
		jvx_set_str(&metadata, "resourceVersion", "1");
	if (w->uid != NULL && w->version != NULL)
		jvx_set_str(&metadata, "resourceVersion", w->version);
	if (canon_write(metadata, &text, err) < 0) {
		word_hashes_release(&ret->words);
		return -1;
	}
	ret->body = xasprintf(
		"%.*s" METADATA "%s%s", (int)body.before_len, body.before, text.data, body.after);
	return 0;
}

struct word_hashes ownership_words(
	const struct ownership *own, const char *body, const char *source, const char *key)
{
	cleanup_free char *joined = join_key(source, key);
	cleanup_split struct split split = split_body(body);
	cleanup_jv jv metadata = add_ownership(own, split.metadata, joined);

	return words_of(metadata);
}

/* Reading. */

static bool read_hex(const char **text, size_t digits, uint64_t *ret)
{
	char part[17];
	char *end;

	if (strnlen(*text, digits) < digits)
		return false;
	memcpy(part, *text, digits);
	part[digits] = '\0';
	if (strspn(part, "0123456789abcdef") != digits)
		return false;
	*ret = strtoull(part, &end, 16);
	*text += digits;
	return true;
}

static bool skip(const char **text, const char *what)
{
	if (!str_starts(*text, what))
		return false;
	*text += strlen(what);
	return true;
}

static bool read_mark(
	const struct ownership *own, const char *mark, const char *key, struct live *l)
{
	cleanup_free char *number = NULL;
	uint64_t generation, identity;
	size_t digits;

	if (!skip(&mark, MARK_VERSION ".") || !read_hex(&mark, 16, &l->body_hash) ||
		!skip(&mark, ".") || !read_hex(&mark, 16, &l->spec_hash) || !skip(&mark, "."))
		return false;
	digits = strspn(mark, "0123456789");
	number = xstrndup(mark, digits);
	mark += digits;
	if (!parse_u64(number, INT64_MAX, &generation) || !skip(&mark, ".") ||
		!read_hex(&mark, 8, &identity) || *mark != '\0')
		return false;
	l->applied_generation = (int64_t)generation;
	return identity == identity_hash(own, &l->id, key) && split_key(key, &l->source, &l->key);
}

/* Has our field manager applied it? */
static bool is_managed(const struct ownership *own, jv metadata)
{
	cleanup_jv jv fields = jvx_get(metadata, "managedFields");

	for (int i = 0; i < jvx_length(fields); i++) {
		cleanup_jv jv entry = jvx_at(fields, i);

		if (jvx_field_is(entry, "manager", own->manager) &&
			jvx_field_is(entry, "operation", "Apply"))
			return true;
	}
	return false;
}

static void read_words(const struct ownership *own, jv metadata, struct live *l)
{
	cleanup_jv jv labels = jvx_get(metadata, "labels");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	cleanup_jv jv key = jvx_get(annotations, OWNERSHIP_KEY);
	cleanup_jv jv mark = jvx_get(annotations, OWNERSHIP_MARK);
	cleanup_jv jv part_of = jvx_get(labels, OWNERSHIP_LABEL);

	l->labelled = jvx_field_is(labels, OWNERSHIP_LABEL, own->id);
	l->hands_off = jvx_field_is(annotations, MANIFEST_RECONCILE, MANIFEST_DISABLED);
	l->marked = read_mark(own, jvx_str(mark, ""), jvx_str(key, ""), l);
	/* A set of the same name may be in another namespace, and has the same field manager. */
	l->ours =
		l->marked || (is_managed(own, metadata) && (l->labelled || !jv_is_valid(part_of)));
	l->words = words_of(metadata);
}

bool ownership_read(const struct ownership *own, const char *group, const char *kind, jv object,
	struct live *ret)
{
	cleanup_jv jv metadata = jvx_get(object, "metadata");
	cleanup_jv jv owners = jvx_get(metadata, "ownerReferences");
	cleanup_jv jv deletion = jvx_get(metadata, "deletionTimestamp");
	cleanup_free char *name = jvx_dup_field(metadata, "name");
	cleanup_free char *namespace = jvx_dup_field(metadata, "namespace");

	*ret = (struct live){ .uid = NULL };
	if (name == NULL || *name == '\0')
		return false;
	object_id_set(&ret->id, group, kind, namespace != NULL ? namespace : "", name);
	ret->uid = jvx_dup_field(metadata, "uid");
	ret->version = jvx_dup_field(metadata, "resourceVersion");
	ret->generation = (int64_t)jvx_num_field(metadata, "generation", 0);
	ret->dying = jvx_is(deletion, JV_KIND_STRING);
	ret->has_owner = jvx_length(owners) > 0;
	read_words(own, metadata, ret);
	if (ret->uid != NULL && ret->version != NULL)
		return true;
	live_release(ret);
	return false;
}

void live_release(struct live *l)
{
	object_id_release(&l->id);
	free(l->uid);
	free(l->version);
	free(l->source);
	free(l->key);
	word_hashes_release(&l->words);
	*l = (struct live){ .uid = NULL };
}
