/*
 * check_text: what a text may be, by the rules of Kubernetes and Istio.
 *
 * All of it is by hand, without regular expressions: it runs for every text of
 * every object. The texts hold no NUL (see check.c).
 */
#ifndef MESH_MAP_CHECK_TEXT_H
#define MESH_MAP_CHECK_TEXT_H

#include "lib/base.h"

/* Characters, not bytes: what a schema's maxLength counts. */
size_t text_length(const char *s);

/* --- Kubernetes: lower case only */

bool text_is_dns_label(const char *s);	    /* RFC 1123, at most 63 */
bool text_is_dns_subdomain(const char *s);  /* at most 253; its labels may be of any length */
bool text_is_label_key(const char *s);	    /* [prefix/]name */
bool text_is_annotation_key(const char *s); /* the same in any case */
bool text_is_label_value(const char *s);

/* --- Istio: any case (pkg/config/labels, pkg/config/validation/agent) */

bool text_is_istio_label(const char *s); /* IsDNS1123Label */
bool text_is_fqdn(const char *s);	 /* ValidateFQDN */
bool text_is_wildcard(const char *s);	 /* ValidateWildcardDomain: "*" may begin the first label */
bool text_is_tag_key(const char *s);
bool text_is_tag_value(const char *s); /* of any length */

/* As Go's netip reads them: an IPv6 address may have a zone, one of a network may not. */
bool text_is_ip(const char *s);
bool text_is_ip_or_network(const char *s);

/* As Go's time.ParseDuration reads it ("1h", "1.5s", "-3ms"); in nanoseconds. */
bool text_duration(const char *s, int64_t *ret_ns);

#endif
