/* What the records are about: the name of the source and its scope. */

#include <string.h>

#include "consul-watch/state.h"
#include "lib/buf.h"

/* More than a command line holds. */
#define MAX_SCOPE_BYTES	 (16u << 20)
#define SELF_PATH	 "/v1/agent/self"
#define DATACENTERS_PATH "/v1/catalog/datacenters"

/* Says what the records are about, without an address: it must not change when the agent does. */
static int add_words(struct buf *scope, const char *what, const char *name)
{
	return name != NULL ? buf_addf(scope, ", %s %s", what, name) : 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In quotes where it could be taken for two. */
static int add_pattern(struct buf *scope, const char *pattern)
{
	cleanup_jv jv quoted = jv_dump_string(jv_string(pattern), 0);
	bool bare = *pattern != '\0' && strpbrk(pattern, " \"\\") == NULL;

	return buf_addf(scope, " %s", bare ? pattern : jv_string_value(quoted));
}

static char *describe_scope(const struct watch *w, const char *datacenter)
{
	cleanup_buf struct buf scope;
	const struct opt_list *patterns = &w->config.services;
	cleanup_free const char **sorted = xcalloc(patterns->count, sizeof(*sorted));
	int rc;

	buf_init(&scope, MAX_SCOPE_BYTES);
	rc = buf_addf(
		&scope, "consul datacenter %s", datacenter != NULL ? datacenter : "of the agent");
	if (rc == 0)
		rc = add_words(&scope, "namespace", w->config.namespace);
	if (rc == 0)
		rc = add_words(&scope, "partition", w->config.partition);
	if (rc == 0)
		rc = buf_adds(&scope, patterns->count > 0 ? ", services" : ", all services");
	if (patterns->count > 0)
		memcpy(sorted, patterns->item, patterns->count * sizeof(*sorted));
	qsort(sorted, patterns->count, sizeof(*sorted), compare_texts);
	for (size_t i = 0; i < patterns->count && rc == 0; i++)
		rc = add_pattern(&scope, sorted[i]);
	return xstrdup(buf_str(&scope));
}

/* Everything follows from the name of the datacenter; NULL when --source stands in for it. */
static void begin(struct watch *w, const char *datacenter)
{
	const char *source = w->config.source != NULL ? w->config.source : datacenter;
	cleanup_jv jv text = jv_dump_string(jv_string(source), 0);

	w->source = xstrdup(source);
	w->source_json = xstrdup(jv_string_value(text));
	w->scope = describe_scope(w, datacenter);
	backoff_reset(&w->backoff);
	watch_later(w, 0);
}

static void on_datacenters(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	struct consul_answer bad = *answer;

	w->list_running = false;
	if (answer->outcome == CONSUL_OK && jvx_length(answer->body) == 1) {
		cleanup_jv jv only = jvx_at(answer->body, 0);

		begin(w, jvx_str(only, "dc1"));
		return;
	}
	if (answer->outcome == CONSUL_OK && w->config.source != NULL) {
		begin(w, NULL);
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

/* Needs no token; tells only when there is one. */
static void ask_datacenters(struct watch *w)
{
	if (watch_ask(w, DATACENTERS_PATH, 0, CONSUL_DEFAULT, on_datacenters) == 0)
		w->list_running = true;
	else
		watch_later(w, backoff_next_ms(&w->backoff));
}

static void on_self(void *arg, const struct consul_answer *answer)
{
	struct watch *w = arg;
	cleanup_jv jv config = jvx_get(answer->body, "Config");
	cleanup_free char *datacenter = jvx_dup_field(config, "Datacenter");

	w->list_running = false;
	if (datacenter != NULL)
		begin(w, datacenter);
	else if (answer->outcome == CONSUL_UNREACHABLE)
		watch_lose(w, answer);
	else
		ask_datacenters(w);
}

void watch_find_source(struct watch *w)
{
	if (w->config.datacenter != NULL)
		begin(w, w->config.datacenter);
	else if (!w->list_running && watch_ask(w, SELF_PATH, 0, CONSUL_DEFAULT, on_self) == 0)
		w->list_running = true;
}
