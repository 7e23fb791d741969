/*
 * check_istio: the objects of networking.istio.io that mesh-map's programs make.
 *
 * The rules are those of Istio 1.31: the schemas and CEL rules of its
 * CustomResourceDefinitions (istio.io/api, kubernetes/customresourcedefinitions.gen.yaml), and
 * its validating webhook (istio.io/istio, pkg/config/validation). v1, v1beta1 and
 * v1alpha3 have the same ones. Warnings of the webhook are not errors.
 *
 * What depends on a namespace (exportTo "." beside its name, credentials in a
 * ConfigMap) is checked for objects that name theirs.
 */
#ifndef MESH_MAP_CHECK_ISTIO_H
#define MESH_MAP_CHECK_ISTIO_H

#include "mesh-map/check_schema.h"

/* Is there something to check? Any version of the group counts. */
bool check_istio_knows(const char *api_version, const char *kind);

/* `object` is one that is known, and its metadata is as Kubernetes wants it. */
int check_istio(const char *kind, jv object, struct err *err) NODISCARD;

/* The rules between the fields of one object, and those of its metadata. */
int check_service_entry(jv object, jv spec, struct err *err) NODISCARD;
int check_destination_rule(jv object, jv spec, struct err *err) NODISCARD;

extern const struct schema schema_service_entry, schema_workload_entry, schema_destination_rule;

/* Parts that they share. */
extern const struct schema schema_any_string, schema_any_boolean, schema_uint32, schema_port,
	schema_label_value, schema_labels, schema_export_to;

#define LABEL_KEY_RULE                                                                             \
	"[DNS name/]at most 63 letters, digits, '-', '_' and '.', a letter or digit first and "    \
	"last"

/* exportTo. `namespace` may be NULL: not known. */
int check_export_to(jv spec, const char *namespace, bool service, struct err *err) NODISCARD;

#define UNIX_ADDRESS "unix://"

/* What a port speaks (pkg/config/protocol), in any case; nothing: Istio looks at the traffic. */
enum protocol { PROTOCOL_UNKNOWN, PROTOCOL_UNSET, PROTOCOL_HTTP, PROTOCOL_TLS, PROTOCOL_TCP };
enum protocol protocol_of(const char *s);

/* Has a field that is not null. */
bool has_field(jv object, const char *key);

#endif
