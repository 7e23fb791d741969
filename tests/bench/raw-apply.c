/*
 * raw-apply: sends prepared server-side applies to a Kubernetes API server, so many at a time on one
 * HTTP/2 connection, and does nothing else: what k8s-apply is measured against.
 *
 *	raw-apply ADDRESS CA CERT KEY FILE AT-A-TIME
 *
 * Each line of FILE is a path with its query, a tab and a body. Prints one JSON object: "sent",
 * "created" (201), "other" (any other answer), "failed" (none) and "seconds", connecting included.
 * Exit status 1 when not all were created.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The same answer that k8s-apply asks for. */
#define ACCEPT "Accept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

struct bench {
	const char *address, *ca, *cert, *key;
	struct curl_slist *headers;
	CURLM *multi;
	char *next; /* what was not sent yet */
	long in_flight, sent, created, other, failed;
};

static void die(const char *what)
{
	fprintf(stderr, "raw-apply: %s\n", what);
	exit(71);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (f == NULL || getdelim(&text, &size, '\0', f) < 0)
		die("cannot read the file");
	fclose(f);
	return text;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	(void)arg;
	return size * n;
}

static CURL *new_handle(const struct bench *b)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		die("out of memory");
	curl_easy_setopt(easy, CURLOPT_CAINFO, b->ca);
	curl_easy_setopt(easy, CURLOPT_SSLCERT, b->cert);
	curl_easy_setopt(easy, CURLOPT_SSLKEY, b->key);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, b->headers);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PATCH");
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	return easy;
}

/* False: all was sent. */
static int send_next(struct bench *b, CURL *easy)
{
	char *path = b->next, *tab = strchr(path, '\t'), *end;
	char url[1024];

	if (tab == NULL)
		return 0;
	end = strchrnul(tab, '\n');
	b->next = *end == '\0' ? end : end + 1;
	*tab = *end = '\0';
	snprintf(url, sizeof(url), "%s%s", b->address, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)(end - tab - 1));
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, tab + 1);
	curl_multi_add_handle(b->multi, easy);
	b->sent++;
	return 1;
}

static void count(struct bench *b, CURL *easy, CURLcode result)
{
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (result != CURLE_OK)
		b->failed++;
	else if (status == 201)
		b->created++;
	else
		b->other++;
}

static void take_answers(struct bench *b)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(b->multi, &left)) != NULL) {
		CURL *easy = msg->easy_handle;

		count(b, easy, msg->data.result);
		curl_multi_remove_handle(b->multi, easy);
		if (!send_next(b, easy))
			curl_easy_cleanup(easy);
	}
}

static void run(struct bench *b)
{
	int running = 1;

	for (long i = 0; i < b->in_flight; i++) {
		CURL *easy = new_handle(b);

		if (!send_next(b, easy))
			curl_easy_cleanup(easy);
	}
	while (running > 0) {
		curl_multi_perform(b->multi, &running);
		take_answers(b);
		if (b->created + b->other + b->failed < b->sent) {
			running = 1;
			curl_multi_poll(b->multi, NULL, 0, 1000, NULL);
		}
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct bench b = { 0 };
	char *text;
	double start;

	if (argc != 7 || (b.in_flight = atol(argv[6])) < 1) {
		fprintf(stderr, "usage: raw-apply ADDRESS CA CERT KEY FILE AT-A-TIME\n");
		return 64;
	}
	b.address = argv[1];
	b.ca = argv[2];
	b.cert = argv[3];
	b.key = argv[4];
	b.next = text = read_file(argv[5]);
	start = now_s();
	curl_global_init(CURL_GLOBAL_DEFAULT);
	b.headers = curl_slist_append(NULL, "Content-Type: application/apply-patch+yaml");
	b.headers = curl_slist_append(b.headers, ACCEPT);
	b.multi = curl_multi_init();
	curl_multi_setopt(b.multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
	run(&b);
	printf("{\"sent\":%ld,\"created\":%ld,\"other\":%ld,\"failed\":%ld,\"seconds\":%.3f}\n",
		b.sent, b.created, b.other, b.failed, now_s() - start);
	curl_multi_cleanup(b.multi);
	curl_slist_free_all(b.headers);
	curl_global_cleanup();
	free(text);
	return b.created == b.sent ? 0 : 1;
}
