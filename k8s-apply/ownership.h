/*
 * ownership: the words on an object that say whose it is and what was applied.
 *
 *   label       applyset.kubernetes.io/part-of  the id of the set (KEP-3659); what is listed
 *   annotation  meshpipe.io/key                 "<source>/<key>" that wants the object; "/" and
 *                                               "%" in the source are %2F and %25
 *   annotation  meshpipe.io/applied             the mark "1.<body>.<spec>.<generation>.<identity>"
 *
 * The mark has hashes in hex: of the body as desired, of the body without its metadata,
 * and of set, object and key. `generation` is what the API server raises whenever
 * something other than metadata or status changes, so a mark that names the generation of
 * the object says that it is as applied. A copy of the object elsewhere, or one with a key
 * that somebody wrote, has a mark that does not name itself.
 */
#ifndef MESHPIPE_OWNERSHIP_H
#define MESHPIPE_OWNERSHIP_H

#include "k8s-apply/manifest.h"

#define OWNERSHIP_LABEL	  "applyset.kubernetes.io/part-of"
#define OWNERSHIP_KEY	  "meshpipe.io/key"
#define OWNERSHIP_MARK	  "meshpipe.io/applied"
#define OWNERSHIP_MANAGER "meshpipe-" /* and the set */

struct ownership {
	char *set;
	char *namespace; /* of the parent */
	char *id;	 /* "applyset-<base64url of a SHA-256>-v1" */
	char *manager;	 /* the field manager, "meshpipe-<set>" */
};

void ownership_init(struct ownership *own, const char *set, const char *namespace);
void ownership_release(struct ownership *own);

/* Hashes of labels and annotations, ascending. */
struct word_hashes {
	uint64_t *item;
	size_t count;
};

void word_hashes_release(struct word_hashes *w);

/* Are all of `some` among `all`? */
bool word_hashes_within(const struct word_hashes *some, const struct word_hashes *all);

/* Leaves those that are among `all` only. */
void word_hashes_keep(struct word_hashes *some, const struct word_hashes *all);

/* What is to be applied, and whose it is to be. */
struct ownership_write {
	const struct object_id *id;
	const char *body; /* canonical JSON */
	uint64_t hash;	  /* of body */
	const char *source, *key;
	const char *uid;     /* of the object that is there; NULL: create, and nothing else */
	const char *version; /* if it still is this resourceVersion; NULL: whichever */
	bool counted;	     /* the kind has generations */
	int64_t generation;  /* of the object that is there */
	uint64_t spec_hash;  /* of its body without metadata; 0: unknown */
};

struct ownership_text {
	char *body;		  /* to send with server-side apply; owned */
	struct word_hashes words; /* what of it can be seen in the metadata; owned */
	uint64_t spec_hash;
	int64_t generation; /* that the object is to have by it */
};

int ownership_compose(const struct ownership *own, const struct ownership_write *w,
	struct ownership_text *ret, struct err *err) NODISCARD;

/* What can be seen in the metadata once this is applied. */
struct word_hashes ownership_words(
	const struct ownership *own, const char *body, const char *source, const char *key);

/* An object as its metadata shows it. */
struct live {
	struct object_id id;
	char *uid, *version; /* resourceVersion */
	int64_t generation;  /* 0: its kind has none */
	bool dying;	     /* is being deleted, something holds it up */
	bool has_owner;	     /* ownerReferences: somebody else decides when it goes */
	bool hands_off;
	bool labelled; /* carries our label */
	bool ours;     /* by a mark of ours, or since our field manager has applied it */
	bool marked;   /* the mark is right, and so are the next five */
	uint64_t body_hash, spec_hash;
	int64_t applied_generation;
	char *source, *key;
	struct word_hashes words;
};

/* Of an object, or PartialObjectMetadata, of this group and kind. False: it has no name. */
bool ownership_read(const struct ownership *own, const char *group, const char *kind, jv object,
	struct live *ret) NODISCARD;
void live_release(struct live *l);

#endif
