#include "k8s-apply/list_items.h"
#include "k8s-apply/reflector_state.h"

/* 30 pages for 60,000 objects; a page of metadata is about 2 MB. */
#define PAGE_OBJECTS   2000
#define MAX_PAGE_BYTES (64u << 20)

/* What came of it before an error is true all the same: nothing is gone by not being in it. */
static int take_items(struct reflector *r, struct list_items *items, struct err *err)
{
	int rc = 0;

	while (!r->closing) {
		cleanup_jv jv item = jv_invalid();

		rc = list_items_next(items, &item, err);
		if (rc <= 0)
			break;
		r->handler.on_object(r->handler.arg, item, true);
	}
	return rc;
}

static bool take_page(struct reflector *r, const char *text, size_t len)
{
	struct list_items items;
	struct err err = ERR_INIT;
	cleanup_jv jv list = jv_invalid();
	cleanup_jv jv metadata = jv_invalid();
	char *next;

	if (!list_items_open(&items, text, len) || take_items(r, &items, &err) < 0)
		return false;
	if (r->closing)
		return true;
	list = list_items_rest(&items, &err);
	metadata = jvx_get(list, "metadata");
	next = jvx_dup_field(metadata, "continue");
	free(r->continues);
	r->continues = next != NULL && *next != '\0' ? TAKE(next) : NULL;
	free(next);
	if (r->continues != NULL)
		return true;
	free(r->version);
	r->version = jvx_dup_field(metadata, "resourceVersion");
	return r->version != NULL;
}

void reflector_listed(struct reflector *r)
{
	r->listed_ms = steady_ms();
	reflector_recovered(r);
	r->handler.on_listed(r->handler.arg);
}

static void on_page(void *arg, const struct kube_answer *answer)
{
	struct reflector *r = arg;
	struct kube_status status = answer->status;

	r->call = NULL;
	/* Of a list that has just begun that is no news, but a server that is not well. */
	if (status.verdict == KUBE_EXPIRED && r->continues == NULL)
		status.verdict = KUBE_LATER;
	if (status.verdict == KUBE_EXPIRED) {
		reflector_start_over(r);
		reflector_go_on_later(r, status.retry_after_ms);
		return;
	}
	if (status.verdict != KUBE_OK) {
		reflector_start_over(r);
		reflector_failed(r, &status);
		return;
	}
	if (!take_page(r, answer->body, answer->body_len)) {
		reflector_start_over(r);
		reflector_failed_as(r, "a list cannot be read");
		return;
	}
	if (r->closing)
		return;
	if (r->continues == NULL)
		reflector_listed(r);
	if (!r->closing)
		reflector_go_on(r);
}

void reflector_start_list(struct reflector *r)
{
	cleanup_free char *next = http_escape(r->continues != NULL ? r->continues : "");
	cleanup_free char *path = xasprintf("%s?limit=%d&%s%s%s", r->path, PAGE_OBJECTS,
		r->selector, *next != '\0' ? "&continue=" : "", next);
	const struct kube_request request = {
		.lane = KUBE_LANE_WATCH,
		.path = path,
		.accept = r->metadata_only ? KUBE_ACCEPT_METADATA_LIST : NULL,
		.max_body = MAX_PAGE_BYTES,
		.on_answer = on_page,
		.arg = r,
	};

	if (r->continues == NULL)
		r->handler.on_list(r->handler.arg);
	r->call = kube_send(r->kube, &request);
}
