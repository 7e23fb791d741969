#include "k8s-apply/cluster_state.h"
#include "k8s-apply/foreign.h"

/* More than this many repairs, none of them longer than this after the one before: a fight. */
#define FIGHT_REPAIRS	5
#define FIGHT_WINDOW_MS (INT64_C(10) * 60 * 1000)

/* Of a fight, the pause before the next repair; it doubles. */
#define FIGHT_PAUSE_MS	   INT64_C(1000)
#define FIGHT_MAX_PAUSE_MS (INT64_C(10) * 60 * 1000)

static int64_t fight_pause_ms(const struct row *r)
{
	int64_t pause = FIGHT_PAUSE_MS;

	if (r->repairs <= FIGHT_REPAIRS)
		return 0;
	for (unsigned i = FIGHT_REPAIRS + 1; i < r->repairs && pause < FIGHT_MAX_PAUSE_MS; i++)
		pause *= 2;
	return pause < FIGHT_MAX_PAUSE_MS ? pause : FIGHT_MAX_PAUSE_MS;
}

int64_t row_fought_until_ms(const struct row *r)
{
	int64_t pause = fight_pause_ms(r);

	return pause > 0 ? r->repaired_ms + pause : 0;
}

void row_count_repair(struct row *r)
{
	int64_t now = steady_ms();

	/* It stayed right for so long after the last repair. */
	if (now - (r->repaired_ms + fight_pause_ms(r)) > FIGHT_WINDOW_MS) {
		r->repairs = 0;
		free(TAKE(r->rival));
	}
	r->repairs++;
	r->repaired_ms = now;
}

/* Who it is, for a person. */

static char *rival_words(const struct op *op, const struct kube_answer *answer)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv object = jvx_parse(answer->body, answer->body_len, &ignored);
	cleanup_free char *who = foreign_writer(&op->cluster->own, object);

	if (answer->status.verdict == KUBE_NOT_FOUND)
		return xstrdup("somebody deletes it");
	return who != NULL ? xasprintf("'%s' changes it back", who)
			   : xstrdup("somebody changes it back");
}

static char *why_left(const struct row *row)
{
	return xasprintf(
		"%s each time: it is left, and tried again after up to ten minutes", row->rival);
}

static void on_rival(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;
	struct row *row = op->row;
	cleanup_free char *why = NULL;

	op->call = NULL;
	if (answer->status.verdict != KUBE_OK && answer->status.verdict != KUBE_NOT_FOUND) {
		op_fail(op, &answer->status);
		return;
	}
	op_well(op);
	free(row->rival);
	row->rival = rival_words(op, answer);
	why = why_left(row);
	op_later(op, row_fought_until_ms(row), why);
}

void op_leave(struct row *row, const struct plan_op *what)
{
	const struct target_handler *h = &row->place->cluster->target.handler;
	cleanup_free char *why = NULL;

	if (row->rival == NULL) {
		op_send(op_open(row, what), NULL, "", NULL, NULL, on_rival);
		return;
	}
	why = why_left(row);
	h->on_later(h->arg, what->object, row_fought_until_ms(row), why);
}
