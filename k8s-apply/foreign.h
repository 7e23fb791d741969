/*
 * foreign: what the metadata of an object that is not ours, and a refusal, say of others.
 */
#ifndef MESHPIPE_FOREIGN_H
#define MESHPIPE_FOREIGN_H

#include "k8s-apply/ownership.h"

/*
 * Whose the object is, which is there and not ours, for a person. *ret_free: nobody owns it, so
 * that it may be taken over: no other set's label or mark, no ownerReferences, nobody who wants
 * hands off, and it is not being deleted.
 */
char *foreign_words(const struct ownership *own, jv object, bool *ret_free) NODISCARD;

/* Who has written it last besides us, by managedFields; NULL: nobody. */
char *foreign_writer(const struct ownership *own, jv object) NODISCARD;

/*
 * Of a 409 to an apply without force: "field .spec.hosts belongs to 'kubectl'", for a few fields;
 * NULL: it is about something else.
 */
char *foreign_fields(const char *status, size_t len) NODISCARD;

#endif
