/*
 * check_policy: the traffic policy of a DestinationRule, of one of its subsets and
 * of one of its ports, by the rules of Istio 1.31 (see check_istio.h).
 */
#ifndef MESH_MAP_CHECK_POLICY_H
#define MESH_MAP_CHECK_POLICY_H

#include "mesh-map/check_schema.h"

extern const struct schema schema_policy;

/* Credentials in a ConfigMap are to be in the rule's own namespace (NULL: not known). */
int check_policy_namespace(
	const struct place *p, jv policy, const char *namespace, struct err *err) NODISCARD;

/* Rules of its parts, where they are between fields. */
int check_policy(const struct place *p, jv policy, struct err *err) NODISCARD;
int check_port_policy(const struct place *p, jv policy, struct err *err) NODISCARD;
int check_pool(const struct place *p, jv pool, struct err *err) NODISCARD;
int check_http_pool(const struct place *p, jv pool, struct err *err) NODISCARD;
int check_outlier(const struct place *p, jv outlier, struct err *err) NODISCARD;
int check_balancer(const struct place *p, jv balancer, struct err *err) NODISCARD;
int check_hash(const struct place *p, jv hash, struct err *err) NODISCARD;
int check_cookie(const struct place *p, jv cookie, struct err *err) NODISCARD;
int check_maglev(const struct place *p, jv maglev, struct err *err) NODISCARD;
int check_locality(const struct place *p, jv setting, struct err *err) NODISCARD;
int check_zone_aware(const struct place *p, jv setting, struct err *err) NODISCARD;
int check_client_tls(const struct place *p, jv tls, struct err *err) NODISCARD;

#endif
