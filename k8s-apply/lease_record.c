#include "k8s-apply/lease_record.h"

#include <string.h>
#include <time.h>

#define API_VERSION "coordination.k8s.io/v1"

#define MAX_RECORD_BYTES (1u << 20)

struct lease_record {
	struct kube *kube;
	char *identity;
	char *all_path, *path; /* of the namespace's leases, and of this one */
	const struct lease_times *times;
	struct lease_record_handler handler;

	jv blank;	    /* what is created */
	jv seen;	    /* invalid: not known */
	int64_t changed_ms; /* when it was first seen as it is */

	struct kube_call *call;
	void (*on_done)(void *arg, const struct kube_status *status);
	bool writing;
	int64_t asked_ms;
};

/* The object. */

static jv blank_record(const char *namespace, const char *name)
{
	jv record = jv_object(), metadata = jv_object();

	jvx_set_str(&metadata, "namespace", namespace);
	jvx_set_str(&metadata, "name", name);
	jvx_set_str(&record, "apiVersion", API_VERSION);
	jvx_set_str(&record, "kind", "Lease");
	jvx_set(&record, "metadata", metadata);
	return record;
}

/* Invalid when it has no version: a PUT without one would overwrite whatever is there. */
static jv parse_record(const char *text, size_t len)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv record = jvx_parse(text, len, &ignored);
	cleanup_jv jv metadata = jvx_get(record, "metadata");
	cleanup_jv jv version = jvx_get(metadata, "resourceVersion");

	return *jvx_str(version, "") != '\0' ? jvx_take(&record) : jv_invalid();
}

static jv spec_of(jv record)
{
	cleanup_jv jv spec = jvx_get(record, "spec");

	return jvx_is(spec, JV_KIND_OBJECT) ? jvx_take(&spec) : jv_object();
}

/* A MicroTime. */
static void set_time(jv *spec, const char *key)
{
	int64_t now = wall_ms();
	time_t seconds = (time_t)(now / 1000);
	char day[32], text[48];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03d000Z", day, (int)(now % 1000));
	jvx_set_str(spec, key, text);
}

static void set_holder(jv *spec, const char *holder, int64_t lease_s)
{
	jvx_set_str(spec, "holderIdentity", holder);
	jvx_set(spec, "leaseDurationSeconds", jv_number((double)lease_s));
	set_time(spec, "renewTime");
}

static void set_acquired(jv *spec, const char *holder)
{
	double transitions = jvx_num_field(*spec, "leaseTransitions", -1);

	if (!jvx_field_is(*spec, "holderIdentity", holder))
		jvx_set(spec, "leaseTransitions", jv_number(transitions + 1));
	set_time(spec, "acquireTime");
}

/* What was seen. */

static void forget(struct lease_record *r)
{
	jv_free(r->seen);
	r->seen = jv_invalid();
}

static bool learn(struct lease_record *r, const char *text, size_t len)
{
	jv record = parse_record(text, len);

	if (!jv_equal(jv_copy(record), jv_copy(r->seen)))
		r->changed_ms = r->times->now_ms();
	forget(r);
	r->seen = record;
	return lease_record_is_known(r);
}

bool lease_record_is_known(const struct lease_record *r)
{
	return jvx_is(r->seen, JV_KIND_OBJECT);
}

char *lease_record_holder(const struct lease_record *r)
{
	cleanup_jv jv spec = spec_of(r->seen);
	cleanup_jv jv holder = jvx_get(spec, "holderIdentity");

	return xstrdup(jvx_str(holder, ""));
}

int64_t lease_record_left_ms(const struct lease_record *r, int64_t limit_ms)
{
	cleanup_jv jv spec = spec_of(r->seen);
	double seconds = jvx_num_field(spec, "leaseDurationSeconds", 0), left_ms;

	if (!(seconds > 0))
		seconds = (double)r->times->lease_s;
	left_ms = seconds * 1000 - (double)(r->times->now_ms() - r->changed_ms);
	if (left_ms <= 0)
		return 0;
	return left_ms < (double)limit_ms ? (int64_t)left_ms : limit_ms;
}

bool lease_record_has_expired(const struct lease_record *r)
{
	return lease_record_left_ms(r, 1) == 0;
}

/* Requests. */

static void on_answer(void *arg, const struct kube_answer *answer)
{
	struct lease_record *r = arg;
	struct kube_status status = answer->status;

	r->call = NULL;
	if (status.verdict == KUBE_OK && !learn(r, answer->body, answer->body_len))
		status = (struct kube_status){
			.verdict = KUBE_ERROR,
			.why = "what the server has sent is not a Lease",
		};
	if (status.verdict == KUBE_NOT_FOUND || status.verdict == KUBE_CONFLICT)
		forget(r);
	r->on_done(r->handler.arg, &status);
}

static void ask(struct lease_record *r, struct kube_request *request)
{
	request->lane = KUBE_LANE_LEASE;
	request->max_body = MAX_RECORD_BYTES;
	request->on_answer = on_answer;
	request->arg = r;
	r->writing = request->body != NULL;
	r->asked_ms = r->times->now_ms();
	r->call = kube_send(r->kube, request);
}

static char *text_with(const struct lease_record *r, jv spec)
{
	cleanup_jv jv record = jv_copy(lease_record_is_known(r) ? r->seen : r->blank);

	jvx_set(&record, "spec", jv_copy(spec));
	return jvx_dump(record);
}

static void write_spec(struct lease_record *r, jv spec, int64_t timeout_ms)
{
	bool exists = lease_record_is_known(r);
	cleanup_free char *body = text_with(r, spec);
	struct kube_request request = {
		.method = exists ? "PUT" : "POST",
		.path = exists ? r->path : r->all_path,
		.body = body,
		.timeout_ms = (long)timeout_ms,
	};

	ask(r, &request);
}

void lease_record_read(struct lease_record *r)
{
	struct kube_request request = {
		.path = r->path,
		.timeout_ms = (long)r->times->request_ms,
	};

	r->on_done = r->handler.on_read;
	ask(r, &request);
}

void lease_record_take(struct lease_record *r)
{
	cleanup_jv jv spec = spec_of(r->seen);

	set_acquired(&spec, r->identity);
	set_holder(&spec, r->identity, r->times->lease_s);
	r->on_done = r->handler.on_written;
	write_spec(r, spec, r->times->request_ms);
}

void lease_record_renew(struct lease_record *r)
{
	cleanup_jv jv spec = spec_of(r->seen);

	set_holder(&spec, r->identity, r->times->lease_s);
	r->on_done = r->handler.on_written;
	write_spec(r, spec, r->times->request_ms);
}

/* As client-go does it: a duration of 0 is not valid. */
void lease_record_give_back(struct lease_record *r)
{
	cleanup_jv jv spec = spec_of(r->seen);

	set_holder(&spec, "", 1);
	r->on_done = r->handler.on_given_back;
	write_spec(r, spec, r->times->release_ms);
}

void lease_record_cancel(struct lease_record *r)
{
	kube_cancel(TAKE(r->call));
}

bool lease_record_is_being_written(const struct lease_record *r)
{
	return r->call != NULL && r->writing;
}

int64_t lease_record_asked_ms(const struct lease_record *r)
{
	return r->asked_ms;
}

struct lease_record *lease_record_open(struct kube *k, const char *namespace, const char *name,
	const char *identity, const struct lease_times *times,
	const struct lease_record_handler *handler)
{
	struct lease_record *r = xcalloc(1, sizeof(*r));

	r->kube = k;
	r->identity = xstrdup(identity);
	r->all_path = kube_path(API_VERSION, namespace, "leases", NULL);
	r->path = kube_path(API_VERSION, namespace, "leases", name);
	r->times = times;
	r->handler = *handler;
	r->blank = blank_record(namespace, name);
	r->seen = jv_invalid();
	return r;
}

void lease_record_close(struct lease_record *r)
{
	if (r == NULL)
		return;
	lease_record_cancel(r);
	jv_free(r->blank);
	jv_free(r->seen);
	free(r->identity);
	free(r->all_path);
	free(r->path);
	free(r);
}
