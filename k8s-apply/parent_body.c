#include "k8s-apply/parent_state.h"

#include "lib/canon.h"

#define ID_LABEL       "applyset.kubernetes.io/id"
#define TOOLING	       "meshpipe/v1"
#define MAX_BODY_BYTES (1u << 20)

static jv annotations_to_save(const struct parent *p)
{
	cleanup_free char *kinds = word_set_join(&p->kinds, "");
	cleanup_free char *namespaces = word_set_join(&p->namespaces, p->own->namespace);
	jv annotations = jv_object();

	jvx_set_str(&annotations, TOOLING_ANNOTATION, TOOLING);
	jvx_set_str(&annotations, KINDS_ANNOTATION, kinds);
	jvx_set_str(&annotations, NAMESPACES_ANNOTATION, namespaces);
	return annotations;
}

static jv data_to_save(const struct parent *p)
{
	cleanup_free char *sources = jvx_dump(p->sources);
	jv data = jv_object();

	jvx_set_str(&data, "sources", sources);
	return data;
}

static bool has_all(jv some, jv all)
{
	cleanup_jv jv names = jvx_keys(some);

	for (int i = 0; i < jvx_length(names); i++) {
		cleanup_jv jv name = jvx_at(names, i);
		cleanup_jv jv value = jvx_get(some, jv_string_value(name));

		if (!jvx_field_is(all, jv_string_value(name), jvx_str(value, "")))
			return false;
	}
	return true;
}

bool parent_says_all(const struct parent *p, jv configmap)
{
	cleanup_jv jv metadata = jvx_get(configmap, "metadata");
	cleanup_jv jv annotations = jvx_get(metadata, "annotations");
	cleanup_jv jv data = jvx_get(configmap, "data");
	cleanup_jv jv our_annotations = annotations_to_save(p);
	cleanup_jv jv our_data = data_to_save(p);

	return has_all(our_annotations, annotations) && has_all(our_data, data);
}

static jv metadata_to_save(const struct parent *p)
{
	jv labels = jv_object(), metadata = jv_object();

	jvx_set_str(&labels, ID_LABEL, p->own->id);
	jvx_set_str(&metadata, "name", p->own->set);
	jvx_set_str(&metadata, "namespace", p->own->namespace);
	jvx_set(&metadata, "labels", labels);
	jvx_set(&metadata, "annotations", annotations_to_save(p));
	if (p->uid != NULL)
		jvx_set_str(&metadata, "uid", p->uid);
	else
		jvx_set_str(&metadata, "resourceVersion", "1");
	return metadata;
}

char *parent_body(const struct parent *p, struct err *err)
{
	cleanup_jv jv body = jv_object();
	cleanup_buf struct buf text;

	buf_init(&text, MAX_BODY_BYTES);
	jvx_set_str(&body, "apiVersion", "v1");
	jvx_set_str(&body, "kind", "ConfigMap");
	jvx_set(&body, "metadata", metadata_to_save(p));
	jvx_set(&body, "data", data_to_save(p));
	return canon_write(body, &text, err) == 0 ? TAKE(text.data) : NULL;
}
