/* kube_status: the answers of a real API server (1.36), and what they mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "k8s-apply/kube_status.h"

static const struct {
	const char *what;
	long code;
	const char *body;
	enum kube_verdict verdict;
	const char *why;
} answers[] = {
	{ "created", 201, "{}", KUBE_OK, "" },
	{ "token expired", 401,
		"{\"kind\":\"Status\",\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\","
		"\"code\":401}",
		KUBE_UNAUTHORIZED, "401: Unauthorized" },
	{ "not allowed by a role", 403,
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"serviceentries."
		"networking.istio.io "
		"\\\"a\\\" is forbidden: User \\\"u\\\" cannot patch resource "
		"\\\"serviceentries\\\" in API group "
		"\\\"networking.istio.io\\\" in the namespace \\\"mesh\\\"\"}",
		KUBE_FORBIDDEN,
		"403: serviceentries.networking.istio.io \"a\" is forbidden: User \"u\" cannot "
		"patch "
		"resource \"serviceentries\" in API group \"networking.istio.io\" in the namespace "
		"\"mesh\"" },
	{ "not admitted", 403,
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"admission webhook "
		"\\\"w\\\" denied the "
		"request: no\"}",
		KUBE_DENIED, "403: admission webhook \"w\" denied the request: no" },
	{ "the namespace is going", 403,
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"unable to create new "
		"content in namespace "
		"mesh because it is being "
		"terminated\",\"details\":{\"causes\":[{\"reason\":\"NamespaceTerminating\"}]}}",
		KUBE_NO_NAMESPACE,
		"403: unable to create new content in namespace mesh because it is being "
		"terminated" },
	{ "the kind is going", 403,
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"create not allowed "
		"while custom resource definition is terminating\"}",
		KUBE_NOT_SERVED,
		"403: create not allowed while custom resource definition is terminating" },
	{ "the object is not there", 404,
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"x \\\"a\\\" not "
		"found\",\"details\":{\"name\":"
		"\"a\",\"kind\":\"x\"}}",
		KUBE_NOT_FOUND, "404: x \"a\" not found" },
	{ "the namespace is not there", 404,
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"namespaces \\\"m\\\" "
		"not "
		"found\",\"details\":{\"name\":\"m\",\"kind\":\"namespaces\"}}",
		KUBE_NO_NAMESPACE, "404: namespaces \"m\" not found" },
	{ "the kind is not served", 404, "404 page not found\n", KUBE_NOT_SERVED,
		"404: 404 page not found" },
	{ "the same as a Status", 404,
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"the server could not "
		"find the requested "
		"resource\",\"details\":{}}",
		KUBE_NOT_SERVED, "404: the server could not find the requested resource" },
	{ "somebody was faster", 409,
		"{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"Operation cannot be "
		"fulfilled on x \\\"a\\\": the "
		"object has been modified\"}",
		KUBE_CONFLICT,
		"409: Operation cannot be fulfilled on x \"a\": the object has been modified" },
	{ "a quota is being counted", 409,
		"{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"Operation cannot be "
		"fulfilled on resourcequotas "
		"\\\"q\\\": the object has been modified\"}",
		KUBE_ERROR,
		"409: Operation cannot be fulfilled on resourcequotas \"q\": the object has been "
		"modified" },
	{ "too old", 410, "{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"too old\"}",
		KUBE_EXPIRED, "410: too old" },
	{ "too large", 413, "{\"kind\":\"Status\",\"message\":\"limit is 3145728\"}", KUBE_INVALID,
		"413: limit is 3145728" },
	{ "invalid", 422,
		"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"spec.ports: bad\"}",
		KUBE_INVALID, "422: spec.ports: bad" },
	{ "another incarnation", 422,
		"{\"kind\":\"Status\",\"reason\":\"Invalid\",\"message\":\"x \\\"a\\\" is invalid: "
		"metadata.uid: Invalid "
		"value: field is immutable\"}",
		KUBE_CONFLICT,
		"422: x \"a\" is invalid: metadata.uid: Invalid value: field is immutable" },
	{ "overloaded", 429, "{\"kind\":\"Status\",\"message\":\"storage is (re)initializing\"}",
		KUBE_LATER, "429: storage is (re)initializing" },
	{ "a field that the schema lacks", 500,
		"{\"kind\":\"Status\",\"message\":\"failed to create typed patch object (mesh/a): "
		".spec.nope: field not "
		"declared in schema\",\"code\":500}",
		KUBE_INVALID,
		"500: failed to create typed patch object (mesh/a): .spec.nope: field not declared "
		"in "
		"schema" },
	{ "a webhook is away", 500,
		"{\"kind\":\"Status\",\"reason\":\"InternalError\",\"message\":\"Internal error "
		"occurred: failed calling "
		"webhook\"}",
		KUBE_ERROR, "500: Internal error occurred: failed calling webhook" },
	{ "starting", 503, "{\"kind\":\"Status\",\"message\":\"apiserver is shutting down\"}",
		KUBE_LATER, "503: apiserver is shutting down" },
	{ "a balancer without servers", 502, "<html>\n<h1>Bad Gateway</h1>", KUBE_LATER,
		"502: <html>" },
	{ "too slow", 504, "{\"kind\":\"Status\",\"reason\":\"Timeout\",\"message\":\"timed out\"}",
		KUBE_LATER, "504: timed out" },
	{ "an etcd that was put back in time", 504,
		"{\"kind\":\"Status\",\"reason\":\"Timeout\",\"message\":\"Too large resource "
		"version\",\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}],"
		"\"retryAfterSeconds\":1}}",
		KUBE_EXPIRED, "504: Too large resource version" },
	{ "a code from the body does not count", 500,
		"{\"kind\":\"Status\",\"message\":\"odd\",\"code\":200}", KUBE_ERROR, "500: odd" },
	{ "no body at all", 503, "", KUBE_LATER, "503" },
	{ "a body that cannot be decoded", 400,
		"{\"kind\":\"Status\",\"reason\":\"BadRequest\",\"message\":\"strict decoding "
		"error: duplicate field\"}",
		KUBE_INVALID, "400: strict decoding error: duplicate field" },
	{ "a quota is used up", 403,
		"{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"x \\\"a\\\" is "
		"forbidden: exceeded quota: q\"}",
		KUBE_DENIED, "403: x \"a\" is forbidden: exceeded quota: q" },
	{ "a Status that does not say of whom", 404,
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"not "
		"found\",\"details\":{\"name\":\"\"}}",
		KUBE_NOT_SERVED, "404: not found" },
	{ "a verb that it does not have", 405,
		"{\"kind\":\"Status\",\"reason\":\"MethodNotAllowed\",\"message\":\"the server "
		"does "
		"not allow this method\"}",
		KUBE_INVALID, "405: the server does not allow this method" },
	{ "a form that it cannot make", 406,
		"{\"kind\":\"Status\",\"reason\":\"NotAcceptable\",\"message\":\"only the "
		"following "
		"media types are accepted\"}",
		KUBE_INVALID, "406: only the following media types are accepted" },
	{ "a form that it cannot read", 415,
		"{\"kind\":\"Status\",\"reason\":\"UnsupportedMediaType\",\"message\":\"the body "
		"was in an unknown format\"}",
		KUBE_INVALID, "415: the body was in an unknown format" },
	{ "it is there and being deleted", 409,
		"{\"kind\":\"Status\",\"reason\":\"AlreadyExists\",\"message\":\"object is being "
		"deleted: x \\\"a\\\" already exists\"}",
		KUBE_CONFLICT, "409: object is being deleted: x \"a\" already exists" },
	{ "another incarnation, to be deleted", 409,
		"{\"kind\":\"Status\",\"reason\":\"Conflict\",\"message\":\"Precondition failed: "
		"UID "
		"in precondition: 1, UID in object meta: 2\"}",
		KUBE_CONFLICT,
		"409: Precondition failed: UID in precondition: 1, UID in object meta: 2" },
	{ "a continue token that has expired", 410,
		"{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"The provided continue "
		"parameter is too old\",\"metadata\":{\"continue\":\"inconsistent\"}}",
		KUBE_EXPIRED, "410: The provided continue parameter is too old" },
	{ "etcd elects a leader", 500,
		"{\"kind\":\"Status\",\"message\":\"etcdserver: leader changed\",\"code\":500}",
		KUBE_ERROR, "500: etcdserver: leader changed" },
	{ "a field of a wrong type", 500,
		"{\"kind\":\"Status\",\"message\":\"failed to create typed patch object (m/a): "
		".spec.ports: expected list, got &{x}\"}",
		KUBE_INVALID,
		"500: failed to create typed patch object (m/a): .spec.ports: expected list, got "
		"&{x}" },
	{ "a code that is none", 500, "{\"kind\":\"Status\",\"message\":\"m\",\"code\":1e300}",
		KUBE_ERROR, "500: m" },
};

/* kube_status reads a header of the answer from the handle: there is none on an unused one. */
static void judge(long code, const char *body, struct kube_status *ret)
{
	CURL *easy = curl_easy_init();
	const struct http_reply reply = {
		.result = CURLE_OK,
		.error = "",
		.status = code,
		.body = body,
		.body_len = strlen(body),
		.easy = easy,
	};

	kube_status_of_reply(&reply, ret);
	curl_easy_cleanup(easy);
}

static void each_answer_means_what_it_means(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct kube_status status;

		judge(answers[i].code, answers[i].body, &status);
		if (status.verdict != answers[i].verdict || strcmp(status.why, answers[i].why) != 0)
			fail_msg("%s: verdict %d, '%s'", answers[i].what, (int)status.verdict,
				status.why);
	}
}

static void no_answer_means_later(void **state UNUSED)
{
	const struct http_reply reply = {
		.result = CURLE_COULDNT_CONNECT,
		.error = "Failed to connect to 127.0.0.1 port 1: Connection refused",
		.body = "",
	};
	struct kube_status status;

	kube_status_of_reply(&reply, &status);
	assert_int_equal(status.verdict, KUBE_LATER);
	assert_string_equal(
		status.why, "Failed to connect to 127.0.0.1 port 1: Connection refused");
}

static void only_what_means_too_much_is_overload(void **state UNUSED)
{
	static const struct {
		long code;
		bool overload, turned_away;
	} rows[] = {
		{ 408, true, false },
		{ 429, true, true },
		{ 503, true, false },
		{ 504, true, false },
		{ 502, false, false },
		{ 500, false, false },
		{ 401, false, false },
		{ 409, false, false },
		{ 422, false, false },
		{ 200, false, false },
	};
	struct kube_status status;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		judge(rows[i].code, "{\"kind\":\"Status\",\"code\":429,\"message\":\"m\"}",
			&status);
		if (status.overload != rows[i].overload ||
			status.turned_away != rows[i].turned_away || status.dropped)
			fail_msg("%ld: overload %d, turned away %d", rows[i].code, status.overload,
				status.turned_away);
	}
	/* The data of etcd were put back: that is not too much. */
	judge(504,
		"{\"kind\":\"Status\",\"details\":{\"causes\":[{\"reason\":"
		"\"ResourceVersionTooLarge\"}]}}",
		&status);
	assert_int_equal(status.verdict, KUBE_EXPIRED);
	assert_false(status.overload);
}

static void a_connection_fails_in_several_ways(void **state UNUSED)
{
	static const struct {
		CURLcode result;
		bool overload, dropped;
	} rows[] = {
		{ CURLE_COULDNT_CONNECT, false, false },
		{ CURLE_COULDNT_RESOLVE_HOST, false, false },
		{ CURLE_SSL_CONNECT_ERROR, false, false },
		{ CURLE_WRITE_ERROR, false, false },
		{ CURLE_OPERATION_TIMEDOUT, true, false },
		{ CURLE_HTTP2, false, true },
		{ CURLE_HTTP2_STREAM, false, true },
		{ CURLE_PARTIAL_FILE, false, true },
		{ CURLE_GOT_NOTHING, false, true },
		{ CURLE_SEND_ERROR, false, true },
		{ CURLE_RECV_ERROR, false, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct http_reply reply = {
			.result = rows[i].result,
			.error = "e",
			.body = "",
		};
		struct kube_status status;

		kube_status_of_reply(&reply, &status);
		assert_int_equal(status.verdict, KUBE_LATER);
		if (status.overload != rows[i].overload || status.dropped != rows[i].dropped ||
			status.turned_away)
			fail_msg("%d: overload %d, dropped %d", (int)rows[i].result,
				status.overload, status.dropped);
	}
}

static void a_refusal_counts_also_when_its_text_is_cut_off(void **state UNUSED)
{
	const struct http_reply reply = {
		.result = CURLE_PARTIAL_FILE,
		.error = "Transferred a partial file",
		.status = 401,
		.body = "",
	};
	struct kube_status status;

	kube_status_of_reply(&reply, &status);
	assert_int_equal(status.verdict, KUBE_UNAUTHORIZED);
	assert_string_equal(status.why, "401: Unauthorized");
}

static void the_server_may_say_how_long_to_wait(void **state UNUSED)
{
	struct kube_status status;

	judge(503, "{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":5}}",
		&status);
	assert_int_equal(status.retry_after_ms, 5000);
	judge(503,
		"{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":1e9}}",
		&status);
	assert_int_equal(status.retry_after_ms, 300000);
	judge(503, "{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":-1}}",
		&status);
	assert_int_equal(status.retry_after_ms, 0);
	/* Only of what may be sent again. */
	judge(409, "{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":5}}",
		&status);
	assert_int_equal(status.retry_after_ms, 0);
	judge(429, "{\"kind\":\"Status\",\"message\":\"m\",\"details\":{\"retryAfterSeconds\":1}}",
		&status);
	assert_int_equal(status.retry_after_ms, 1000);
}

static void an_event_of_a_watch_carries_a_status(void **state UNUSED)
{
	static const char text[] =
		"{\"kind\":\"Status\",\"reason\":\"Expired\",\"code\":410,\"message\":\"too "
		"old resource version: 1 (2)\"}";
	struct err err = ERR_INIT;
	cleanup_jv jv v = jvx_parse(text, strlen(text), &err);
	struct kube_status status;

	kube_status_of_object(v, &status);
	assert_int_equal(status.verdict, KUBE_EXPIRED);
	assert_string_equal(status.why, "too old resource version: 1 (2)");
}

static void a_reason_is_one_line_without_controls(void **state UNUSED)
{
	struct kube_status status;

	judge(422, "{\"kind\":\"Status\",\"message\":\"a\\u001b[31mb\\tc:\\r\\n  d\\n  e\\n\"}",
		&status);
	assert_string_equal(status.why, "422: a?[31mb?c: d e");
	judge(502, "<html>\n<h1>Bad Gateway</h1>", &status);
	assert_string_equal(status.why, "502: <html>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_means_what_it_means),
		cmocka_unit_test(no_answer_means_later),
		cmocka_unit_test(only_what_means_too_much_is_overload),
		cmocka_unit_test(a_connection_fails_in_several_ways),
		cmocka_unit_test(a_refusal_counts_also_when_its_text_is_cut_off),
		cmocka_unit_test(the_server_may_say_how_long_to_wait),
		cmocka_unit_test(an_event_of_a_watch_carries_a_status),
		cmocka_unit_test(a_reason_is_one_line_without_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
