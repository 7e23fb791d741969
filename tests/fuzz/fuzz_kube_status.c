/*
 * Any bytes as the body of an answer that is no success, through kube_status.c: the first three
 * are the code, the rest is the body.
 *
 * Whatever the bytes: no code but of 2xx is taken for a success, an overload is said of its codes only,
 * and there is a reason of one line.
 */
#include <string.h>

#include "k8s-apply/kube_status.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static const char *const verdicts[] = {
	[KUBE_OK] = "ok",
	[KUBE_LATER] = "later",
	[KUBE_ERROR] = "error",
	[KUBE_UNAUTHORIZED] = "unauthorized",
	[KUBE_FORBIDDEN] = "forbidden",
	[KUBE_DENIED] = "denied",
	[KUBE_NOT_FOUND] = "not found",
	[KUBE_NO_NAMESPACE] = "no namespace",
	[KUBE_NOT_SERVED] = "not served",
	[KUBE_CONFLICT] = "conflict",
	[KUBE_EXPIRED] = "expired",
	[KUBE_INVALID] = "invalid",
};

static void check(long code, const struct kube_status *s)
{
	MUST((size_t)s->verdict < ARRAY_SIZE(verdicts), "no verdict");
	MUST((s->verdict == KUBE_OK) == (code >= 200 && code < 300), "%ld is %s", code,
		verdicts[s->verdict]);
	MUST(s->retry_after_ms >= 0 && s->retry_after_ms <= 300000, "a wait of %lld ms",
		(long long)s->retry_after_ms);
	MUST(s->retry_after_ms == 0 || code == 429 || code >= 500, "a wait after %ld", code);
	MUST(!s->overload || code == 408 || code == 429 || code == 503 || code == 504,
		"an overload by %ld", code);
	MUST(!s->turned_away || s->overload, "turned away without overload");
	MUST(!s->dropped, "an answer on a connection that went");
	MUST(strlen(s->why) < sizeof(s->why), "a reason without an end");
	MUST((s->verdict == KUBE_OK) == (s->why[0] == '\0'), "a reason of %ld: '%s'", code, s->why);
	for (const char *c = s->why; *c != '\0'; c++)
		MUST((unsigned char)*c >= ' ' && *c != 0x7f, "a reason with controls: %s", s->why);
}

/* Digits as they are written, any other byte as one of them too. */
static long code_of(const uint8_t *data, size_t size)
{
	long code = 0;

	for (size_t i = 0; i < 3; i++)
		code = 10 * code + (i < size ? (data[i] + 2) % 10 : 0);
	return code >= 100 ? code : code + 400;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t skip = size < 3 ? size : 3;
	cleanup_free char *body = xcalloc(1, size - skip + 1);
	CURL *easy = curl_easy_init();
	const struct http_reply reply = {
		.result = CURLE_OK,
		.error = "",
		.status = code_of(data, size),
		.body = body,
		.body_len = size - skip,
		.easy = easy,
	};
	struct kube_status status;

	MUST(easy != NULL, "cannot set up libcurl");
	if (size > skip)
		memcpy(body, data + skip, size - skip);
	fuzz_leaks_begin();
	kube_status_of_reply(&reply, &status);
	fuzz_leaks_end();
	check(reply.status, &status);
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%s%s %s", verdicts[status.verdict],
		status.overload ? ", overload" : "", status.why);
	curl_easy_cleanup(easy);
	return 0;
}
