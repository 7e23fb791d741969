/*
 * What the records are about: the name of the source and its scope; and whether
 * the server takes what was asked for, before anything is read.
 */

#include <string.h>

#include "consul-watch/state.h"
#include "lib/buf.h"
#include "lib/log.h"

/* More than a command line holds. */
#define MAX_SCOPE_BYTES	 (16u << 20)
#define MAX_NAMES_BYTES	 512
#define SELF_PATH	 "/v1/agent/self"
#define DATACENTERS_PATH "/v1/catalog/datacenters"
#define TRIAL_PATH	 "/v1/health/service/consul"

/* Says what the records are about, without an address: it must not change when the agent does. */
static int add_words(struct buf *scope, const char *what, const char *name)
{
	return name != NULL ? buf_addf(scope, ", %s %s", what, name) : 0;
}

static char *describe_scope(const struct watch *w, const char *datacenter)
{
	cleanup_buf struct buf scope;
	int rc;

	buf_init(&scope, MAX_SCOPE_BYTES);
	rc = buf_addf(
		&scope, "consul datacenter %s", datacenter != NULL ? datacenter : "of the agent");
	if (rc == 0)
		rc = add_words(&scope, "namespace", w->config.catalog.namespace);
	if (rc == 0)
		rc = add_words(&scope, "partition", w->config.catalog.partition);
	if (rc == 0)
		rc = add_words(&scope, "peer", w->config.catalog.peer);
	/* What does not fit is of no use for telling two scopes apart. */
	if (rc == 0 && selection_describe(w->config.selection, &scope) < 0)
		log_warn("the scope is too long, it is cut off");
	return xstrdup(buf_str(&scope));
}

/* "dc1", and what else was named of it: "dc1/partition/namespace/peer". */
static char *source_name(const struct watch *w, const char *datacenter)
{
	const struct consul_catalog *c = &w->config.catalog;
	const char *parts[] = { c->partition, c->namespace, c->peer };
	char *name = xstrdup(w->config.source != NULL ? w->config.source : datacenter);

	for (size_t i = 0; i < ARRAY_SIZE(parts) && w->config.source == NULL; i++) {
		cleanup_free char *shorter = name;

		name = parts[i] != NULL ? xasprintf("%s/%s", shorter, parts[i]) : TAKE(shorter);
	}
	return name;
}

/* NULL when --source stands in for the datacenter. */
static void name_source(struct watch *w, const char *datacenter)
{
	cleanup_free char *source = source_name(w, datacenter);
	cleanup_jv jv text = jv_dump_string(jv_string(source), 0);

	w->source = TAKE(source);
	w->source_json = xstrdup(jv_string_value(text));
	w->scope = describe_scope(w, datacenter);
}

static void ask(struct watch *w, struct consul_query *query)
{
	query->unindexed = true;
	query->arg = w;
	if (watch_ask(w, query) == 0)
		w->list_running = true;
	else
		watch_later(w, backoff_next_ms(&w->backoff));
}

static void ask_datacenters(
	struct watch *w, void (*on_answer)(void *, const struct consul_answer *))
{
	struct consul_query query = {
		.path = DATACENTERS_PATH, .consistency = CONSUL_DEFAULT, .on_answer = on_answer
	};

	ask(w, &query);
}

static void on_only_datacenter(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	struct consul_answer bad = *answer;

	w->list_running = false;
	if (answer->outcome == CONSUL_OK && jvx_length(answer->body) == 1) {
		cleanup_jv jv only = jvx_at(answer->body, 0);

		name_source(w, jvx_str(only, "dc1"));
		watch_find_source(w);
		return;
	}
	if (answer->outcome == CONSUL_OK && w->config.source != NULL) {
		name_source(w, NULL);
		watch_find_source(w);
		return;
	}
	if (answer->outcome == CONSUL_OK) {
		bad.outcome = CONSUL_REFUSED;
		snprintf(bad.error, sizeof(bad.error),
			"the token may not read which of the datacenters this is (agent:read); "
			"name it with --datacenter");
	}
	watch_lose(w, &bad);
}

static void on_self(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	cleanup_jv jv config = jvx_get(answer->body, "Config");
	cleanup_free char *datacenter = jvx_dup_field(config, "Datacenter");

	w->list_running = false;
	if (datacenter != NULL) {
		name_source(w, datacenter);
		watch_find_source(w);
	} else if (answer->outcome == CONSUL_UNREACHABLE) {
		watch_lose(w, answer);
	} else {
		/* Needs no token; tells only when there is one. */
		ask_datacenters(w, on_only_datacenter);
	}
}

static void ask_self(struct watch *w)
{
	struct consul_query query = {
		.path = SELF_PATH, .consistency = CONSUL_DEFAULT, .on_answer = on_self
	};

	ask(w, &query);
}

static bool is_one_of(jv names, const char *name)
{
	bool found = false;

	for (int i = 0; i < jvx_length(names) && !found; i++) {
		cleanup_jv jv one = jvx_at(names, i);

		found = strcmp(jvx_str(one, ""), name) == 0;
	}
	return found;
}

/* It would look like an outage for ever: 500, "No path to datacenter". */
static void end_unknown_datacenter(struct watch *w, jv known)
{
	struct err err = ERR_INIT;
	cleanup_buf struct buf names;

	buf_init(&names, MAX_NAMES_BYTES);
	for (int i = 0; i < jvx_length(known); i++) {
		cleanup_jv jv one = jvx_at(known, i);

		if (buf_addf(&names, "%s'%s'", i > 0 ? ", " : "", jvx_str(one, "")) < 0)
			break;
	}
	err_set(&err, EXIT_CONFIG,
		"option '--datacenter': consul at '%s' knows no datacenter '%s', only %s",
		consul_address(w->consul), w->config.catalog.datacenter, buf_str(&names));
	watch_end(w, &err);
}

static void on_datacenters(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	struct consul_answer bad = *answer;

	w->list_running = false;
	if (is_one_of(answer->body, w->config.catalog.datacenter)) {
		w->datacenter_known = true;
		watch_find_source(w);
		return;
	}
	if (answer->outcome == CONSUL_OK && jvx_length(answer->body) > 0) {
		end_unknown_datacenter(w, answer->body);
		return;
	}
	if (answer->outcome == CONSUL_OK) {
		bad.outcome = CONSUL_FAILED;
		snprintf(bad.error, sizeof(bad.error), "consul names no datacenter at all");
	}
	watch_lose(w, &bad);
}

/* A status of 500, as for an outage (1.8.7 and 1.20.5): only the text tells. */
static bool is_refusal(const struct consul_answer *answer)
{
	return (answer->outcome == CONSUL_FAILED || answer->outcome == CONSUL_IMPOSSIBLE) &&
	       strstr(answer->error, "boolean expression") != NULL;
}

/*
 * Consul before 1.13 knows no peers, before 1.11 no partitions, and ignores both
 * without a word: the answer would be of the local catalogue. Newer ones say in
 * each entry what it belongs to.
 */
static const char *find_ignored(const struct watch *w, jv entries)
{
	const struct consul_catalog *c = &w->config.catalog;

	for (int i = 0; i < jvx_length(entries); i++) {
		cleanup_jv jv entry = jvx_at(entries, i);
		cleanup_jv jv service = jvx_get(entry, "Service");

		if (c->peer != NULL && !jvx_field_is(service, "PeerName", c->peer))
			return "--peer";
		if (c->partition != NULL && !jvx_field_is(service, "Partition", c->partition))
			return "--partition";
	}
	return NULL;
}

static void on_trial(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	const char *filter = selection_filter(w->config.selection), *ignored;
	struct err err = ERR_INIT;

	w->list_running = false;
	ignored = find_ignored(w, answer->body);
	if (ignored != NULL)
		err_set(&err, EXIT_CONFIG, "option '%s': consul at '%s' does not know what that is",
			ignored, consul_address(w->consul));
	else if (is_refusal(answer) && filter != NULL)
		err_set(&err, EXIT_CONFIG, "option '--filter': consul at '%s' refuses '%.200s': %s",
			consul_address(w->consul), filter, answer->error);
	else if (answer->outcome == CONSUL_IMPOSSIBLE && str_starts(answer->error, "HTTP 400"))
		err_set(&err, EXIT_CONFIG,
			"consul at '%s' refuses the namespace, partition or peer: %s",
			consul_address(w->consul), answer->error);
	else if (answer->outcome != CONSUL_OK)
		watch_lose(w, answer);
	else
		w->tried = true;
	if (err.msg[0] != '\0')
		watch_end(w, &err);
	else if (w->tried)
		watch_find_source(w);
}

/* What is wrong with the options shows with any service. */
static void try_options(struct watch *w)
{
	struct consul_query query = { .path = TRIAL_PATH,
		.filter = selection_filter(w->config.selection),
		.consistency = CONSUL_STALE,
		.on_answer = on_trial };

	ask(w, &query);
}

static bool needs_trial(const struct watch *w)
{
	const struct consul_catalog *c = &w->config.catalog;

	return selection_filter(w->config.selection) != NULL || c->namespace != NULL ||
	       c->partition != NULL || c->peer != NULL;
}

void watch_find_source(struct watch *w)
{
	const char *datacenter = w->config.catalog.datacenter;

	if (w->list_running)
		return;
	if (w->source == NULL && datacenter != NULL)
		name_source(w, datacenter);
	if (datacenter != NULL && !w->datacenter_known) {
		ask_datacenters(w, on_datacenters);
	} else if (w->source == NULL) {
		ask_self(w);
	} else if (needs_trial(w) && !w->tried) {
		try_options(w);
	} else {
		w->begun = true;
		backoff_reset(&w->backoff);
		watch_later(w, 0);
	}
}
