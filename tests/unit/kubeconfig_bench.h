/*
 * kubeconfig_bench: a folder of its own for each test, which is the current directory, so that
 * paths in messages are short; and certificates, made at the start.
 */
#ifndef MESHPIPE_TESTS_KUBECONFIG_BENCH_H
#define MESHPIPE_TESTS_KUBECONFIG_BENCH_H

#include "k8s-apply/kubeconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define PAST_FROM   "20200101000000Z"
#define PAST_TO	    "20211101100000Z"
#define FUTURE_FROM "20981231235959Z"
#define FUTURE_TO   "20991231235959Z"

/* A certificate and its key, in PEM. */
struct pair {
	char *cert, *key;
};

static struct {
	char folder[512];
	int before; /* the directory that we came from */
	struct pair one, two, expired, early;
	char *renewed_cert, *encrypted_key; /* of the key of `one` */
} bench;

static inline char *pem_of(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	char *text = xstrndup(data, (size_t)len);

	BIO_free(bio);
	return text;
}

static EVP_PKEY *key_of(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(key);
	return key;
}

static inline char *certify(EVP_PKEY *key, const char *from, const char *to)
{
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	ASN1_TIME *time = ASN1_TIME_new();

	assert_int_equal(ASN1_TIME_set_string_X509(time, from), 1);
	assert_int_equal(X509_set1_notBefore(cert, time), 1);
	assert_int_equal(ASN1_TIME_set_string_X509(time, to), 1);
	assert_int_equal(X509_set1_notAfter(cert, time), 1);
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	ASN1_TIME_free(time);
	X509_free(cert);
	return pem_of(bio);
}

static inline struct pair make_pair(const char *from, const char *to)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	struct pair pair = { .cert = certify(key, from, to) };

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	pair.key = pem_of(bio);
	EVP_PKEY_free(key);
	return pair;
}

static inline char *renew(const char *key_pem)
{
	EVP_PKEY *key = key_of(key_pem);
	char *cert = certify(key, PAST_TO, FUTURE_TO);

	EVP_PKEY_free(key);
	return cert;
}

static inline char *encrypt(const char *key_pem)
{
	EVP_PKEY *key = key_of(key_pem);
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(
		PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "s3cret", 6, NULL, NULL),
		1);
	EVP_PKEY_free(key);
	return pem_of(bio);
}

static inline char *base64(const char *text)
{
	size_t len = strlen(text);
	char *out = xcalloc(len / 3 * 4 + 5, 1);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	return out;
}

static inline void put_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *f = fopen(path, "we");

	if (f == NULL) {
		fail_msg("'%s': %s", path, strerror(errno));
		return;
	}
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static inline void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static inline void folder(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static inline int remove_one(
	const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static inline int setup(void **state UNUSED)
{
	static const char *const names[] = { "KUBECONFIG", "HOME", "KUBERNETES_SERVICE_HOST",
		"KUBERNETES_SERVICE_PORT" };
	const char *tmp = getenv("TMPDIR");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
	snprintf(bench.folder, sizeof(bench.folder), "%s/test_kubeconfig.XXXXXX",
		tmp != NULL ? tmp : "/tmp");
	bench.before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return mkdtemp(bench.folder) != NULL && chdir(bench.folder) == 0 ? 0 : -1;
}

static inline int teardown(void **state UNUSED)
{
	if (fchdir(bench.before) < 0)
		return -1;
	close(bench.before);
	return nftw(bench.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int make_certificates(void **state UNUSED)
{
	bench.one = make_pair(PAST_FROM, FUTURE_TO);
	bench.two = make_pair(PAST_FROM, FUTURE_TO);
	bench.expired = make_pair(PAST_FROM, PAST_TO);
	bench.early = make_pair(FUTURE_FROM, FUTURE_TO);
	bench.renewed_cert = renew(bench.one.key);
	bench.encrypted_key = encrypt(bench.one.key);
	return 0;
}

static inline int forget_certificates(void **state UNUSED)
{
	struct pair *const pairs[] = { &bench.one, &bench.two, &bench.expired, &bench.early };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		free(pairs[i]->cert);
		free(pairs[i]->key);
	}
	free(bench.renewed_cert);
	free(bench.encrypted_key);
	return 0;
}

static inline struct kubeconfig load(const char *path, const char *context)
{
	const struct kubeconfig_request request = { .path = path, .context = context };
	struct kubeconfig c = { .server = NULL };
	struct err err = ERR_INIT;

	if (kubeconfig_load_from(&request, "account", &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(err.status, EXIT_OK);
	return c;
}

static inline void assert_refused(const char *path, const char *context, const char *message)
{
	const struct kubeconfig_request request = { .path = path, .context = context };
	struct kubeconfig c = { .server = NULL };
	struct err err = ERR_INIT;

	assert_int_equal(kubeconfig_load_from(&request, "account", &c, &err), -1);
	assert_string_equal(err.msg, message);
	assert_int_equal(err.status, EXIT_CONFIG);
	assert_null(c.server);
	assert_null(strstr(err.msg, "s3cret"));
}

static inline void assert_token(const struct kubeconfig *c, const char *expected)
{
	cleanup_free char *token = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(kubeconfig_token(c, &token, &err), 0);
	if (expected == NULL)
		assert_null(token);
	else
		assert_string_equal(token, expected);
}

/* A kubeconfig in JSON with the context dev, cluster c, user u; NULL: one that is good. */
static inline void put_config(
	const char *path, const char *context, const char *cluster, const char *user)
{
	cleanup_free char *text =
		xasprintf("{\"current-context\": \"dev\",\n"
			  " \"contexts\": [{\"name\": \"dev\", \"context\": %s}],\n"
			  " \"clusters\": [{\"name\": \"c\", \"cluster\": %s}],\n"
			  " \"users\": [{\"name\": \"u\", \"user\": %s}]}\n",
			context != NULL ? context : "{\"cluster\": \"c\", \"user\": \"u\"}",
			cluster != NULL ? cluster : "{\"server\": \"https://h\"}",
			user != NULL ? user : "{}");

	put(path, text);
}

static inline void enter_pod(const char *host)
{
	folder("account");
	put("account/token", "pod-token\n");
	put("account/ca.crt", bench.two.cert);
	put("account/namespace", "shop\n");
	setenv("KUBERNETES_SERVICE_HOST", host, 1);
	setenv("KUBERNETES_SERVICE_PORT", "6443", 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
