#include "k8s-apply/kube_status.h"

#include <string.h>

/* More than this is no wait but a refusal. */
#define MAX_RETRY_AFTER_S 300.0

bool kube_status_is_same(const struct kube_status *a, const struct kube_status *b)
{
	return a->verdict == b->verdict &&
	       (a->verdict == KUBE_LATER || strcmp(a->why, b->why) == 0);
}

static bool holds(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static bool has_cause(jv details, const char *reason)
{
	cleanup_jv jv causes = jvx_get(details, "causes");

	for (int i = 0; i < jvx_length(causes); i++) {
		cleanup_jv jv cause = jvx_at(causes, i);

		if (jvx_field_is(cause, "reason", reason))
			return true;
	}
	return false;
}

/* Only a Status that names what it misses speaks of an object; a server that starts answers
 * 404 in plain text for objects that are there. */
static enum kube_verdict judge_404(jv status, jv details)
{
	cleanup_jv jv name = jvx_get(details, "name");

	if (!jvx_field_is(status, "reason", "NotFound") || *jvx_str(name, "") == '\0')
		return KUBE_NOT_SERVED;
	return jvx_field_is(details, "kind", "namespaces") ? KUBE_NO_NAMESPACE : KUBE_NOT_FOUND;
}

/* The authorizer words it 'User "x" cannot patch resource "y" in API group "z"'; all else is
 * about the one object. */
static enum kube_verdict judge_403(jv details, const char *message)
{
	if (has_cause(details, "NamespaceTerminating"))
		return KUBE_NO_NAMESPACE;
	if (holds(message, "custom resource definition is terminating"))
		return KUBE_NOT_SERVED;
	return holds(message, "\" cannot ") && holds(message, " resource \"") ? KUBE_FORBIDDEN
									      : KUBE_DENIED;
}

static enum kube_verdict judge_500(const char *message)
{
	/* Errors of the body's schema: kubernetes/kubernetes#122480. */
	if (holds(message, "failed to create typed patch object") ||
		holds(message, "field not declared in schema") ||
		holds(message, "failed to create manager for existing fields"))
		return KUBE_INVALID;
	return KUBE_ERROR;
}

static enum kube_verdict judge(long code, jv status, const char *message)
{
	cleanup_jv jv details = jvx_get(status, "details");

	if (code >= 200 && code < 300)
		return KUBE_OK;
	switch (code) {
	case 401:
		return KUBE_UNAUTHORIZED;
	case 403:
		return judge_403(details, message);
	case 404:
		return judge_404(status, details);
	case 408:
	case 429:
	case 502:
	case 503:
		return KUBE_LATER;
	case 409:
		return holds(message, "resourcequotas") ? KUBE_ERROR : KUBE_CONFLICT;
	case 410:
		return KUBE_EXPIRED;
	case 422:
		/* The uid that we know is of an object that was replaced since. */
		return holds(message, "metadata.uid") ? KUBE_CONFLICT : KUBE_INVALID;
	case 500:
		return judge_500(message);
	case 504:
		/* Only an etcd that was put back in time makes this one. */
		return has_cause(details, "ResourceVersionTooLarge") ? KUBE_EXPIRED : KUBE_LATER;
	default:
		return code >= 500 ? KUBE_ERROR : KUBE_INVALID;
	}
}

/* In one line, without controls: several errors come in a line each. */
static void set_why(struct kube_status *ret, const char *text)
{
	size_t len = 0;

	while (*text != '\0' && len < sizeof(ret->why) - 1) {
		size_t blanks = strspn(text, " \r\n");

		if (blanks > 0 && memchr(text, '\n', blanks) != NULL) {
			text += blanks;
			if (*text != '\0')
				ret->why[len++] = ' ';
			continue;
		}
		ret->why[len++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
		text++;
	}
	ret->why[len] = '\0';
}

static int64_t retry_after_ms(double seconds)
{
	if (!(seconds > 0))
		return 0;
	return (int64_t)((seconds < MAX_RETRY_AFTER_S ? seconds : MAX_RETRY_AFTER_S) * 1000);
}

static void look_for_overload(long code, struct kube_status *ret)
{
	bool later = ret->verdict == KUBE_LATER;

	ret->turned_away = later && code == 429;
	ret->overload = later && (code == 408 || code == 429 || code == 503 || code == 504);
}

static long code_of(jv status)
{
	double code = jvx_num_field(status, "code", 500);

	return code >= 100 && code < 1000 ? (long)code : 500;
}

void kube_status_of_object(jv status, struct kube_status *ret)
{
	cleanup_jv jv message = jvx_get(status, "message");
	cleanup_jv jv details = jvx_get(status, "details");
	const char *text = jvx_str(message, "no reason given");
	long code = code_of(status);

	*ret = (struct kube_status){ .why = "" };
	ret->verdict = judge(code, status, text);
	look_for_overload(code, ret);
	ret->retry_after_ms = retry_after_ms(jvx_num_field(details, "retryAfterSeconds", 0));
	if (ret->verdict != KUBE_OK)
		set_why(ret, text);
}

/* By client-go's rule. libcurl reads both forms, seconds and a date. */
static void read_retry_after(const struct http_reply *reply, struct kube_status *ret)
{
	curl_off_t seconds = 0;

	if (reply->status != 429 && reply->status < 500)
		ret->retry_after_ms = 0;
	else if (curl_easy_getinfo(reply->easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK &&
		 seconds > 0)
		ret->retry_after_ms = retry_after_ms((double)seconds);
}

/*
 * It had been made, and was lost or wound up under the request. libcurl has its own word for
 * each way: a GOAWAY of a server that sends its clients elsewhere is mostly CURLE_HTTP2.
 */
static bool is_dropped(CURLcode result)
{
	switch (result) {
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_PARTIAL_FILE:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		return true;
	default:
		return false;
	}
}

static void judge_failure(const struct http_reply *reply, struct kube_status *ret)
{
	/* Refused before it has read the body, the server may end the stream early. */
	bool refused = reply->status == 401;

	ret->verdict = refused ? KUBE_UNAUTHORIZED : KUBE_LATER;
	ret->overload = !refused && reply->result == CURLE_OPERATION_TIMEDOUT;
	ret->dropped = !refused && is_dropped(reply->result);
	set_why(ret, refused ? "401: Unauthorized" : reply->error);
}

void kube_status_of_reply(const struct http_reply *reply, struct kube_status *ret)
{
	struct err ignored = ERR_INIT;
	cleanup_jv jv status = jv_invalid();
	cleanup_jv jv message = jv_invalid();
	cleanup_free char *text = NULL;

	*ret = (struct kube_status){ .verdict = KUBE_OK };
	if (reply->result != CURLE_OK) {
		judge_failure(reply, ret);
		return;
	}
	if (reply->status >= 200 && reply->status < 300)
		return;
	status = jvx_parse(reply->body, reply->body_len, &ignored);
	if (jvx_field_is(status, "kind", "Status"))
		kube_status_of_object(status, ret);
	message = jvx_get(status, "message");
	text = xstrdup(jvx_str(message, reply->body));
	if (!jvx_is(message, JV_KIND_STRING))
		text[strcspn(text, "\r\n")] = '\0'; /* some page */
	/* The code of the answer counts, whatever its body says. */
	ret->verdict = judge(reply->status, status, text);
	look_for_overload(reply->status, ret);
	if (ret->verdict == KUBE_OK)
		ret->verdict = KUBE_ERROR;
	snprintf(ret->why, sizeof(ret->why), "%ld", reply->status);
	if (*text != '\0') {
		cleanup_free char *both = xasprintf("%ld: %s", reply->status, text);

		set_why(ret, both);
	}
	read_retry_after(reply, ret);
}

/* resourceVersions are numbers since Kubernetes 1.35 says so, and have always been with etcd. */
bool kube_is_newer(const char *version, const char *than)
{
	uint64_t a, b;

	if (parse_u64(version, UINT64_MAX, &a) && parse_u64(than, UINT64_MAX, &b))
		return a > b;
	return strcmp(version, than) != 0;
}
