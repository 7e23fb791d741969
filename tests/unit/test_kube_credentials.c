/* When what is in files is read again, at times that the test says. */
#include "k8s-apply/kube_credentials.h"

#include "tests/unit/kubeconfig_bench.h"

static struct {
	uv_loop_t loop;
	struct kube_credentials *c;
	unsigned rotated;
} run;

static void on_ready(void *arg UNUSED)
{
}

static void on_rotated(void *arg UNUSED)
{
	run.rotated++;
}

static void open_credentials(const char *user)
{
	const struct kube_credentials_handler handler = { .on_ready = on_ready,
		.on_rotated = on_rotated };
	struct kubeconfig access;

	put_config("config", NULL, NULL, user);
	access = load("config", NULL);
	run.rotated = 0;
	assert_int_equal(uv_loop_init(&run.loop), 0);
	run.c = kube_credentials_open(&run.loop, &access, &handler);
	assert_null(access.server);
}

static void close_credentials(void)
{
	kube_credentials_close(run.c);
	assert_int_equal(uv_run(&run.loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&run.loop), 0);
}

/* The serial of what is sent at that time, which has these headers. */
static unsigned assert_sent(int64_t now_ms, const char *first, const char *second)
{
	struct curl_slist *headers = NULL;
	unsigned serial = 0;
	struct err err = ERR_INIT;

	assert_int_equal(kube_credentials_get(run.c, now_ms, &headers, &serial, &err), 1);
	assert_non_null(headers);
	assert_string_equal(headers->data, first);
	if (second == NULL) {
		assert_null(headers->next);
	} else {
		assert_non_null(headers->next);
		assert_string_equal(headers->next->data, second);
	}
	curl_slist_free_all(headers);
	return serial;
}

static void a_token_file_is_read_once_a_minute(void **state UNUSED)
{
	int64_t now = steady_ms();

	put("t", "first");
	open_credentials("{\"tokenFile\": \"t\", \"as\": \"anna\"}");
	assert_sent(now, "Authorization: Bearer first", "Impersonate-User: anna");
	put("t", "second");
	assert_sent(now + 59999, "Authorization: Bearer first", "Impersonate-User: anna");
	assert_sent(now + 60000, "Authorization: Bearer second", "Impersonate-User: anna");
	/* Half of a rotation: what we have serves on, and it is looked for each time. */
	put("t", "");
	assert_sent(now + 120000, "Authorization: Bearer second", "Impersonate-User: anna");
	put("t", "third");
	assert_sent(now + 120001, "Authorization: Bearer third", "Impersonate-User: anna");
	close_credentials();
}

static void an_inline_token_serves_until_the_file_can_be_read(void **state UNUSED)
{
	int64_t now = steady_ms();

	open_credentials("{\"tokenFile\": \"t\", \"token\": \"inline\"}");
	assert_sent(now, "Authorization: Bearer inline", NULL);
	put("t", "filed");
	assert_sent(now + 60000, "Authorization: Bearer filed", NULL);
	assert_int_equal(unlink("t"), 0);
	assert_sent(now + 120000, "Authorization: Bearer filed", NULL);
	close_credentials();
}

static void a_refusal_reads_at_once_and_sends_again_what_is_new(void **state UNUSED)
{
	int64_t now = steady_ms();
	unsigned old, fresh;

	put("t", "first");
	open_credentials("{\"tokenFile\": \"t\"}");
	old = assert_sent(now, "Authorization: Bearer first", NULL);
	assert_false(kube_credentials_refused(run.c, old));
	put("t", "second");
	assert_true(kube_credentials_refused(run.c, old));
	fresh = assert_sent(now, "Authorization: Bearer second", NULL);
	/* One that was under way meanwhile. */
	assert_true(kube_credentials_refused(run.c, old));
	assert_false(kube_credentials_refused(run.c, fresh));
	assert_int_equal(unlink("t"), 0);
	assert_false(kube_credentials_refused(run.c, fresh));
	assert_sent(now, "Authorization: Bearer second", NULL);
	assert_int_equal(run.rotated, 0);
	close_credentials();
}

static void certificates_are_read_every_five_minutes(void **state UNUSED)
{
	struct curl_slist *headers = NULL;
	struct err err = ERR_INIT;
	unsigned serial;
	int64_t now = steady_ms();

	put("crt", bench.one.cert);
	put("key", bench.one.key);
	open_credentials("{\"client-certificate\": \"crt\", \"client-key\": \"key\"}");
	put("crt", bench.two.cert);
	put("key", bench.two.key);
	assert_int_equal(kube_credentials_get(run.c, now + 240000, &headers, &serial, &err), 1);
	assert_int_equal(run.rotated, 0);
	assert_int_equal(kube_credentials_get(run.c, now + 360000, &headers, &serial, &err), 1);
	assert_int_equal(run.rotated, 1);
	assert_string_equal(kube_credentials_access(run.c)->cert_pem, bench.two.cert);
	assert_null(headers);
	put("crt", bench.one.cert);
	put("key", bench.one.key);
	assert_true(kube_credentials_refused(run.c, serial));
	assert_int_equal(run.rotated, 2);
	close_credentials();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_token_file_is_read_once_a_minute),
		TEST(an_inline_token_serves_until_the_file_can_be_read),
		TEST(a_refusal_reads_at_once_and_sends_again_what_is_new),
		TEST(certificates_are_read_every_five_minutes),
	};

	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
