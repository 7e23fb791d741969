/*
 * Fewer instances than before, and neither the index nor the answer tells whether access control has
 * taken them away. A policy hides a service or a node, never one instance: where the node of a missing
 * one may still be read, the instance is gone. It was registered under another name, which does not
 * move the index of the old one, and ended there before anybody saw it.
 */

#include "consul-watch/state.h"
#include "lib/jvx.h"

#define NODES_PATH "/v1/catalog/nodes"

static void not_proven(struct service *s, const struct consul_answer *answer)
{
	s->fewer_asked = 0;
	take_hidden(s, answer);
}

static void on_nodes(void *arg, const struct consul_answer *answer)
{
	struct service *s = arg;

	s->comparing = s->watch->asking_nodes = false;
	if (s->dead) {
		service_reap(s);
		return;
	}
	if (s->fewer_asked == 0)
		return; /* settled meanwhile */
	if (answer->outcome != CONSUL_OK) {
		s->fewer_asked = 0;
		service_come_back(s, take_pause_ms(s, answer), true);
		return;
	}
	for (int i = 0; i < jvx_length(answer->body); i++) {
		cleanup_jv jv node = jvx_at(answer->body, i);
		cleanup_jv jv name = jvx_get(node, "Node");

		places_find_node(s, places_hash_node(jvx_str(name, "")));
	}
	if (places_missing(s) > 0) {
		not_proven(s, answer);
		return;
	}
	/* When the next read says it once more. */
	s->fewer_hash = s->fewer_asked;
	s->fewer_asked = 0;
	service_read(s);
}

bool fewer_is_proven(const struct service *s, const struct consul_answer *answer)
{
	return s->fewer_hash != 0 && answer->body_hash == s->fewer_hash;
}

void fewer_ask(struct service *s, const struct consul_answer *answer, jv instances)
{
	struct consul_query query = { .path = NODES_PATH,
		.consistency = CONSUL_CONSISTENT,
		.on_answer = on_nodes,
		.arg = s };
	struct watch *w = s->watch;

	if (s->comparing)
		return;
	s->fewer_hash = 0;
	/* What is not selected has no place, and of that nothing can be shown. One looks at a time. */
	if (w->asking_nodes || answer->body_hash == 0 ||
		places_miss(s, instances) != (size_t)(s->count - jvx_length(answer->body)) ||
		watch_ask(w, &query) < 0) {
		not_proven(s, answer);
		return;
	}
	s->comparing = w->asking_nodes = true;
	s->fewer_asked = answer->body_hash;
}
