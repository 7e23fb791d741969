#include "k8s-apply/hosts.h"

#include <ctype.h>
#include <string.h>

#include "k8s-apply/hosts_state.h"

/* No DNS name is longer, and Istio takes no other. */
#define MAX_HOST_BYTES 253

/* A mesh with more hosts than this of others is compared with these only. */
#define MAX_THEIR_HOSTS 200000

struct hosts *hosts_new(const struct hosts_handler *handler)
{
	struct hosts *h = xcalloc(1, sizeof(*h));

	h->handler = *handler;
	return h;
}

static void names_release(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->item[i]);
	free(n->item);
	*n = (struct names){ .item = NULL };
}

static void entry_free(struct entry *e)
{
	names_release(&e->hosts);
	names_release(&e->export);
	free(e->by);
	free(e->bytes);
	free(e);
}

static void users_free(struct users *u)
{
	free(u->host);
	free(u->item);
	free(u);
}

void hosts_free(struct hosts *h)
{
	struct entry *e;
	struct users *u;
	size_t pos;

	if (h == NULL)
		return;
	for (pos = 0; (e = map_next(&h->entries, &pos)) != NULL;)
		entry_free(e);
	for (pos = 0; (u = map_next(&h->users, &pos)) != NULL;)
		users_free(u);
	for (size_t i = 0; i < h->pair_count; i++)
		free(h->pairs[i].host);
	map_release(&h->entries);
	map_release(&h->users);
	free(h);
}

/* The table of entries. */

static char *key_of(enum hosts_side side, const char *namespace, const char *name, size_t *ret_len)
{
	size_t namespace_len = strlen(namespace) + 1, name_len = strlen(name) + 1;
	char *key = xcalloc(1, 1 + namespace_len + name_len);

	*key = side == HOSTS_OURS ? 'o' : 't';
	memcpy(key + 1, namespace, namespace_len);
	memcpy(key + 1 + namespace_len, name, name_len);
	*ret_len = 1 + namespace_len + name_len;
	return key;
}

static struct entry *find(
	const struct hosts *h, enum hosts_side side, const char *namespace, const char *name)
{
	size_t len;
	cleanup_free char *key = key_of(side, namespace, name, &len);

	return map_get(&h->entries, key, len);
}

static struct entry *add_entry(
	struct hosts *h, enum hosts_side side, const char *namespace, const char *name)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	e->bytes = key_of(side, namespace, name, &e->len);
	e->side = side;
	e->namespace = e->bytes + 1;
	e->name = e->namespace + strlen(namespace) + 1;
	e->here = side == HOSTS_THEIRS;
	map_add(&h->entries, e->bytes, e->len, e);
	return e;
}

/* The table of hosts. */

static void use(struct hosts *h, struct entry *e, const char *host)
{
	struct users *u = map_get(&h->users, host, strlen(host));

	if (u == NULL) {
		u = xcalloc(1, sizeof(*u));
		u->host = xstrdup(host);
		map_add(&h->users, u->host, strlen(u->host), u);
	}
	u->item = xrealloc(u->item, u->count + 1, sizeof(struct entry *));
	u->item[u->count++] = e;
}

static void unuse(struct hosts *h, struct entry *e, const char *host)
{
	struct users *u = map_get(&h->users, host, strlen(host));
	size_t i = 0;

	while (i < u->count && u->item[i] != e)
		i++;
	/* In their order: which of many are compared must not change by itself. */
	memmove(&u->item[i], &u->item[i + 1], (--u->count - i) * sizeof(struct entry *));
	if (u->count > 0)
		return;
	map_remove(&h->users, u->host, strlen(u->host));
	users_free(u);
}

static void attach(struct hosts *h, struct entry *e)
{
	for (size_t i = 0; i < e->hosts.count; i++)
		use(h, e, e->hosts.item[i]);
	if (e->side == HOSTS_THEIRS)
		h->their_hosts += e->hosts.count;
}

static void detach(struct hosts *h, struct entry *e)
{
	for (size_t i = 0; i < e->hosts.count; i++)
		unuse(h, e, e->hosts.item[i]);
	if (e->side == HOSTS_THEIRS)
		h->their_hosts -= e->hosts.count;
}

/* What a body says. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, each once, at most `room`. */
static struct names read_names(jv list, size_t room)
{
	struct names n = { .item = xcalloc((size_t)jvx_length(list) + 1, sizeof(char *)) };
	size_t kept = 0;

	for (int i = 0; i < jvx_length(list) && n.count < room; i++) {
		cleanup_jv jv one = jvx_at(list, i);
		const char *text = jvx_str(one, "");

		if (*text == '\0' || strlen(text) > MAX_HOST_BYTES)
			continue;
		n.item[n.count] = xstrdup(text);
		for (char *c = n.item[n.count++]; *c != '\0'; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	qsort(n.item, n.count, sizeof(char *), compare_names);
	for (size_t i = 0; i < n.count; i++)
		if (kept > 0 && strcmp(n.item[kept - 1], n.item[i]) == 0)
			free(n.item[i]);
		else
			n.item[kept++] = n.item[i];
	n.count = kept;
	return n;
}

static void read_body(struct hosts *h, struct entry *e, jv object)
{
	cleanup_jv jv spec = jvx_get(object, "spec");
	cleanup_jv jv names = jvx_get(spec, "hosts");
	cleanup_jv jv export = jvx_get(spec, "exportTo");
	size_t room = e->side == HOSTS_THEIRS ? MAX_THEIR_HOSTS - h->their_hosts : MAX_THEIR_HOSTS;

	names_release(&e->hosts);
	names_release(&e->export);
	e->hosts = read_names(names, room);
	e->export = read_names(export, MAX_THEIR_HOSTS);
}

void hosts_set(struct hosts *h, enum hosts_side side, const char *namespace, const char *name,
	uint64_t hash, jv object, const char *by)
{
	struct entry *e = find(h, side, namespace, name);

	if (e != NULL && e->hash == hash) {
		e->serial = h->serial;
		return;
	}
	if (e == NULL)
		e = add_entry(h, side, namespace, name);
	detach(h, e);
	e->serial = h->serial;
	e->hash = hash;
	read_body(h, e, object);
	/* What names the pairs of it stays as it was told. */
	if (e->by == NULL && by != NULL)
		e->by = xstrdup(by);
	attach(h, e);
	hosts_settle(h, e);
}

bool hosts_has(const struct hosts *h, enum hosts_side side, const char *namespace, const char *name,
	uint64_t hash)
{
	const struct entry *e = find(h, side, namespace, name);

	return e != NULL && e->hash == hash;
}

void hosts_here(struct hosts *h, const char *namespace, const char *name)
{
	struct entry *e = find(h, HOSTS_OURS, namespace, name);

	if (e == NULL || e->here)
		return;
	e->here = true;
	hosts_settle(h, e);
}

static void drop(struct hosts *h, struct entry *e)
{
	hosts_part(h, e);
	detach(h, e);
	map_remove(&h->entries, e->bytes, e->len);
	entry_free(e);
}

void hosts_remove(struct hosts *h, enum hosts_side side, const char *namespace, const char *name)
{
	struct entry *e = find(h, side, namespace, name);

	if (e != NULL)
		drop(h, e);
}

uint64_t hosts_list(struct hosts *h)
{
	return ++h->serial;
}

void hosts_listed(struct hosts *h, const char *namespace, uint64_t serial)
{
	cleanup_free struct entry **gone = xcalloc(h->entries.count + 1, sizeof(struct entry *));
	struct entry *e;
	size_t pos = 0, count = 0;

	while ((e = map_next(&h->entries, &pos)) != NULL)
		if (e->side == HOSTS_THEIRS && e->serial < serial &&
			(*namespace == '\0' || strcmp(e->namespace, namespace) == 0))
			gone[count++] = e;
	for (size_t i = 0; i < count; i++)
		drop(h, gone[i]);
}

size_t hosts_pairs(const struct hosts *h)
{
	return h->pair_count;
}
