/*
 * check_schema: a value against a schema, which is a table.
 *
 * The schemas are those of CustomResourceDefinitions, with the rules of one
 * field (CEL, webhook) put where the field is. As k8s-apply sends objects: a
 * field that is null is not there, and a whole number is an integer however it
 * was written.
 */
#ifndef MESH_MAP_CHECK_SCHEMA_H
#define MESH_MAP_CHECK_SCHEMA_H

#include "mesh-map/check_place.h"

enum schema_type {
	SCHEMA_STRING,
	SCHEMA_BOOLEAN,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_LIST,
	SCHEMA_MAP,
	SCHEMA_STRUCT, /* a map of known fields */
};

struct schema_field {
	const char *name; /* NULL ends the table */
	const struct schema *schema;
	bool required;
};

struct schema {
	enum schema_type type;
	double min, max;	  /* of a number */
	int least, most;	  /* characters, elements or entries; most 0: any number */
	const char *const *words; /* a string is one of these; NULL ends them */
	const struct schema *of;  /* elements, or values of a map */
	const struct schema_field *fields;
	bool (*text)(const char *s); /* a string's rule, or that of a map's keys */
	const char *rule;	     /* and its words */
	/* Rules between the fields of a struct, which all have their types. */
	int (*whole)(const struct place *p, jv v, struct err *err);
};

/* `v` is borrowed and holds no text with a NUL. */
int schema_check(const struct schema *s, const struct place *p, jv v, struct err *err) NODISCARD;

#endif
