#include "k8s-apply/manifest.h"

#include <string.h>
#include <xxhash.h>

#include "lib/canon.h"

#define MAX_BODY_BYTES (16u << 20)
#define MAX_NAME_BYTES 253

void object_id_set(struct object_id *id, const char *group, const char *kind, const char *namespace,
	const char *name)
{
	size_t lens[] = { strlen(group) + 1, strlen(kind) + 1, strlen(namespace) + 1,
		strlen(name) + 1 };

	id->len = lens[0] + lens[1] + lens[2] + lens[3];
	id->bytes = xcalloc(id->len, 1);
	id->group = memcpy(id->bytes, group, lens[0]);
	id->kind = memcpy(id->bytes + lens[0], kind, lens[1]);
	id->namespace = memcpy(id->bytes + lens[0] + lens[1], namespace, lens[2]);
	id->name = memcpy(id->bytes + lens[0] + lens[1] + lens[2], name, lens[3]);
}

void object_id_copy(struct object_id *to, const struct object_id *from)
{
	object_id_set(to, from->group, from->kind, from->namespace, from->name);
}

void object_id_release(struct object_id *id)
{
	free(id->bytes);
	*id = (struct object_id){ .bytes = NULL };
}

int object_id_compare(const struct object_id *a, const struct object_id *b)
{
	int order = strcmp(a->kind, b->kind);

	if (order == 0)
		order = strcmp(a->group, b->group);
	if (order == 0)
		order = strcmp(a->namespace, b->namespace);
	return order != 0 ? order : strcmp(a->name, b->name);
}

char *object_id_display(const struct object_id *id)
{
	char *text = xasprintf(
		"%s%s%s/%s", id->kind, *id->group != '\0' ? "." : "", id->group, id->name);

	for (size_t i = 0; id->kind[i] != '\0'; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
	return text;
}

void manifest_release(struct manifest *m)
{
	object_id_release(&m->id);
	free(m->api_version);
	free(m->body);
	*m = (struct manifest){ .body = NULL };
}

static bool is_all(const char *s, const char *set)
{
	return *s != '\0' && s[strspn(s, set)] == '\0';
}

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* The rule for a path segment: nothing that could change the path, and printable. */
static bool is_name(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len > MAX_NAME_BYTES || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~' || *s == '/' || *s == '%')
			return false;
	return true;
}

static bool is_namespace(const char *s)
{
	return is_all(s, LOWER DIGITS "-") && strlen(s) <= 63;
}

/* "v1" or "group/version". */
static bool is_api_version(const char *s)
{
	const char *slash = strchr(s, '/');

	return is_all(s, LOWER UPPER DIGITS ".-/") && *s != '/' &&
	       (slash == NULL || (slash[1] != '\0' && strchr(slash + 1, '/') == NULL));
}

/* Kinds outside any namespace that people do put into manifests. */
static bool is_cluster_scoped(const char *group, const char *kind)
{
	static const char *const kinds[][2] = {
		{ "", "Namespace" },
		{ "", "Node" },
		{ "", "PersistentVolume" },
		{ "admissionregistration.k8s.io", "MutatingWebhookConfiguration" },
		{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicy" },
		{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding" },
		{ "admissionregistration.k8s.io", "ValidatingWebhookConfiguration" },
		{ "apiextensions.k8s.io", "CustomResourceDefinition" },
		{ "apiregistration.k8s.io", "APIService" },
		{ "gateway.networking.k8s.io", "GatewayClass" },
		{ "networking.k8s.io", "IngressClass" },
		{ "rbac.authorization.k8s.io", "ClusterRole" },
		{ "rbac.authorization.k8s.io", "ClusterRoleBinding" },
		{ "scheduling.k8s.io", "PriorityClass" },
		{ "storage.k8s.io", "StorageClass" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(group, kinds[i][0]) == 0 && strcmp(kind, kinds[i][1]) == 0)
			return true;
	return false;
}

static int identify(jv top, jv meta, const char *fallback, struct manifest *ret, struct err *err)
{
	cleanup_free char *api_version = jvx_dup_field(top, "apiVersion");
	cleanup_free char *kind = jvx_dup_field(top, "kind");
	cleanup_free char *name = jvx_dup_field(meta, "name");
	cleanup_free char *own = jvx_dup_field(meta, "namespace");
	cleanup_free char *group = NULL;
	cleanup_jv jv given = jvx_get(meta, "namespace");
	bool has_own = own != NULL && *own != '\0';
	const char *ns = has_own ? own : fallback;
	const char *slash;

	if (api_version == NULL || !is_api_version(api_version))
		return err_set(err, EXIT_BAD_INPUT, "an object without a valid 'apiVersion'");
	if (kind == NULL || !is_all(kind, LOWER UPPER DIGITS))
		return err_set(err, EXIT_BAD_INPUT, "an object without a valid 'kind'");
	if (name == NULL || !is_name(name))
		return err_set(err, EXIT_BAD_INPUT, "a %s without a valid 'metadata.name'", kind);
	if (own == NULL && jv_is_valid(given) && !jvx_is(given, JV_KIND_NULL))
		return err_set(
			err, EXIT_BAD_INPUT, "%s '%s': the namespace is not a string", kind, name);
	slash = strchr(api_version, '/');
	group = xstrndup(api_version, slash != NULL ? (size_t)(slash - api_version) : 0);
	if (ns == NULL || (!has_own && is_cluster_scoped(group, kind)))
		ns = "";
	if (*ns != '\0' && !is_namespace(ns))
		return err_set(
			err, EXIT_BAD_INPUT, "%s '%s': '%s' is no namespace", kind, name, ns);
	*ret = (struct manifest){ .api_version = TAKE(api_version) };
	object_id_set(&ret->id, group, kind, ns, name);
	return 0;
}

int manifest_identify(jv object, const char *namespace, struct manifest *ret, struct err *err)
{
	cleanup_jv jv meta = jvx_get(object, "metadata");

	return identify(object, meta, namespace, ret, err);
}

int manifest_identify_fields(
	jv fields, const char *namespace, struct manifest *ret, struct err *err)
{
	return identify(fields, fields, namespace, ret, err);
}

/* One with a NUL in it is another name, and refused later. */
static bool is_among(jv key, const char *const *names, size_t count)
{
	size_t len = (size_t)jv_string_length_bytes(jv_copy(key));

	for (size_t i = 0; i < count; i++)
		if (len == strlen(names[i]) && strcmp(jv_string_value(key), names[i]) == 0)
			return true;
	return false;
}

/* Deleting would copy the object also where there is nothing to delete, as nearly always. */
static jv without(jv object, const char *const *fields, size_t count)
{
	jv v = jv_copy(object);

	for (int i = jv_object_iter(object); jv_object_iter_valid(object, i);
		i = jv_object_iter_next(object, i)) {
		cleanup_jv jv key = jv_object_iter_key(object, i);

		if (is_among(key, fields, count))
			v = jv_object_delete(v, jvx_take(&key));
	}
	return v;
}

/* The object as a person would have written it. */
static jv as_written(jv object, const char *namespace)
{
	static const char *const servers[] = { "creationTimestamp", "deletionGracePeriodSeconds",
		"deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink",
		"uid" };
	static const char *const status[] = { "status" };
	cleanup_jv jv meta = jvx_get(object, "metadata");
	cleanup_jv jv clean_meta = without(meta, servers, ARRAY_SIZE(servers));
	jv clean = without(object, status, ARRAY_SIZE(status));

	if (*namespace != '\0' && !jvx_field_is(meta, "namespace", namespace))
		jvx_set_str(&clean_meta, "namespace", namespace);
	else if (*namespace == '\0')
		clean_meta = jv_object_delete(clean_meta, jv_string("namespace"));
	jvx_set(&clean, "metadata", jvx_take(&clean_meta));
	return clean;
}

static bool says_hands_off(jv object)
{
	cleanup_jv jv meta = jvx_get(object, "metadata");
	cleanup_jv jv annotations = jvx_get(meta, "annotations");

	return jvx_field_is(annotations, MANIFEST_RECONCILE, MANIFEST_DISABLED);
}

int manifest_read_body(jv object, struct manifest *m, struct err *err)
{
	cleanup_jv jv clean = as_written(object, m->id.namespace);
	cleanup_buf struct buf text;

	buf_init(&text, MAX_BODY_BYTES);
	if (canon_write(clean, &text, err) < 0)
		return -1;
	m->hash = XXH3_64bits(text.data, text.len);
	m->hands_off = says_hands_off(object);
	m->body = xstrndup(text.data, text.len);
	return 0;
}
