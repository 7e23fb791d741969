#include "k8s-apply/kubeconfig_merge.h"

#include <errno.h>
#include <string.h>

#include "k8s-apply/kubeconfig.h"
#include "lib/buf.h"
#include "lib/yaml.h"

/* More names than that help nobody, and would push the rest out of the message. */
#define MAX_LISTED	 10
#define MAX_LISTED_BYTES 512

/* A list `plural` of {name, `singular`: object}. */
static const struct {
	const char *plural, *singular;
} sections[KUBECONFIG_SECTIONS] = {
	[KUBECONFIG_CONTEXTS] = { "contexts", "context" },
	[KUBECONFIG_CLUSTERS] = { "clusters", "cluster" },
	[KUBECONFIG_USERS] = { "users", "user" },
};

static bool is_absent(jv v)
{
	return jvx_is(v, JV_KIND_INVALID) || jvx_is(v, JV_KIND_NULL);
}

/* `1234` and `true` are names, too; a number is written as JSON does. NULL for other kinds. */
static char *name_of(jv v)
{
	switch (jv_get_kind(v)) {
	case JV_KIND_STRING:
		return xstrdup(jv_string_value(v));
	case JV_KIND_NUMBER:
	case JV_KIND_TRUE:
	case JV_KIND_FALSE:
		return jvx_dump(v);
	default:
		return NULL;
	}
}

static int add_entry(
	enum kubeconfig_section section, jv entry, const char *path, jv *into, struct err *err)
{
	cleanup_jv jv given = jvx_get(entry, "name");
	cleanup_jv jv body = jvx_get(entry, sections[section].singular);
	cleanup_free char *name = name_of(given);
	jv record;

	if (name == NULL || *name == '\0')
		return err_set(err, EXIT_CONFIG, "an entry without a name");
	if (is_absent(body)) {
		jv_free(body);
		body = jv_object();
	}
	if (!jvx_is(body, JV_KIND_OBJECT))
		return err_set(err, EXIT_CONFIG, "'%s': '%s' has to be a mapping", name,
			sections[section].singular);
	if (jv_object_has(jv_copy(*into), jv_string(name)))
		return err_set(err, EXIT_CONFIG, "the name '%s' is there twice", name);
	record = jv_object();
	jvx_set_str(&record, "file", path);
	jvx_set(&record, "body", jvx_take(&body));
	jvx_set(into, name, record);
	return 0;
}

/* The entries of one file; client-go refuses a name that one file has twice. */
static int read_section(
	enum kubeconfig_section section, jv top, const char *path, jv *into, struct err *err)
{
	cleanup_jv jv list = jvx_get(top, sections[section].plural);

	if (!is_absent(list) && !jvx_is(list, JV_KIND_ARRAY))
		return err_set(
			err, EXIT_CONFIG, "'%s': %s: not a list", path, sections[section].plural);
	for (int i = 0; i < jvx_length(list); i++) {
		cleanup_jv jv entry = jvx_at(list, i);

		if (add_entry(section, entry, path, into, err) < 0)
			return err_wrap(err, "'%s': %s", path, sections[section].plural);
	}
	return 0;
}

/* The first file that has an entry wins, and the whole entry is its. */
static int merge_section(struct kubeconfig_files *f, enum kubeconfig_section section, jv top,
	const char *path, struct err *err)
{
	cleanup_jv jv later = jv_object();

	if (read_section(section, top, path, &later, err) < 0)
		return -1;
	f->sections[section] = jv_object_merge(jvx_take(&later), f->sections[section]);
	return 0;
}

static int merge_current(struct kubeconfig_files *f, jv top, const char *path, struct err *err)
{
	cleanup_jv jv current = jvx_get(top, "current-context");
	cleanup_free char *name = name_of(current);

	if (name == NULL && !is_absent(current))
		return err_set(err, EXIT_CONFIG, "'%s': 'current-context' has to be text", path);
	if (f->current_context == NULL && name != NULL && *name != '\0')
		f->current_context = TAKE(name);
	return 0;
}

/* The only document of the file; an empty file is an empty kubeconfig. */
static jv read_document(const char *path, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(path, KUBECONFIG_MAX_BYTES, &len);
	cleanup_jv jv docs = jv_invalid();
	cleanup_jv jv top = jv_invalid();

	if (text == NULL) {
		err_errno(err, EXIT_CONFIG, "cannot read kubeconfig '%s'", path);
		return jv_invalid();
	}
	docs = yaml_parse(text, len, path, err);
	if (!jv_is_valid(docs))
		return jv_invalid();
	top = jvx_at(docs, 0);
	if (is_absent(top)) {
		jv_free(top);
		top = jv_object();
	}
	if (jvx_length(docs) > 1 || !jvx_is(top, JV_KIND_OBJECT)) {
		err_set(err, EXIT_CONFIG, "'%s' is no kubeconfig: it has to be one mapping", path);
		return jv_invalid();
	}
	return jvx_take(&top);
}

static void add_name(struct kubeconfig_files *f, const char *path)
{
	char *names =
		f->names == NULL ? xasprintf("'%s'", path) : xasprintf("%s, '%s'", f->names, path);

	free(f->names);
	f->names = names;
}

static int add_file(struct kubeconfig_files *f, const char *path, struct err *err)
{
	cleanup_jv jv top = read_document(path, err);
	cleanup_jv jv kind = jvx_get(top, "kind");

	if (!jv_is_valid(top))
		return -1;
	if (!is_absent(kind) && strcmp(jvx_str(kind, ""), "Config") != 0)
		return err_set(
			err, EXIT_CONFIG, "'%s' is no kubeconfig: its kind is not 'Config'", path);
	add_name(f, path);
	for (int i = 0; i < KUBECONFIG_SECTIONS; i++)
		if (merge_section(f, (enum kubeconfig_section)i, top, path, err) < 0)
			return -1;
	return merge_current(f, top, path, err);
}

static bool is_missing(const char *path)
{
	/* A home of /dev/null is one that has nothing, too. */
	return access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int add_listed(struct kubeconfig_files *f, const char *list, struct err *err)
{
	for (const char *s = list, *end; *s != '\0'; s = *end != '\0' ? end + 1 : end) {
		cleanup_free char *path = NULL;

		end = strchrnul(s, ':');
		path = xstrndup(s, (size_t)(end - s));
		if (*path != '\0' && !is_missing(path) && add_file(f, path, err) < 0)
			return -1;
	}
	if (f->names == NULL)
		return err_set(err, EXIT_CONFIG, "no file of KUBECONFIG exists: '%s'", list);
	return 1;
}

int kubeconfig_files_read(const char *path, struct kubeconfig_files *ret, struct err *err)
{
	const char *list = getenv("KUBECONFIG");
	const char *home = getenv("HOME");
	cleanup_free char *usual = NULL;

	*ret = (struct kubeconfig_files){ .sections = { jv_object(), jv_object(), jv_object() } };
	if (path != NULL)
		return add_file(ret, path, err) < 0 ? -1 : 1;
	if (list != NULL && *list != '\0')
		return add_listed(ret, list, err);
	if (home == NULL || *home == '\0')
		return 0;
	usual = xasprintf("%s/.kube/config", home);
	if (is_missing(usual))
		return 0;
	return add_file(ret, usual, err) < 0 ? -1 : 1;
}

void kubeconfig_files_release(struct kubeconfig_files *f)
{
	for (int i = 0; i < KUBECONFIG_SECTIONS; i++)
		jv_free(f->sections[i]);
	free(f->current_context);
	free(f->names);
}

char *kubeconfig_files_contexts(const struct kubeconfig_files *f)
{
	cleanup_jv jv names = jvx_keys(f->sections[KUBECONFIG_CONTEXTS]);
	int count = jvx_length(names);
	cleanup_buf struct buf text;

	buf_init(&text, MAX_LISTED_BYTES);
	if (count == 0)
		return xstrdup(" (there is none)");
	if (count > MAX_LISTED)
		return xasprintf(" (there are %d)", count);
	for (int i = 0; i < count; i++) {
		cleanup_jv jv name = jvx_at(names, i);

		if (buf_addf(&text, "%s'%s'", i > 0 ? ", " : "", jvx_str(name, "")) < 0)
			return xasprintf(" (there are %d)", count);
	}
	return xasprintf(" (there %s: %s)", count == 1 ? "is" : "are", buf_str(&text));
}

bool kubeconfig_files_find(const struct kubeconfig_files *f, enum kubeconfig_section section,
	const char *name, struct kubeconfig_entry *ret)
{
	cleanup_jv jv record = jvx_get(f->sections[section], name);

	*ret = (struct kubeconfig_entry){
		.section = section,
		.body = jvx_get(record, "body"),
		.file = jvx_dup_field(record, "file"),
	};
	if (ret->file == NULL)
		return false;
	ret->place = xasprintf("%s '%s' of '%s'", sections[section].singular, name, ret->file);
	return true;
}

struct kubeconfig_entry kubeconfig_entry_make(
	enum kubeconfig_section section, jv body, const char *place)
{
	return (struct kubeconfig_entry){
		.section = section,
		.body = body,
		.file = xstrdup(""),
		.place = xstrdup(place),
	};
}

void kubeconfig_entry_release(struct kubeconfig_entry *e)
{
	jv_free(e->body);
	free(e->file);
	free(e->place);
}

bool kubeconfig_entry_has(const struct kubeconfig_entry *e, const char *field)
{
	cleanup_jv jv v = jvx_get(e->body, field);

	switch (jv_get_kind(v)) {
	case JV_KIND_INVALID:
	case JV_KIND_NULL:
		return false;
	case JV_KIND_STRING:
		return *jv_string_value(v) != '\0';
	case JV_KIND_ARRAY:
	case JV_KIND_OBJECT:
		return jvx_length(v) > 0;
	default:
		return true;
	}
}

/* Says the kind, never the value: it may be a secret. */
static int fail_kind(
	const struct kubeconfig_entry *e, const char *field, const char *wanted, struct err *err)
{
	cleanup_jv jv v = jvx_get(e->body, field);

	return err_set(err, EXIT_CONFIG, "%s: '%s' has to be %s, but is of the kind %s", e->place,
		field, wanted, jv_kind_name(jv_get_kind(v)));
}

int kubeconfig_entry_sub(const struct kubeconfig_entry *e, const char *field,
	struct kubeconfig_entry *ret, struct err *err)
{
	*ret = (struct kubeconfig_entry){
		.section = e->section,
		.body = jvx_get(e->body, field),
		.file = xstrdup(e->file),
		.place = xasprintf("%s: '%s'", e->place, field),
	};
	return jvx_is(ret->body, JV_KIND_OBJECT) ? 0 : fail_kind(e, field, "a mapping", err);
}

int kubeconfig_entry_text(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err)
{
	cleanup_jv jv v = jvx_get(e->body, field);

	if (!kubeconfig_entry_has(e, field))
		return 0;
	if (!jvx_is(v, JV_KIND_STRING))
		return fail_kind(e, field, "text (in quotes)", err);
	free(*ret);
	*ret = xstrdup(jv_string_value(v));
	return 0;
}

int kubeconfig_entry_name(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err)
{
	cleanup_jv jv v = jvx_get(e->body, field);
	cleanup_free char *name = name_of(v);

	if (!kubeconfig_entry_has(e, field))
		return 0;
	if (name == NULL)
		return fail_kind(e, field, "text", err);
	free(*ret);
	*ret = TAKE(name);
	return 0;
}

int kubeconfig_entry_bool(
	const struct kubeconfig_entry *e, const char *field, bool *ret, struct err *err)
{
	cleanup_jv jv v = jvx_get(e->body, field);

	if (is_absent(v))
		return 0;
	if (!jvx_is(v, JV_KIND_TRUE) && !jvx_is(v, JV_KIND_FALSE))
		return fail_kind(e, field, "true or false", err);
	*ret = jvx_is(v, JV_KIND_TRUE);
	return 0;
}

char *kubeconfig_entry_resolve(const struct kubeconfig_entry *e, const char *path)
{
	const char *slash = strrchr(e->file, '/');
	size_t folder = slash != NULL ? (size_t)(slash - e->file) + 1 : 0;

	return *path == '/' ? xstrdup(path) : xasprintf("%.*s%s", (int)folder, e->file, path);
}

int kubeconfig_entry_path(
	const struct kubeconfig_entry *e, const char *field, char **ret, struct err *err)
{
	cleanup_free char *path = NULL;

	if (kubeconfig_entry_text(e, field, &path, err) < 0)
		return -1;
	if (path == NULL)
		return 0;
	free(*ret);
	*ret = kubeconfig_entry_resolve(e, path);
	return 0;
}
