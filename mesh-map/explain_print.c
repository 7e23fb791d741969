#include "mesh-map/explain_print.h"

#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/yaml_write.h"
#include "mesh-map/table.h"

#define MAX_OBJECT_BYTES (256u << 20)

static void print_field(const char *name, jv value)
{
	printf("# %-9s ", name);
	print_clean(jvx_str(value, "?"));
	putchar('\n');
}

static void print_head(jv record, long long line)
{
	cleanup_jv jv service = jvx_get(record, "service");
	cleanup_jv jv source = jvx_get(record, "source");
	time_t at = (time_t)(jvx_num_field(record, "at", 0) / 1000);
	char when[64] = "";
	struct tm tm;

	if (at > 0 && gmtime_r(&at, &tm) != NULL)
		strftime(when, sizeof(when), ", of %Y-%m-%dT%H:%M:%SZ", &tm);
	print_field("service", service);
	print_field("source", source);
	printf("# record    line %lld%s\n", line, when);
}

void explain_print_gone(jv record, long long line)
{
	print_head(record, line);
	printf("#\n# gone: the record says that the service is no more; nothing is left of it\n");
}

/* A field as text, whatever it is. */
static jv as_text(jv object, const char *key)
{
	cleanup_jv jv value = jvx_get(object, key);

	if (jvx_is(value, JV_KIND_STRING))
		return jvx_take(&value);
	if (!jv_is_valid(value) || jvx_is(value, JV_KIND_NULL))
		return jv_string("-");
	return jv_dump_string(jv_copy(value), JV_PRINT_SORTED);
}

static jv address_of(jv instance)
{
	cleanup_jv jv address = as_text(instance, "address");
	cleanup_jv jv port = as_text(instance, "port");
	bool is_ipv6 = strchr(jv_string_value(address), ':') != NULL;
	cleanup_free char *text = xasprintf(
		is_ipv6 ? "[%s]:%s" : "%s:%s", jv_string_value(address), jv_string_value(port));

	return jv_string(text);
}

/* Consul's for the state that the instance is in; 1 where it says none. */
static jv weight_of(jv instance)
{
	cleanup_jv jv weights = jvx_get(instance, "weights");
	bool warning = jvx_field_is(instance, "status", "warning");
	cleanup_jv jv weight = as_text(weights, warning ? "warning" : "passing");

	return strcmp(jv_string_value(weight), "-") == 0 ? jv_string("1") : jvx_take(&weight);
}

static jv tags_of(jv instance)
{
	cleanup_jv jv tags = jvx_get(instance, "tags");
	char *all = xstrdup("");
	jv text;

	for (int i = 0; i < jvx_length(tags); i++) {
		cleanup_jv jv tag = jvx_at(tags, i);
		cleanup_free char *before = all;

		all = xasprintf("%s%s%s", before, i > 0 ? ", " : "", jvx_str(tag, "?"));
	}
	text = jv_string(*all != '\0' ? all : "-");
	free(all);
	return text;
}

static jv row_of(jv instance)
{
	cleanup_jv jv row = jv_array();

	jvx_append(&row, as_text(instance, "id"));
	jvx_append(&row, as_text(instance, "node"));
	jvx_append(&row, address_of(instance));
	jvx_append(&row, as_text(instance, "status"));
	jvx_append(&row, weight_of(instance));
	jvx_append(&row, tags_of(instance));
	return jvx_take(&row);
}

static void print_instances(jv record)
{
	static const char *const titles[] = { "ID", "NODE", "ADDRESS", "STATUS", "WEIGHT", "TAGS" };
	cleanup_jv jv instances = jvx_get(record, "instances");
	cleanup_jv jv rows = jv_array();
	cleanup_jv jv head = jv_array();

	printf("#\n# instances: %d\n", jvx_length(instances));
	for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
		jvx_append(&head, jv_string(titles[i]));
	jvx_append(&rows, jv_copy(head));
	for (int i = 0; i < jvx_length(instances); i++) {
		cleanup_jv jv instance = jvx_at(instances, i);

		jvx_append(&rows, row_of(instance));
	}
	if (jvx_length(instances) > 0)
		table_print(rows, "#   ");
}

static void print_settings(jv module)
{
	cleanup_jv jv settings = jvx_get(module, "settings");
	cleanup_jv jv keys = jvx_keys(settings);

	printf("#\n# settings other than the defaults: %d (all: mesh-map --print-config)\n",
		jvx_length(keys));
	for (int i = 0; i < jvx_length(keys); i++) {
		cleanup_jv jv key = jvx_at(keys, i);
		cleanup_jv jv value = jvx_get(settings, jv_string_value(key));
		cleanup_free char *text = jvx_dump(value);

		printf("#   ");
		print_clean(jv_string_value(key));
		printf(": ");
		print_clean(text);
		putchar('\n');
	}
}

/* Entries of three fields each, "A B: C". */
static void print_entries(
	jv entries, const char *a, const char *between, const char *b, const char *why)
{
	for (int i = 0; i < jvx_length(entries); i++) {
		cleanup_jv jv entry = jvx_at(entries, i);
		cleanup_jv jv first = as_text(entry, a);
		cleanup_jv jv second = as_text(entry, b);
		cleanup_jv jv reason = as_text(entry, why);
		cleanup_free char *text = xasprintf("%s%s%s: %s", jv_string_value(first), between,
			jv_string_value(second), jv_string_value(reason));

		printf("#   ");
		print_clean(text);
		putchar('\n');
	}
}

static void print_module(const struct explanation *e)
{
	cleanup_jv jv left_out = jvx_get(e->module, "left_out");

	if (!jv_is_valid(e->module)) {
		printf("#\n# settings and who is left out are not known: ");
		print_clean(e->module_problem != NULL ? e->module_problem : "no answer");
		putchar('\n');
		return;
	}
	print_settings(e->module);
	printf("#\n# left out: %d\n", jvx_length(left_out));
	print_entries(left_out, "id", " on ", "node", "why");
}

static void print_said(const struct explanation *e)
{
	printf("#\n# time: %lld ms\n# said: %d\n", (long long)e->ms, jvx_length(e->said));
	for (int i = 0; i < jvx_length(e->said); i++) {
		cleanup_jv jv line = jvx_at(e->said, i);

		printf("#   ");
		print_clean(jvx_str(line, ""));
		putchar('\n');
	}
}

/* What YAML has no way to write is JSON, which is YAML as well. */
static void print_object(jv object)
{
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;

	buf_init(&text, MAX_OBJECT_BYTES);
	if (yaml_write(object, &text, &err) == 0) {
		printf("---\n%s", buf_str(&text));
	} else {
		cleanup_free char *json = jvx_dump(object);

		printf("---\n%s\n", json);
	}
}

static void print_objects(jv objects)
{
	printf("#\n# objects: %d\n", jvx_length(objects));
	for (int i = 0; i < jvx_length(objects); i++) {
		cleanup_jv jv object = jvx_at(objects, i);

		print_object(object);
	}
}

/* What it failed on is printed so that it can be taken for a test. */
static void print_failure(jv record, const char *problem)
{
	cleanup_free char *text = jvx_dump(record);

	printf("#\n# failed, what the service has is left as it is:\n#   ");
	print_clean(problem != NULL ? problem : "no answer");
	printf("\n# the record that it failed on:\n---\n%s\n", text);
}

void explain_print(jv record, long long line, const struct explanation *e, bool trace)
{
	cleanup_jv jv objects = jvx_get(e->result, "objects");
	cleanup_jv jv keep = jvx_get(e->result, "keep");

	print_head(record, line);
	print_instances(record);
	print_module(e);
	if (trace)
		print_said(e);
	if (!jvx_field_is(e->result, "type", "apply")) {
		print_failure(record, e->problem);
		return;
	}
	printf("#\n# would not be sent, left as they are: %d\n", jvx_length(keep));
	print_entries(keep, "kind", " ", "name", "error");
	print_objects(objects);
}
