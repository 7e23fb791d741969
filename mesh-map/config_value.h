/*
 * config_value: what a single value of the configuration may be.
 */
#ifndef MESH_MAP_CONFIG_VALUE_H
#define MESH_MAP_CONFIG_VALUE_H

#include "lib/jvx.h"

struct rule {
	const char *right;		 /* in words that go behind "give " */
	jv_kind kind;			 /* JV_KIND_TRUE stands for both booleans */
	bool (*holds)(const char *text); /* for strings, of which "" is refused before; or NULL */
	bool may_be_empty;
	bool whole;	 /* for numbers */
	double min, max; /* for numbers */
};

extern const struct rule rule_host_suffix;
extern const struct rule rule_name; /* anything but nothing */
extern const struct rule rule_namespace;
extern const struct rule rule_api_version;
extern const struct rule rule_port;
extern const struct rule rule_port_name;
extern const struct rule rule_protocol;
extern const struct rule rule_location;
extern const struct rule rule_resolution;
extern const struct rule rule_address;
extern const struct rule rule_export_to;
extern const struct rule rule_health;
extern const struct rule rule_bool;
extern const struct rule rule_percent;
extern const struct rule rule_pattern;
extern const struct rule rule_label_key; /* of those that a person may set */
extern const struct rule rule_label_value;
extern const struct rule rule_locality;
extern const struct rule rule_service_account;
extern const struct rule rule_tls_mode;

/* True when the value (borrowed) is what the rule says. */
bool rule_holds(const struct rule *rule, jv value);

/* What a person may have missed, to stand behind what is right: " without quotes", or "". */
const char *rule_hint(const struct rule *rule, jv value);

#endif
