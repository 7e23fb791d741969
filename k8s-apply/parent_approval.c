/*
 * The approval of deletions: an annotation of the ConfigMap, which is a person's. It counts once, and
 * is removed then. As long as that has not been seen the same text is the old one.
 */

#include <string.h>

#include "k8s-apply/parent_state.h"

#define APPROVAL_ANNOTATION "meshpipe.io/approve-deletes"

void parent_forget_approval(struct parent *p)
{
	free(TAKE(p->approval));
	free(TAKE(p->void_approval));
	free(TAKE(p->removed_in));
}

static bool is_void(const struct parent *p, const char *version)
{
	if (p->void_approval == NULL || p->approval == NULL ||
		strcmp(p->approval, p->void_approval) != 0)
		return false;
	return p->removed_in == NULL || !kube_is_newer(version, p->removed_in);
}

void parent_take_approval(struct parent *p, jv annotations, const char *version)
{
	free(p->approval);
	p->approval = jvx_dup_field(annotations, APPROVAL_ANNOTATION);
	if (is_void(p, version)) {
		free(TAKE(p->approval));
		return;
	}
	free(TAKE(p->void_approval));
	free(TAKE(p->removed_in));
}

int parent_approval(const struct parent *p, uint64_t *ret, struct err *err)
{
	/* It is for who writes the set to take. */
	if (p->approval == NULL || !p->handler.may_write(p->handler.arg))
		return 0;
	if (!parse_u64(p->approval, INT64_MAX, ret))
		return err_set(err, EXIT_CONFIG,
			"annotation '%s' of configmap '%s/%s' is no number", APPROVAL_ANNOTATION,
			p->own->namespace, p->own->set);
	return 1;
}

static void on_removed(void *arg, const struct kube_answer *answer)
{
	struct parent *p = arg;
	struct err ignored = ERR_INIT;
	cleanup_jv jv object = jvx_parse(answer->body, answer->body_len, &ignored);
	cleanup_jv jv metadata = jvx_get(object, "metadata");

	p->removing = NULL;
	if (answer->status.verdict == KUBE_OK) {
		/* NULL, which is not expected: what is seen next tells. */
		free(p->removed_in);
		p->removed_in = jvx_dup_field(metadata, "resourceVersion");
	} else if (answer->status.verdict != KUBE_NOT_FOUND && parent_may_write(p)) {
		p->handler.on_trouble(p->handler.arg, &answer->status);
		parent_save_later(p);
	}
}

void parent_remove_approval(struct parent *p)
{
	/* The annotation is the person's: an apply of ours would leave it there. */
	const struct kube_request request = {
		.lane = KUBE_LANE_WORK,
		.method = "PATCH",
		.path = p->path,
		.content_type = KUBE_MERGE_PATCH,
		.body = "{\"metadata\":{\"annotations\":{\"" APPROVAL_ANNOTATION "\":null}}}",
		.still = parent_may_write,
		.on_answer = on_removed,
		.arg = p,
	};

	if (p->void_approval != NULL && p->removed_in == NULL && p->removing == NULL &&
		parent_may_write(p))
		p->removing = kube_send(p->kube, &request);
}

void parent_drop_approval(struct parent *p)
{
	if (p->approval != NULL) {
		free(p->void_approval);
		free(TAKE(p->removed_in));
		p->void_approval = TAKE(p->approval);
	}
	parent_remove_approval(p);
}
