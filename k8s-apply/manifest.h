/*
 * manifest: a Kubernetes object as the applier keeps it: who it is, and its
 * body as canonical JSON with a hash. No jv tree outlives the parsing.
 */
#ifndef MESHPIPE_MANIFEST_H
#define MESHPIPE_MANIFEST_H

#include "lib/jvx.h"

/* An object that a person put this annotation on, with this value, is left alone. */
#define MANIFEST_RECONCILE "meshpipe.io/reconcile"
#define MANIFEST_DISABLED  "disabled"

/* Group, kind, namespace and name are the identity; the version is not. */
struct object_id {
	char *bytes; /* owned: the four strings with their NULs; the key in maps */
	size_t len;
	const char *group; /* "" for the core group; these four point into bytes */
	const char *kind;
	const char *namespace; /* "" for none */
	const char *name;
};

void object_id_set(struct object_id *id, const char *group, const char *kind, const char *namespace,
	const char *name);
void object_id_copy(struct object_id *to, const struct object_id *from);
void object_id_release(struct object_id *id);

#define cleanup_id __attribute__((cleanup(object_id_release)))

/* Order of kind, group, namespace, name in bytes. */
int object_id_compare(const struct object_id *a, const struct object_id *b);

/* "serviceentry.networking.istio.io/student-service", as kubectl says it. */
char *object_id_display(const struct object_id *id) NODISCARD;

struct manifest {
	struct object_id id;
	char *api_version;
	char *body;	/* canonical JSON (canon.h), namespace filled in */
	uint64_t hash;	/* of body */
	bool hands_off; /* carries the annotation above */
};

void manifest_release(struct manifest *m);

/*
 * Reads apiVersion, kind, metadata.namespace and metadata.name. A namespaced
 * object without a namespace gets `namespace` when that is not NULL. Names
 * that no API server would take are errors.
 */
int manifest_identify(
	jv object, const char *namespace, struct manifest *ret, struct err *err) NODISCARD;

/*
 * The rest: body and hash. What only the API server sets (status, managedFields,
 * resourceVersion, uid and their like) is left out. After manifest_identify.
 */
int manifest_read_body(jv object, struct manifest *m, struct err *err) NODISCARD;

/* The identity in fields of its own, as `keep` has it: {apiVersion, kind, namespace, name}. */
int manifest_identify_fields(
	jv fields, const char *namespace, struct manifest *ret, struct err *err) NODISCARD;

#endif
