#include <string.h>

#include "k8s-apply/cluster_state.h"

bool op_is_rehearsal(const struct op *op)
{
	return op->cluster->use == TARGET_DRY_RUN || op->cluster->use == TARGET_COMPARE;
}

static void tell_difference(struct op *op, const struct kube_answer *before)
{
	const struct target_handler *h = &op->cluster->target.handler;
	cleanup_id struct object_id id = row_id(op->row);
	struct err err = ERR_INIT;
	cleanup_jv jv old =
		before != NULL ? jvx_parse(before->body, before->body_len, &err) : jv_invalid();
	cleanup_jv jv new = op->rehearsed != NULL
				    ? jvx_parse(op->rehearsed, strlen(op->rehearsed), &err)
				    : jv_invalid();

	if (err.status != EXIT_OK) {
		op_finish(op, PLAN_RETRY, "the API server's answer cannot be read");
		return;
	}
	h->on_difference(h->arg, &id, old, new);
	op_finish(op, PLAN_OK, NULL);
}

static void on_compared(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;

	op->call = NULL;
	if (answer->status.verdict == KUBE_NOT_FOUND) {
		row_gone(op->row, NULL);
		op_finish(op, PLAN_DECIDE, NULL);
	} else if (answer->status.verdict != KUBE_OK) {
		op_fail(op, &answer->status);
	} else {
		op_well(op);
		tell_difference(op, answer);
	}
}

/* What is to go needs no dry run to be compared with nothing. */
void op_compare(struct op *op)
{
	if (op->row->exists || op->adopted)
		op_send(op, NULL, "", NULL, NULL, on_compared);
	else
		tell_difference(op, NULL);
}

void op_on_rehearsed(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;

	op->call = NULL;
	if (answer->status.verdict != KUBE_OK) {
		op_not_written(op, answer);
		return;
	}
	op_well(op);
	if (op->cluster->use == TARGET_COMPARE) {
		op->rehearsed = xstrndup(answer->body, answer->body_len);
		op_compare(op);
	} else {
		op_finish(op, PLAN_OK, NULL);
	}
}
