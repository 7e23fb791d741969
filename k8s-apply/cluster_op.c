#include <string.h>

#include "lib/canon.h"
#include "k8s-apply/api_json.h"
#include "k8s-apply/cluster_state.h"
#include "k8s-apply/foreign.h"

/* A generation that was not foreseen (admission, defaults) is put into the mark; so often. */
#define MAX_CORRECTIONS 2

/* So often an object may turn out to be another than we knew before it gets a pause. */
#define MAX_CONFLICTS 5

/* So often all wait for one object before it waits alone. */
#define MAX_DELAYS 5

static void send_write(struct op *op);
static void look(struct op *op);

static void op_unlink(struct op *op)
{
	struct cluster *c = op->cluster;

	if (op->prev != NULL)
		op->prev->next = op->next;
	else
		c->ops = op->next;
	if (op->next != NULL)
		op->next->prev = op->prev;
	c->in_flight--;
	op->row->op = NULL;
}

static void op_free(struct op *op)
{
	free(op->api_version);
	free(op->source);
	free(op->key);
	free(op->desired);
	free(op->rehearsed);
	free(op->seen.uid);
	free(op->seen.version);
	word_hashes_release(&op->words);
	free(op);
}

/* After the plan has got its answer: what the watch has said meanwhile. */
static void op_end(struct op *op)
{
	struct cluster *c = op->cluster;
	struct row *row = op->row;

	op_free(op);
	row_settle(row);
	cluster_changed(c);
	cluster_check_stopped(c);
	cluster_check_rest(c);
}

static void finish(struct op *op, enum plan_outcome outcome, const char *error)
{
	const struct target_handler *h = &op->cluster->target.handler;

	op_unlink(op);
	/* That much is known of it: nobody else waits any more. */
	if (outcome == PLAN_FOREIGN || outcome == PLAN_DENIED || outcome == PLAN_REFUSED)
		op->row->delays = 0;
	h->on_done(h->arg, op->object, outcome, error);
	op_end(op);
}

void op_finish(struct op *op, enum plan_outcome outcome, const char *error)
{
	finish(op, outcome, error);
}

void op_later(struct op *op, int64_t at_ms, const char *error)
{
	const struct target_handler *h = &op->cluster->target.handler;

	op_unlink(op);
	h->on_later(h->arg, op->object, at_ms, error);
	op_end(op);
}

static char *op_path(const struct op *op, const char *query)
{
	const struct place *p = op->row->place;
	cleanup_free char *path =
		kube_path(op->api_version, p->namespace, p->plural, op->row->name);

	return xasprintf("%s%s", path, query);
}

/* A write goes out again when its connection was lost: the lease may have gone meanwhile. */
static bool may_send(void *arg)
{
	const struct op *op = arg;

	return op_is_rehearsal(op) || cluster_may_write(op->cluster);
}

void op_send(struct op *op, const char *method, const char *query, const char *body,
	const char *content_type, void (*on_answer)(void *, const struct kube_answer *))
{
	cleanup_free char *path = op_path(op, query);
	const struct kube_request request = {
		.lane = KUBE_LANE_WORK,
		.method = method,
		.path = path,
		.body = body,
		.content_type = content_type,
		.accept = op->cluster->use == TARGET_COMPARE ? NULL : KUBE_ACCEPT_METADATA,
		.still = method != NULL ? may_send : NULL,
		.on_answer = on_answer,
		.arg = op,
	};

	op->number = cluster_sends(op->cluster, method != NULL);
	op->call = kube_send(op->cluster->kube, &request);
}

/* What an answer that is no success means for the operation. */

static bool serves_its_version(const struct op *op)
{
	return strcmp(op->api_version, op->row->place->api_version) == 0;
}

/* It waits with its place for better times. */
static void hold(struct op *op, const struct kube_status *status)
{
	if (op->row->place->state == PLACE_READY)
		place_hold(op->row->place, status);
	finish(op, PLAN_DECIDE, NULL);
}

static void conflict(struct op *op, const struct kube_status *status)
{
	if (++op->row->conflicts > MAX_CONFLICTS) {
		op->row->conflicts = 0;
		finish(op, PLAN_RETRY, status->why);
	} else {
		look(op);
	}
}

static void refuse_version(struct op *op)
{
	cleanup_free char *why = xasprintf("the API server has no '%s' of this kind, but '%s'",
		op->api_version, op->row->place->api_version);

	finish(op, PLAN_REFUSED, why);
}

/* Whatever is wrong with the one object, its place takes requests again. */
void op_fail(struct op *op, const struct kube_status *status)
{
	/* Who may write says what becomes of it. */
	if (!may_send(op)) {
		finish(op, PLAN_DECIDE, NULL);
		return;
	}
	if (!cluster_is_of_the_server(status))
		cluster_answers(op->cluster);
	switch (status->verdict) {
	case KUBE_LATER:
	case KUBE_UNAUTHORIZED:
		cluster_later(op->cluster, status, op->number);
		/* When it is always this one, and all else is well, the others must not wait for it. */
		if (!status->turned_away && op->cluster->sick == 0 &&
			++op->row->delays > MAX_DELAYS)
			finish(op, PLAN_RETRY, status->why);
		else
			finish(op, PLAN_DECIDE, NULL);
		break;
	case KUBE_FORBIDDEN:
		/* A role without deletions is one that can be meant. */
		if (op->delete)
			finish(op, PLAN_DENIED, status->why);
		else
			hold(op, status);
		break;
	case KUBE_NO_NAMESPACE:
		hold(op, status);
		break;
	case KUBE_NOT_SERVED:
		if (serves_its_version(op))
			hold(op, status);
		else
			refuse_version(op);
		break;
	case KUBE_CONFLICT:
	case KUBE_NOT_FOUND:
		place_works(op->row->place);
		conflict(op, status);
		break;
	case KUBE_DENIED:
		place_works(op->row->place);
		finish(op, PLAN_DENIED, status->why);
		break;
	case KUBE_INVALID:
		place_works(op->row->place);
		finish(op, PLAN_REFUSED, status->why);
		break;
	case KUBE_OK:
	case KUBE_ERROR:
	case KUBE_EXPIRED:
		finish(op, PLAN_RETRY, status->why);
		break;
	}
}

static bool read_answer(const struct op *op, const struct kube_answer *answer, struct live *ret)
{
	struct err err = ERR_INIT;
	cleanup_jv jv object = api_json_parse(answer->body, answer->body_len, &err);
	const struct place *p = op->row->place;

	return ownership_read(&op->cluster->own, p->group, p->kind, object, ret);
}

void op_well(const struct op *op)
{
	cluster_well(op->cluster);
	place_works(op->row->place);
}

/* Looking: what is there instead of what we thought? */

static void adopt(struct op *op, struct live *l)
{
	op->adopted = true;
	op->seen = (struct seen){ TAKE(l->uid), TAKE(l->version), l->generation };
	if (op_is_rehearsal(op) || cluster_may_write(op->cluster))
		send_write(op);
	else
		finish(op, PLAN_DECIDE, NULL);
}

static void found_foreign(struct op *op, const struct kube_answer *answer, struct live *l)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv object = jvx_parse(answer->body, answer->body_len, &ignored);
	bool is_free;
	cleanup_free char *whose = foreign_words(&op->cluster->own, object, &is_free);
	cleanup_free char *why =
		xasprintf("%s%s", whose, is_free ? " (--adopt takes such objects over)" : "");

	op->row->conflicts = 0;
	if (is_free && op->cluster->adopt && !op->delete)
		adopt(op, l);
	else
		finish(op, PLAN_FOREIGN, why);
}

static void on_looked(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;
	struct row *row = op->row;
	struct live l;

	op->call = NULL;
	if (answer->status.verdict == KUBE_NOT_FOUND) {
		cluster_answers(op->cluster);
		row_gone(row, NULL);
		finish(op, PLAN_DECIDE, NULL);
		return;
	}
	if (answer->status.verdict != KUBE_OK) {
		op_fail(op, &answer->status);
		return;
	}
	cluster_answers(op->cluster);
	if (!read_answer(op, answer, &l)) {
		finish(op, PLAN_RETRY, "the API server's answer cannot be read");
		return;
	}
	if (!l.ours) {
		found_foreign(op, answer, &l);
		live_release(&l);
	} else if (l.dying) {
		row_take(row, &l, true);
		finish(op, PLAN_RETRY, CLUSTER_DYING);
	} else {
		row_take(row, &l, true);
		finish(op, PLAN_DECIDE, NULL);
	}
}

static void look(struct op *op)
{
	op_send(op, NULL, "", NULL, NULL, on_looked);
}

/* Writing. */

static void fields_of_others(struct op *op, const char *fields)
{
	cleanup_free char *why =
		xasprintf("it cannot be taken over: %s (--force-conflicts takes them)", fields);

	finish(op, PLAN_FOREIGN, why);
}

void op_not_written(struct op *op, const struct kube_answer *answer)
{
	cleanup_free char *fields = answer->status.verdict == KUBE_CONFLICT
					    ? foreign_fields(answer->body, answer->body_len)
					    : NULL;

	/* What is there has to be looked at anew. */
	free(TAKE(op->seen.uid));
	free(TAKE(op->seen.version));
	op->adopted = false;
	if (fields != NULL)
		fields_of_others(op, fields);
	else
		op_fail(op, &answer->status);
}

static void on_written(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;
	struct row *row = op->row;
	struct live l;
	bool changed;

	op->call = NULL;
	if (answer->status.verdict != KUBE_OK) {
		op_not_written(op, answer);
		return;
	}
	free(TAKE(op->seen.uid));
	free(TAKE(op->seen.version));
	op_well(op);
	if (!read_answer(op, answer, &l)) {
		finish(op, PLAN_RETRY, "the API server's answer cannot be read");
		return;
	}
	if (l.dying) {
		row_take(row, &l, true);
		finish(op, PLAN_RETRY, CLUSTER_DYING);
		return;
	}
	row->place->uncounted = l.generation == 0;
	/* The words that were sent are for the last answer only. */
	if (l.generation != op->generation && op->corrections++ < MAX_CORRECTIONS) {
		free(row->uid);
		row->uid = TAKE(l.uid);
		row->generation = l.generation;
		row->spec_hash = op->spec_hash;
		live_release(&l);
		if (cluster_may_write(op->cluster))
			send_write(op);
		else
			finish(op, PLAN_DECIDE, NULL);
		return;
	}
	changed = row_written(row, &l, op);
	live_release(&l);
	finish(op, op->adopted ? PLAN_ADOPTED : changed ? PLAN_OK : PLAN_SAME, NULL);
}

/* An object of ours is forced to be what it should; one that is nobody's only if it is asked for. */
static char *write_query(const struct op *op)
{
	bool force = op->seen.uid == NULL || op->cluster->force_conflicts;

	return xasprintf("?fieldManager=%s&force=%s&fieldValidation=Strict%s",
		op->cluster->own.manager, force ? "true" : "false",
		op_is_rehearsal(op) ? "&dryRun=All" : "");
}

static void send_write(struct op *op)
{
	const struct row *row = op->row;
	cleanup_id struct object_id id = row_id(row);
	struct ownership_write w = {
		.id = &id,
		.body = op->desired,
		.hash = op->hash,
		.source = op->source,
		.key = op->key,
		.uid = row->exists || op->corrections > 0 ? row->uid : NULL,
		.counted = !row->place->uncounted,
		.generation = row->generation,
		.spec_hash = row->spec_hash,
	};
	cleanup_free char *query = write_query(op);
	struct ownership_text text;
	struct err err = ERR_INIT;

	if (op->seen.uid != NULL) {
		w.uid = op->seen.uid;
		w.version = op->seen.version;
		w.generation = op->seen.generation;
		w.spec_hash = 0;
	}
	if (ownership_compose(&op->cluster->own, &w, &text, &err) < 0) {
		finish(op, PLAN_REFUSED, err.msg);
		return;
	}
	word_hashes_release(&op->words);
	op->words = text.words;
	op->spec_hash = text.spec_hash;
	op->generation = text.generation;
	op_send(op, "PATCH", query, text.body, KUBE_APPLY_PATCH,
		op_is_rehearsal(op) ? op_on_rehearsed : on_written);
	free(text.body);
}

struct op *op_open(struct row *row, const struct plan_op *what)
{
	struct cluster *c = row->place->cluster;
	struct op *op = xcalloc(1, sizeof(*op));

	op->cluster = c;
	op->row = row;
	op->object = what->object;
	op->delete = what->delete;
	op->api_version = xstrdup(what->api_version);
	op->source = xstrdup(what->source);
	op->key = xstrdup(what->key);
	op->desired = what->body != NULL ? xstrdup(what->body) : NULL;
	op->hash = what->hash;
	op->next = c->ops;
	if (op->next != NULL)
		op->next->prev = op;
	c->ops = op;
	c->in_flight++;
	row->op = op;
	return op;
}

void op_start(struct row *row, const struct plan_op *what)
{
	struct op *op = op_open(row, what);
	const char *kept = op->delete ? op_why_kept(row) : NULL;

	/* What was only rehearsed is not there. */
	if (op->delete &&op_is_rehearsal(op) && !row->exists)
		finish(op, PLAN_OK, NULL);
	else if (kept != NULL)
		finish(op, PLAN_FOREIGN, kept);
	else if (op->delete &&op->cluster->use == TARGET_COMPARE)
		op_compare(op);
	else if (op->delete)
		op_delete(op);
	else
		send_write(op);
}

void op_abandon_all(struct cluster *c)
{
	while (c->ops != NULL) {
		kube_cancel(TAKE(c->ops->call));
		finish(c->ops, PLAN_DECIDE, NULL);
	}
}

void op_drop_all(struct cluster *c)
{
	while (c->ops != NULL) {
		struct op *op = c->ops;

		kube_cancel(op->call);
		op_unlink(op);
		op_free(op);
	}
}
