#include <string.h>

#include "k8s-apply/hosts_state.h"

/* Of a host that more than this have, not each is compared with each. */
#define MAX_COMPARED 16

static bool names_have(const struct names *n, const char *name)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->item[i], name) == 0)
			return true;
	return false;
}

static bool is_visible_in(const struct entry *e, const char *namespace)
{
	return e->export.count == 0 || names_have(&e->export, "*") ||
	       names_have(&e->export, namespace) ||
	       (names_have(&e->export, ".") && strcmp(e->namespace, namespace) == 0);
}

/* "~" alone: nobody at all sees it. */
static bool is_for_nobody(const struct entry *e)
{
	return e->export.count == 1 && strcmp(e->export.item[0], "~") == 0;
}

static bool are_a_pair(const struct entry *ours, const struct entry *other)
{
	/* A foreign object in place of ours is another matter, and told elsewhere. */
	bool same = strcmp(ours->namespace, other->namespace) == 0 &&
		    strcmp(ours->name, other->name) == 0;

	if (same || !ours->here || !other->here || is_for_nobody(ours) || is_for_nobody(other))
		return false;
	return is_visible_in(other, ours->namespace) ||
	       (other->side == HOSTS_OURS && is_visible_in(ours, other->namespace));
}

static void tell(const struct hosts *h, const struct pair *p, bool begins)
{
	cleanup_free char *ours = xasprintf("%s/%s", p->ours->namespace, p->ours->name);
	cleanup_free char *other = xasprintf("%s/%s", p->other->namespace, p->other->name);
	const struct hosts_pair pair = {
		.host = p->host,
		.ours = ours,
		.other = other,
		.by = p->other->by,
		.both_ours = p->other->side == HOSTS_OURS,
	};

	(begins ? h->handler.on_pair : h->handler.on_end)(h->handler.arg, &pair);
}

static void end(struct hosts *h, size_t i)
{
	struct pair p = h->pairs[i];

	h->pairs[i] = h->pairs[--h->pair_count];
	tell(h, &p, false);
	free(p.host);
}

static bool has_pair(const struct hosts *h, const struct pair *p)
{
	for (size_t i = 0; i < h->pair_count; i++)
		if (h->pairs[i].ours == p->ours && h->pairs[i].other == p->other &&
			strcmp(h->pairs[i].host, p->host) == 0)
			return true;
	return false;
}

/* The first is ours; of two of ours, the one that comes first in byte order. */
static void order(struct pair *p)
{
	struct entry *ours = p->ours;
	int way = strcmp(ours->namespace, p->other->namespace);

	if (way == 0)
		way = strcmp(ours->name, p->other->name);
	if (ours->side == HOSTS_THEIRS || (p->other->side == HOSTS_OURS && way > 0)) {
		p->ours = p->other;
		p->other = ours;
	}
}

static void compare(struct hosts *h, struct entry *e, struct entry *with, char *host)
{
	struct pair p = { .host = host, .ours = e, .other = with };

	if (e == with || (e->side == HOSTS_THEIRS && with->side == HOSTS_THEIRS))
		return;
	order(&p);
	if (!are_a_pair(p.ours, p.other) || has_pair(h, &p) || h->pair_count == HOSTS_MAX_PAIRS)
		return;
	p.host = xstrdup(host);
	h->pairs[h->pair_count++] = p;
	tell(h, &p, true);
}

void hosts_settle(struct hosts *h, struct entry *e)
{
	for (size_t i = h->pair_count; i-- > 0;) {
		const struct pair *p = &h->pairs[i];

		if ((p->ours == e || p->other == e) &&
			(!are_a_pair(p->ours, p->other) || !names_have(&e->hosts, p->host)))
			end(h, i);
	}
	for (size_t i = 0; i < e->hosts.count; i++) {
		const char *host = e->hosts.item[i];
		const struct users *u = map_get(&h->users, host, strlen(host));

		for (size_t k = 0; u != NULL && k < u->count && k < MAX_COMPARED; k++)
			compare(h, e, u->item[k], e->hosts.item[i]);
	}
}

void hosts_part(struct hosts *h, struct entry *e)
{
	for (size_t i = h->pair_count; i-- > 0;)
		if (h->pairs[i].ours == e || h->pairs[i].other == e)
			end(h, i);
}
