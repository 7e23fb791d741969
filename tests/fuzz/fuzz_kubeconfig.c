/*
 * Any bytes as a kubeconfig.
 *
 * Whatever the bytes: they are refused with one line that names the file, or there is a server to
 * speak to, and everything that goes into a header can be sent in one.
 */
#include <string.h>
#include <sys/mman.h>

#include "k8s-apply/kubeconfig.h"
#include "lib/base.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

static void check_line(const char *text, const char *what)
{
	for (const char *c = text; c != NULL && *c != '\0'; c++)
		MUST((unsigned char)*c >= 0x20 && *c != 0x7f, "%s is not one line: %s", what, text);
}

static void check_access(struct kubeconfig *c)
{
	struct err err = ERR_INIT;
	cleanup_free char *token = NULL;

	MUST(str_starts(c->server, "https://") || str_starts(c->server, "http://"), "server %s",
		c->server);
	MUST((c->cert_pem == NULL) == (c->key_pem == NULL), "a certificate without its key");
	MUST((c->username == NULL) == (c->password == NULL), "a name without its password");
	MUST(kubeconfig_first_token(c, &token, &err) == 0, "the token does not last: %s", err.msg);
	check_line(token, "the token");
	for (const struct curl_slist *h = c->impersonation; h != NULL; h = h->next)
		check_line(h->data, "a header");
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "taken %.500s", c->server);
	kubeconfig_release(c);
}

/* The file's name is another each time. */
static void check_refusal(const struct err *err, const char *path)
{
	const char *place = strstr(err->msg, path);

	MUST(err->status == EXIT_CONFIG, "status %d", (int)err->status);
	MUST(*err->msg != '\0', "no reason");
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "refused %.500s",
		place != NULL ? place + strlen(path) : err->msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
	cleanup_free char *path = xasprintf("/proc/self/fd/%d", fd);
	const struct kubeconfig_request request = { .path = path, .request_timeout_ms = -1 };
	struct kubeconfig c;
	struct err err = ERR_INIT;

	MUST(fd >= 0 && write_all(fd, data, size) == 0, "no memory file");
	if (kubeconfig_load(&request, &c, &err) == 0)
		check_access(&c);
	else
		check_refusal(&err, path);
	close(fd);
	return 0;
}
