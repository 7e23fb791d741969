#include "mesh-map/slot.h"

#include <string.h>

static void on_ready(uv_poll_t *poll, int status, int events);

void slot_init(struct slot *s, uv_loop_t *loop, const struct slot_handler *handler,
	const struct worker_limits *limits)
{
	*s = (struct slot){ .loop = loop, .handler = handler, .limits = limits };
	s->worker.fd = -1;
}

static void watch(struct slot *s)
{
	int writes = s->n_sent < s->n_items ? UV_WRITABLE : 0;

	uv_poll_start(s->poll, UV_READABLE | writes, on_ready);
}

int slot_start(struct slot *s, struct mapping *m, struct err *err)
{
	if (worker_start(&s->worker, m, s->limits, err) < 0)
		return -1;
	s->poll = xcalloc(1, sizeof(*s->poll));
	s->poll->data = s;
	s->old = false;
	uv_poll_init(s->loop, s->poll, s->worker.fd);
	watch(s);
	return 0;
}

bool slot_is_up(const struct slot *s)
{
	return s->poll != NULL;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void queue_again(struct item *item)
{
	if (item == NULL)
		return;
	item->state = ITEM_QUEUED;
	item->in_hand_ms = 0;
}

static void end(struct slot *s, char **ret_why)
{
	for (unsigned i = 0; i < s->n_items; i++)
		queue_again(s->item[i]);
	s->n_items = s->n_sent = 0;
	s->offset = s->bytes = 0;
	if (s->poll == NULL)
		return;
	uv_close((uv_handle_t *)s->poll, free_handle);
	s->poll = NULL;
	worker_end(&s->worker, s->limits, ret_why);
}

void slot_end(struct slot *s)
{
	end(s, NULL);
}

void slot_retire(struct slot *s)
{
	s->old = true;
	if (s->n_items == 0)
		end(s, NULL);
}

/* The worker ended by itself, or for `why`. One that only had enough is nobody's fault. */
static void gone(struct slot *s, const char *why)
{
	struct item *item = s->n_items > 0 ? s->item[0] : NULL;
	cleanup_free char *cause = NULL;

	end(s, &cause);
	if (why == NULL)
		why = cause;
	s->handler->on_gone(s->handler->arg, s, why != NULL ? item : NULL, why);
}

static void take_in_hand(struct slot *s)
{
	s->began_cpu_ms = worker_cpu_ms(&s->worker);
	if (s->item[0] != NULL)
		s->item[0]->in_hand_ms = steady_ms();
}

/* False when the worker is gone. */
static bool send_items(struct slot *s)
{
	while (s->n_sent < s->n_items) {
		struct item *item = s->item[s->n_sent];

		if (worker_send(&s->worker, item->text, item->len, &s->offset) < 0)
			return false;
		if (s->offset != WORKER_SENT)
			break;
		s->offset = 0;
		s->n_sent++;
	}
	watch(s);
	return true;
}

bool slot_has_room(const struct slot *s, size_t len)
{
	return s->poll != NULL && !s->old && s->n_items < SLOT_MAX_ITEMS &&
	       (s->n_items == 0 || s->bytes + len <= SLOT_MAX_BYTES);
}

static bool is_of(const struct item *item, uint64_t hash, const char *subject)
{
	return item != NULL && item->hash == hash && strcmp(item->subject, subject) == 0;
}

bool slot_has(const struct slot *s, uint64_t hash, const char *subject)
{
	for (unsigned i = 0; i < s->n_items; i++)
		if (is_of(s->item[i], hash, subject))
			return true;
	return false;
}

bool slot_is_late(const struct slot *s)
{
	return s->n_items > 0 && s->item[0] != NULL && item_is_late(s->item[0]);
}

/* What the worker has been sent it will answer: to nobody, when the line is another's by then. */
void slot_take_back(struct slot *s)
{
	unsigned n = 1, part = s->offset > 0 ? s->n_sent : s->n_items;

	if (s->n_items == 0 || s->item[0] == NULL)
		return;
	for (unsigned i = 1; i < s->n_items; i++) {
		struct item *item = s->item[i];

		if (item != NULL && i != part &&
			!is_of(item, s->item[0]->hash, s->item[0]->subject)) {
			s->bytes -= item->len;
			queue_again(item);
			item = NULL;
		}
		if (i < s->n_sent || item != NULL)
			s->item[n++] = item;
	}
	s->n_items = n;
}

void slot_give(struct slot *s, struct item *item)
{
	item->state = ITEM_GIVEN;
	s->item[s->n_items++] = item;
	s->bytes += item->len;
	if (s->n_items == 1)
		take_in_hand(s);
	/* A worker that is gone shows as such at the next turn of the loop. */
	if (!send_items(s))
		watch(s);
}

static void hand_out(struct slot *s, const struct answer *answer)
{
	struct item *item = s->item[0];

	s->n_items--;
	s->n_sent--;
	memmove(s->item, s->item + 1, s->n_items * sizeof(struct item *));
	if (s->n_items > 0)
		take_in_hand(s);
	if (item == NULL)
		return;
	s->bytes -= item->len;
	item->in_hand_ms = 0;
	s->handler->on_answer(s->handler->arg, s, item, answer);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct slot *s = poll->data;
	struct answer answer;
	bool up = worker_read(&s->worker);

	if ((events & UV_WRITABLE) != 0 && status == 0)
		up = send_items(s) && up;
	while (s->poll == poll && s->n_sent > 0 && worker_answer(&s->worker, &answer))
		hand_out(s, &answer);
	if (s->poll != poll)
		return;
	if (!up)
		gone(s, NULL);
	else if (s->old && s->n_items == 0)
		gone(s, "");
}

/* The limit is for a record of common size: one that is much larger may take as much longer. */
static int64_t limit_ms(const struct slot *s)
{
	size_t len = s->item[0] != NULL ? s->item[0]->len : 0;

	return s->limits->timeout_ms * (int64_t)(1 + len / SLOT_COMMON_BYTES);
}

void slot_check(struct slot *s, int part)
{
	cleanup_free char *why = NULL;

	if (s->n_items == 0 || s->limits->timeout_ms == 0 ||
		worker_cpu_ms(&s->worker) - s->began_cpu_ms < limit_ms(s) / part)
		return;
	why = xasprintf("it did not end within %lld ms of processor time (--timeout)",
		(long long)limit_ms(s) / part);
	gone(s, why);
}
