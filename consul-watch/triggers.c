/*
 * More services than connections: a few blocking queries on the whole catalogue
 * tell that something changed, and often where.
 *
 * Beside the list of services, which wakes for every change of a service itself
 * but names only those whose tags changed:
 *
 *   nodes               changes of nodes, named by their ModifyIndex
 *   critical, warning   checks that enter or leave these states, named; a few
 *                       bytes where state/any would be megabytes
 *   checks              every write of a check, unnamed, in two bytes: one that is
 *                       added or removed while it passes wakes nothing else
 *
 * What is named is read at once; what is not leads to a sweep (sweep.c). None of
 * these endpoints is ever served by a stream.
 */

#include <string.h>
#include <xxhash.h>

#include "consul-watch/state.h"
#include "lib/jvx.h"
#include "lib/log.h"

#define PACE_MS	   250 /* between the answers of one trigger, after a burst */
#define PACE_BURST 8

struct trigger_kind {
	const char *path, *filter;
	bool of_nodes;
};

static const struct trigger_kind kinds[TRIGGERS] = {
	{ "/v1/catalog/nodes", NULL, true },
	{ "/v1/health/state/critical", NULL, false },
	{ "/v1/health/state/warning", NULL, false },
	{ "/v1/health/state/any", "Node==\"__none__\"", false },
};

/* A node, or a check in this state. */
struct trigger_item {
	uint64_t key;	/* what it is */
	uint64_t value; /* how it is */
	uint64_t node;
	char *service; /* of a check of a service; else NULL */
};

static int compare_items(const void *a, const void *b)
{
	const struct trigger_item *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

static void items_free(struct trigger_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(items[i].service);
	free(items);
}

static struct trigger_item make_item(const struct trigger *t, jv entry)
{
	cleanup_jv jv node = jvx_get(entry, "Node"), id = jvx_get(entry, "CheckID");
	cleanup_jv jv service = jvx_get(entry, "ServiceName");
	struct trigger_item item = { .node = places_hash_node(jvx_str(node, "")) };
	cleanup_free char *key = NULL;

	if (t->kind->of_nodes) {
		item.key = item.node;
		item.value = (uint64_t)jvx_num_field(entry, "ModifyIndex", 0);
		return item;
	}
	key = xasprintf("%s\n%s\n%s", jvx_str(node, ""), jvx_str(id, ""), jvx_str(service, ""));
	item.key = XXH3_64bits(key, strlen(key));
	if (*jvx_str(service, "") != '\0')
		item.service = xstrdup(jvx_str(service, ""));
	return item;
}

static void read_named(struct watch *w, const struct trigger_item *item)
{
	struct service *s = item->service != NULL ? services_find(w, item->service) : NULL;

	if (s != NULL)
		service_read(s);
	else if (item->service == NULL)
		places_read_node(w, item->node);
}

/* Reads what is in one of the two only, or differs. False when nothing does. */
static bool read_differences(struct trigger *t, const struct trigger_item *now, size_t count)
{
	bool differs = false;
	size_t i = 0, k = 0;

	while (i < t->count || k < count) {
		int order = i == t->count ? 1
			    : k == count  ? -1
					  : compare_items(&t->items[i], &now[k]);

		if (order != 0 || t->items[i].value != now[k].value) {
			read_named(t->watch, order < 0 ? &t->items[i] : &now[k]);
			differs = true;
		}
		i += order <= 0;
		k += order >= 0;
	}
	return differs;
}

/* True when the answer named what changed. */
static bool take_items(struct trigger *t, jv body)
{
	size_t count = (size_t)jvx_length(body);
	struct trigger_item *items = xcalloc(count + 1, sizeof(*items));
	bool named;

	for (size_t i = 0; i < count; i++) {
		cleanup_jv jv entry = jvx_at(body, (int)i);

		items[i] = make_item(t, entry);
	}
	qsort(items, count, sizeof(*items), compare_items);
	named = read_differences(t, items, count);
	items_free(t->items, t->count);
	t->items = items;
	t->count = count;
	return named;
}

static void ask(struct trigger *t);

static void on_timer(uv_timer_t *timer)
{
	ask(timer->data);
}

static void again(struct trigger *t, int64_t pause_ms)
{
	uv_timer_start(&t->timer, on_timer, (uint64_t)pause_ms, 0);
}

/* Checks wake one of the others too where they are named: see the table above. */
static bool leads_to_a_sweep(const struct trigger *t, bool named)
{
	return !t->armed || t->kind->filter != NULL || (t->kind->of_nodes && !named);
}

static void take(struct trigger *t, const struct consul_answer *answer)
{
	uint64_t asked = t->index;
	bool named = jvx_is(answer->body, JV_KIND_ARRAY) && take_items(t, answer->body);

	if (answer->index > asked && leads_to_a_sweep(t, named))
		sweep_hint(t->watch);
	t->armed = true;
	/* Lower, or early with the same: a snapshot was restored. The list's query sees to that. */
	t->index = answer->index < asked || (answer->index == asked && answer->early)
			   ? 0
			   : answer->index;
	backoff_reset(&t->backoff);
}

static void on_answer(void *arg, const struct consul_answer *answer)
{
	struct trigger *t = arg;
	struct watch *w = t->watch;

	t->running = false;
	w->triggers_running--;
	if (w->closed || !w->sweeping)
		return;
	if (answer->outcome == CONSUL_OK) {
		take(t, answer);
		again(t, pace_take_ms(&t->pace, steady_ms()));
	} else {
		w->counters.errors++;
		t->index = 0;
		t->armed = false;
		if (answer->outcome != CONSUL_CROWDED && answer->outcome != CONSUL_LIMITED)
			list_confirm(w);
		again(t, watch_pause_ms(w, &t->backoff, answer));
	}
	reads_start(w);
}

/* The smallest budgets have no connection for them: services are swept all the time then. */
static bool fit(const struct watch *w)
{
	return watch_connections(w) >= 2 + TRIGGERS + 2;
}

static void ask(struct trigger *t)
{
	struct watch *w = t->watch;
	struct consul_query query = {
		.path = t->kind->path,
		.filter = t->kind->filter,
		.index = t->index,
		.consistency = w->config.consistency,
		.on_answer = on_answer,
		.arg = t,
	};

	if (t->running || !w->sweeping || !fit(w) || !watch_is_connected(w))
		return;
	if (watch_ask(w, &query) < 0) {
		again(t, backoff_next_ms(&t->backoff));
		return;
	}
	t->running = true;
	w->triggers_running++;
}

void triggers_start(struct watch *w)
{
	for (size_t i = 0; i < TRIGGERS; i++)
		ask(&w->triggers[i]);
}

bool triggers_stand(const struct watch *w)
{
	bool all = true;

	for (size_t i = 0; i < TRIGGERS; i++)
		all = all && w->triggers[i].armed;
	return all;
}

void triggers_forget(struct watch *w)
{
	for (size_t i = 0; i < TRIGGERS; i++) {
		w->triggers[i].index = 0;
		w->triggers[i].armed = false;
	}
}

void triggers_init(struct watch *w)
{
	for (size_t i = 0; i < TRIGGERS; i++) {
		struct trigger *t = &w->triggers[i];

		t->watch = w;
		t->kind = &kinds[i];
		t->pace = (struct pace){ .interval_us = PACE_MS * 1000, .burst = PACE_BURST };
		t->backoff = (struct backoff){ .min_ms = 250, .max_ms = 30000 };
	}
}

void triggers_release(struct watch *w)
{
	for (size_t i = 0; i < TRIGGERS; i++)
		items_free(w->triggers[i].items, w->triggers[i].count);
}
