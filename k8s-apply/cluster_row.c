#include <string.h>

#include "k8s-apply/cluster_state.h"

struct row *row_find(const struct cluster *c, const struct object_id *id)
{
	const struct place *p = place_find(c, id);

	return p != NULL ? map_get(&p->rows, id->name, strlen(id->name)) : NULL;
}

struct row *row_get(struct place *p, const char *name)
{
	size_t len = strlen(name);
	struct row *r = map_get(&p->rows, name, len);

	if (r != NULL)
		return r;
	r = xcalloc(1, sizeof(*r) + len + 1);
	memcpy(r->name, name, len);
	r->place = p;
	map_add(&p->rows, r->name, len, r);
	return r;
}

bool row_is_known(void *place, const char *name, size_t len, const char *version)
{
	const struct place *p = place;
	const struct row *r = map_get(&p->rows, name, len);

	return r != NULL && r->exists && strcmp(r->version, version) == 0;
}

struct object_id row_id(const struct row *r)
{
	struct object_id id;

	object_id_set(&id, r->place->group, r->place->kind, r->place->namespace, r->name);
	return id;
}

static void pending_free(struct pending *p)
{
	if (p == NULL)
		return;
	live_release(&p->live);
	free(p->gone_uid);
	free(p);
}

void row_free(struct row *r)
{
	struct intern *texts = &r->place->cluster->texts;

	pending_free(r->pending);
	free(r->uid);
	free(r->version);
	free(r->applied_version);
	intern_drop(texts, r->source);
	intern_drop(texts, r->key);
	intern_drop(texts, r->words);
	intern_drop(texts, r->wanted);
	free(r->rival);
	free(r);
}

/*
 * What was fought over is remembered for as long as that matters, also while it is not there, and so
 * is what keeps all others waiting.
 */
static void drop_unused(struct row *r)
{
	if (r->exists || r->dying || r->op != NULL || r->repairs > 0 || r->delays > 0)
		return;
	map_remove(&r->place->rows, r->name, strlen(r->name));
	row_free(r);
}

/* Where there are no generations, any change may be one of what was applied. */
static bool is_as_applied(const struct row *r)
{
	if (r->generation > 0)
		return r->generation == r->applied_generation;
	return r->applied_version != NULL && strcmp(r->version, r->applied_version) == 0;
}

static struct word_hashes view(uint64_t *words)
{
	return (struct word_hashes){ words, intern_len(words) / sizeof(*words) };
}

/* Takes what is in `w` over. */
static void set_words(struct row *r, uint64_t **words, struct word_hashes *w)
{
	struct intern *texts = &r->place->cluster->texts;
	uint64_t *before = *words;

	*words = w->count > 0 ? intern_bytes(texts, w->item, w->count * sizeof(*w->item)) : NULL;
	intern_drop(texts, before);
	word_hashes_release(w);
}

static void set_text(struct row *r, const char **to, const char *text)
{
	struct intern *texts = &r->place->cluster->texts;
	const char *before = *to;

	*to = intern_text(texts, text);
	intern_drop(texts, before);
}

static bool has_wanted_words(const struct row *r)
{
	const struct word_hashes wanted = view(r->wanted), words = view(r->words);

	return word_hashes_within(&wanted, &words);
}

static bool is_in_sync(const struct row *r)
{
	return r->body_hash != 0 && r->labelled && is_as_applied(r) &&
	       (r->wanted_hash != r->body_hash || has_wanted_words(r));
}

static void move(char **to, char **from)
{
	free(*to);
	*to = TAKE(*from);
}

/* Nothing but metadata has changed since: what is known of the rest is still true. */
static bool has_same_body(const struct row *r, const struct live *l)
{
	return r->uid != NULL && strcmp(r->uid, l->uid) == 0 && r->generation == l->generation;
}

/* The row as the metadata shows it. */
static void copy_live(struct row *r, struct live *l)
{
	if (l->marked) {
		r->body_hash = l->body_hash;
		r->spec_hash = l->generation == l->applied_generation ? l->spec_hash : 0;
		r->applied_generation = l->applied_generation;
		set_text(r, &r->source, l->source);
		set_text(r, &r->key, l->key);
	} else {
		/* It is still whose it was, but nobody knows how it is. */
		r->body_hash = 0;
		if (!has_same_body(r, l))
			r->spec_hash = 0;
	}
	r->exists = true;
	r->dying = false;
	r->labelled = l->labelled;
	r->has_owner = l->has_owner;
	r->hands_off = l->hands_off;
	move(&r->uid, &l->uid);
	move(&r->version, &l->version);
	r->generation = l->generation;
	set_words(r, &r->words, &l->words);
	r->in_sync = is_in_sync(r);
	cluster_hosts_here(r);
}

static void tell_found(struct row *r)
{
	struct cluster *c = r->place->cluster;
	cleanup_id struct object_id id = row_id(r);
	struct manifest m = {
		.id = id,
		.api_version = r->place->api_version,
		.hash = r->in_sync ? r->body_hash : 0,
		.hands_off = r->hands_off,
	};

	c->target.handler.on_found(c->target.handler.arg, r->source, r->key, &m);
}

static void tell_lost(struct row *r)
{
	struct cluster *c = r->place->cluster;
	cleanup_id struct object_id id = row_id(r);

	c->target.handler.on_lost(c->target.handler.arg, &id);
}

/* Another key has it now: the plan lets the one before go. */
static void tell_moved(struct row *r, const struct live *l)
{
	if (r->exists && l->marked && r->source != NULL &&
		(strcmp(r->source, l->source) != 0 || strcmp(r->key, l->key) != 0))
		tell_lost(r);
}

static void lose(struct row *r)
{
	r->exists = false;
	r->in_sync = false;
	cluster_hosts_gone(r);
	tell_lost(r);
}

/* Another object under the same name, that nobody of us has made. */
static bool is_foreign(const struct row *r, const struct live *l)
{
	bool same = r->uid != NULL && strcmp(r->uid, l->uid) == 0;

	return !l->ours && !(same && (r->exists || r->dying));
}

static void take(struct row *r, struct live *l, bool listed)
{
	bool was_right = r->exists && r->in_sync;
	/* A list that began before what is known of it is as old as any event may be. */
	bool may_be_old = !listed || r->serial == r->place->serial;

	r->serial = r->place->serial;
	if (may_be_old && r->exists && r->version != NULL && !kube_is_newer(l->version, r->version))
		return;
	if (is_foreign(r, l)) {
		if (r->exists)
			lose(r);
		return;
	}
	if (l->dying) {
		move(&r->uid, &l->uid);
		r->dying = true;
		if (r->exists)
			lose(r);
		return;
	}
	tell_moved(r, l);
	copy_live(r, l);
	if (was_right && !r->in_sync)
		row_count_repair(r);
	tell_found(r);
}

/* The last word counts. */
static struct pending *renew_pending(struct row *r)
{
	pending_free(r->pending);
	r->pending = xcalloc(1, sizeof(*r->pending));
	return r->pending;
}

void row_take(struct row *r, struct live *l, bool listed)
{
	if (r->op != NULL && !listed) {
		renew_pending(r)->live = *l;
		*l = (struct live){ .uid = NULL };
		return;
	}
	take(r, l, listed);
	live_release(l);
	drop_unused(r);
}

void row_gone(struct row *r, const char *uid)
{
	if (uid != NULL && r->uid != NULL && strcmp(uid, r->uid) != 0)
		return;
	if (r->op != NULL) {
		renew_pending(r)->gone_uid = uid != NULL ? xstrdup(uid) : NULL;
		return;
	}
	if (r->exists)
		row_count_repair(r);
	r->dying = false;
	/* Also when it was dying: what waits for its end is tried again. */
	lose(r);
	drop_unused(r);
}

void row_settle(struct row *r)
{
	struct pending *p = TAKE(r->pending);

	if (p == NULL)
		drop_unused(r);
	else if (p->live.uid != NULL)
		row_take(r, &p->live, false);
	else
		/* It may be the end of the one before the one that was just made. */
		row_gone(r, p->gone_uid);
	pending_free(p);
}

bool row_written(struct row *r, struct live *l, struct op *op)
{
	bool changed = r->version == NULL || strcmp(r->version, l->version) != 0;
	struct word_hashes words;

	cluster_hosts_written(r, op->desired, op->hash);
	copy_live(r, l);
	/* It was right: somebody changed a status, or what is his. */
	if (!changed && r->repairs > 0)
		r->repairs--;
	free(TAKE(r->applied_version));
	if (r->generation == 0)
		r->applied_version = xstrdup(r->version);
	set_text(r, &r->source, op->source);
	set_text(r, &r->key, op->key);
	r->conflicts = 0;
	r->delays = 0;
	r->serial = r->place->serial;
	/* What admission took away again will not come by asking once more. */
	words = view(r->words);
	word_hashes_keep(&op->words, &words);
	set_words(r, &r->wanted, &op->words);
	r->wanted_hash = op->hash;
	r->body_hash = op->hash;
	r->spec_hash = op->spec_hash;
	r->applied_generation = r->generation;
	r->in_sync = true;
	return changed;
}

void row_said(struct row *r, const char *source, const char *key, const struct manifest *m)
{
	struct word_hashes wanted;

	if (!r->exists || r->op != NULL || r->wanted_hash == m->hash || r->body_hash != m->hash ||
		r->source == NULL || strcmp(r->source, source) != 0 || strcmp(r->key, key) != 0)
		return;
	wanted = ownership_words(&r->place->cluster->own, m->body, source, key);
	set_words(r, &r->wanted, &wanted);
	r->wanted_hash = m->hash;
	if (!r->in_sync || is_in_sync(r))
		return;
	r->in_sync = false;
	tell_found(r);
}
