/*
 * hosts_state: what hosts.c (the table) and hosts_pair.c (the pairs) share. For these two only.
 */
#ifndef MESHPIPE_HOSTS_STATE_H
#define MESHPIPE_HOSTS_STATE_H

#include "k8s-apply/hosts.h"
#include "k8s-apply/map.h"

struct names {
	char **item;
	size_t count;
};

/* A ServiceEntry. */
struct entry {
	char *bytes; /* side, namespace, name with their NULs: the key in the map */
	size_t len;
	enum hosts_side side;
	const char *namespace, *name; /* point into bytes */
	char *by;
	uint64_t hash;
	uint64_t serial;     /* of the last list that had it */
	bool here;	     /* it is on the server */
	struct names hosts;  /* in small letters */
	struct names export; /* exportTo; none: everywhere */
};

/* Who has a host. */
struct users {
	char *host;
	struct entry **item;
	size_t count;
};

struct pair {
	char *host;
	struct entry *ours, *other;
};

struct hosts {
	struct hosts_handler handler;
	struct map entries, users;
	uint64_t serial;
	size_t their_hosts; /* that are kept */
	struct pair pairs[HOSTS_MAX_PAIRS];
	size_t pair_count;
};

/* After each change of an entry, with its hosts in the table: pairs begin and end. */
void hosts_settle(struct hosts *h, struct entry *e);

/* It goes: so do its pairs. */
void hosts_part(struct hosts *h, struct entry *e);

#endif
