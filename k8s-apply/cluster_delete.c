/* A deletion: of that very object, in the state that we know. */

#include "k8s-apply/cluster_state.h"
#include "lib/canon.h"

#define MAX_BYTES 1024

/* What a portal in between says to a DELETE is no deletion. */
static bool is_object(const struct kube_answer *answer)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv object = jvx_parse(answer->body, answer->body_len, &ignored);
	cleanup_jv jv kind = jvx_get(object, "kind");

	return jvx_str(kind, NULL) != NULL;
}

static void on_deleted(void *arg, const struct kube_answer *answer)
{
	struct op *op = arg;
	struct row *row = op->row;

	op->call = NULL;
	if (answer->status.verdict != KUBE_OK && answer->status.verdict != KUBE_NOT_FOUND) {
		op_fail(op, &answer->status);
		return;
	}
	if (answer->status.verdict == KUBE_OK && !is_object(answer)) {
		op_finish(op, PLAN_RETRY, "the API server's answer cannot be read");
		return;
	}
	op_well(op);
	if (op_is_rehearsal(op)) {
		op_finish(op, PLAN_OK, NULL);
		return;
	}
	/* With a finalizer on it it is still there, and going; the watch will say so. */
	row->exists = row->in_sync = false;
	cluster_hosts_gone(row);
	op_finish(op, PLAN_OK, NULL);
}

const char *op_why_kept(const struct row *row)
{
	/* By its mark it is ours, but somebody has taken it out of the set. */
	if (!row->labelled)
		return "the label of the set was taken from it";
	return row->has_owner ? "it has an owner of its own (ownerReferences)" : NULL;
}

void op_delete(struct op *op)
{
	const struct row *row = op->row;
	cleanup_jv jv preconditions = jv_object();
	cleanup_jv jv body = jv_object();
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;

	buf_init(&text, MAX_BYTES);
	jvx_set_str(&preconditions, "uid", row->uid);
	jvx_set_str(&preconditions, "resourceVersion", row->version);
	jvx_set_str(&body, "apiVersion", "v1");
	jvx_set_str(&body, "kind", "DeleteOptions");
	jvx_set_str(&body, "propagationPolicy", "Background");
	jvx_set(&body, "preconditions", jvx_take(&preconditions));
	/* Of a request with a body the API server does not look at the query. */
	if (op_is_rehearsal(op))
		jvx_set(&body, "dryRun", jv_array_append(jv_array(), jv_string("All")));
	if (canon_write(body, &text, &err) < 0)
		op_finish(op, PLAN_REFUSED, err.msg);
	else
		op_send(op, "DELETE", "", text.data, NULL, on_deleted);
}
