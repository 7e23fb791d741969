#include "lib/pem.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#define MAX_FILE_BYTES (1u << 20)
#define BASE64	       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

char *pem_read(const char *path, struct err *err)
{
	size_t len = 0;
	cleanup_free char *text = read_whole_file(path, MAX_FILE_BYTES, &len);

	if (text == NULL) {
		err_errno(err, EXIT_CONFIG, "cannot read '%s'", path);
		return NULL;
	}
	if (strlen(text) != len) {
		err_set(err, EXIT_CONFIG, "'%s' is not PEM text", path);
		return NULL;
	}
	return TAKE(text);
}

static char *without_line_breaks(const char *text)
{
	char *copy = xstrdup(text), *to = copy;

	for (; *text != '\0'; text++)
		if (*text != '\n' && *text != '\r')
			*to++ = *text;
	*to = '\0';
	return copy;
}

/* How many '='; -1 when other characters are there, some of which libcrypto would let pass. */
static int padding_of(const char *text)
{
	size_t digits = strspn(text, BASE64), padding = strspn(text + digits, "=");

	if (text[digits + padding] != '\0' || padding > 2)
		return -1;
	return (int)padding;
}

char *pem_decode(const char *base64, struct err *err)
{
	cleanup_free char *text = without_line_breaks(base64);
	size_t len = strlen(text); /* less than the file that it stood in */
	cleanup_free char *bytes = xcalloc(len + 1, 1);
	int padding = padding_of(text), n = -1;

	if (padding >= 0)
		n = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)len);
	ERR_clear_error();
	if (n < 0) {
		err_set(err, EXIT_CONFIG, "not base64");
		return NULL;
	}
	/* The padding was decoded to zeros, and counted. */
	if (strlen(bytes) != (size_t)(n - padding)) {
		err_set(err, EXIT_CONFIG, "not PEM text");
		return NULL;
	}
	return TAKE(bytes);
}

char *pem_encode(const char *text)
{
	size_t len = strlen(text); /* less than the file that it stood in */
	char *base64 = xcalloc(len / 3 * 4 + 5, 1);

	EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)text, (int)len);
	return base64;
}

/* What libcrypto leaves behind in its queue of errors would be found by libcurl. */
static X509 *first_certificate(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return cert;
}

bool pem_is_certificate(const char *pem)
{
	X509 *cert = first_certificate(pem);

	X509_free(cert);
	return cert != NULL;
}

/* Without one, libcrypto would ask on the terminal. */
static int no_password(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
	return -1;
}

static EVP_PKEY *private_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return key;
}

int pem_check_pair(const char *cert_pem, const char *key_pem, struct err *err)
{
	X509 *cert = first_certificate(cert_pem);
	EVP_PKEY *key = private_key(key_pem);
	int rc = 0;

	if (cert == NULL)
		rc = err_set(
			err, EXIT_CONFIG, "the client certificate is not a certificate in PEM");
	else if (key == NULL)
		rc = err_set(err, EXIT_CONFIG,
			"the client key is not a key in PEM, or needs a password");
	else if (X509_check_private_key(cert, key) != 1)
		rc = err_set(err, EXIT_CONFIG,
			"the client key does not belong to the client certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return rc;
}

static char *say(const char *what, const ASN1_TIME *when)
{
	char text[64];
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) != 1 ||
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		return NULL;
	return xasprintf("the client certificate %s %s", what, text);
}

char *pem_explain(const char *pem)
{
	X509 *cert = first_certificate(pem);
	char *text = NULL;

	if (cert == NULL)
		return NULL;
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		text = say("expired on", X509_get0_notAfter(cert));
	else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		text = say("is valid only from", X509_get0_notBefore(cert));
	X509_free(cert);
	return text;
}
