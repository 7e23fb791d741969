#include "consul-watch/credentials.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/pem.h"

#define MAX_TOKEN_BYTES 4096u
#define MAX_PEM_BYTES	(1u << 20)
#define MAX_CA_BYTES	(8u << 20)
#define CHECK_MS	1000

struct tls_files {
	LIST_ENTRY(tls_files) link;
	char *ca, *cert, *key; /* PEM text, or NULL; without a key it is in `cert` */
	unsigned holders;
};

struct credentials {
	unsigned tokens; /* that there were */
	struct credentials_config config;
	char *token;
	uint64_t token_stamp, tls_stamp; /* of the files as they were read */
	bool token_complained, tls_complained;
	int64_t check_ms;	    /* the next look at the files */
	struct tls_files *tls;	    /* the first of all */
	LIST_HEAD(, tls_files) all; /* older ones are there while somebody holds them */
};

static bool given(const char *text)
{
	return text != NULL && *text != '\0';
}

/* --- has it changed? */

/* 0: not there. */
static uint64_t stamp_of_one(const char *path)
{
	struct stat st;
	int64_t facts[7];

	if (stat(path, &st) < 0)
		return 0;
	facts[0] = (int64_t)st.st_dev;
	facts[1] = (int64_t)st.st_ino;
	facts[2] = (int64_t)st.st_size;
	facts[3] = (int64_t)st.st_mtim.tv_sec;
	facts[4] = (int64_t)st.st_mtim.tv_nsec;
	facts[5] = (int64_t)st.st_ctim.tv_sec;
	facts[6] = (int64_t)st.st_ctim.tv_nsec;
	return XXH3_64bits(facts, sizeof(facts));
}

static uint64_t stamp_of_folder(const char *path)
{
	uint64_t stamp = stamp_of_one(path);
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		cleanup_free char *name = xasprintf("%s/%s", path, entries[i]->d_name);

		if (*entries[i]->d_name != '.')
			stamp += stamp_of_one(name);
		free(entries[i]);
	}
	free(entries);
	return stamp;
}

static uint64_t stamp_of_tls(const struct credentials_config *config)
{
	uint64_t stamps[4] = { 0 };

	if (given(config->ca_file))
		stamps[0] = stamp_of_one(config->ca_file);
	else if (given(config->ca_path))
		stamps[1] = stamp_of_folder(config->ca_path);
	if (given(config->client_cert))
		stamps[2] = stamp_of_one(config->client_cert);
	if (given(config->client_key))
		stamps[3] = stamp_of_one(config->client_key);
	return XXH3_64bits(stamps, sizeof(stamps));
}

/* --- the token */

static char *read_token(const struct credentials_config *config, struct err *err)
{
	char *token;

	if (!given(config->token_file))
		return xstrdup(config->token != NULL ? config->token : "");
	token = read_whole_file(config->token_file, MAX_TOKEN_BYTES, NULL);
	if (token == NULL)
		err_errno(err, EXIT_CONFIG, "cannot read token file '%s'", config->token_file);
	return token;
}

int credentials_reload_token(struct credentials *c, struct err *err)
{
	/* Looked at first: what is written after that is seen as a change. */
	uint64_t stamp = given(c->config.token_file) ? stamp_of_one(c->config.token_file) : 0;
	cleanup_free char *raw = read_token(&c->config, err);
	char *token;

	if (raw == NULL)
		return -1;
	token = str_trim(raw);
	for (const char *s = token; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return err_set(err, EXIT_CONFIG,
				"the token of consul holds a blank or control character");
	/* Whoever writes it anew empties it first. */
	if (*token == '\0' && c->token != NULL && *c->token != '\0')
		return err_set(
			err, EXIT_CONFIG, "token file '%s' is empty now", c->config.token_file);
	if (c->token == NULL || strcmp(c->token, token) != 0)
		c->tokens++;
	free(c->token);
	c->token = xstrdup(token);
	c->token_stamp = stamp;
	return 0;
}

static void refresh_token(struct credentials *c)
{
	struct err err = ERR_INIT;

	if (!given(c->config.token_file))
		return;
	if (stamp_of_one(c->config.token_file) == c->token_stamp) {
		c->token_complained = false;
	} else if (credentials_reload_token(c, &err) == 0) {
		c->token_complained = false;
		log_info("the token was read anew", "file", c->config.token_file);
	} else if (!c->token_complained) {
		c->token_complained = true;
		log_warn("keeping the old token", "error", err.msg);
	}
}

/* --- certificates */

static char *read_pem(const char *what, const char *path, struct err *err)
{
	char *text = read_whole_file(path, MAX_PEM_BYTES, NULL);

	if (text == NULL)
		err_errno(err, EXIT_CONFIG, "cannot read %s '%s'", what, path);
	return text;
}

static int read_ca_file(const char *path, char **ret, struct err *err)
{
	*ret = read_pem("CA file", path, err);
	if (*ret == NULL)
		return -1;
	if (!pem_is_certificate(*ret))
		return err_set(err, EXIT_CONFIG, "CA file '%s' holds no certificate in PEM", path);
	return 0;
}

/* One file of a folder: what is no certificate there is left out. */
static int add_ca(struct buf *all, const char *folder, const char *name, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	cleanup_free char *text = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	text = read_pem("CA file", path, err);
	if (text == NULL)
		return -1;
	/* Linked under a second name, as openssl-rehash(1) does. */
	if (!pem_is_certificate(text) || strstr(buf_str(all), text) != NULL)
		return 0;
	if (buf_addf(all, "%s\n", text) < 0)
		return err_set(err, EXIT_CONFIG, "CA directory '%s' holds more than %u bytes",
			folder, MAX_CA_BYTES);
	return 0;
}

/* As Consul's own tools do; libcurl would look for the names of openssl-rehash(1) only. */
static int read_ca_path(const char *path, char **ret, struct err *err)
{
	cleanup_buf struct buf all;
	struct dirent **entries;
	int count, rc = 0;

	buf_init(&all, MAX_CA_BYTES);
	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		return err_errno(err, EXIT_CONFIG, "cannot read CA directory '%s'", path);
	for (int i = 0; i < count; i++) {
		if (rc == 0)
			rc = add_ca(&all, path, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (rc == 0 && all.len == 0)
		rc = err_set(
			err, EXIT_CONFIG, "CA directory '%s' holds no certificate in PEM", path);
	if (rc == 0)
		*ret = xstrdup(buf_str(&all));
	return rc;
}

static int read_pair(const struct credentials_config *config, struct tls_files *f, struct err *err)
{
	const char *cert = config->client_cert, *key = config->client_key;

	if (given(cert) && (f->cert = read_pem("client certificate", cert, err)) == NULL)
		return -1;
	if (given(key) && (f->key = read_pem("client key", key, err)) == NULL)
		return -1;
	if (f->cert == NULL && f->key != NULL)
		return err_set(err, EXIT_CONFIG,
			"client key '%s' comes without a client certificate", key);
	if (f->cert == NULL)
		return 0;
	if (pem_check_pair(f->cert, f->key != NULL ? f->key : f->cert, err) == 0)
		return 0;
	return given(key) ? err_wrap(err, "'%s', '%s'", cert, key) : err_wrap(err, "'%s'", cert);
}

static void tls_files_free(struct tls_files *f)
{
	free(f->ca);
	free(f->cert);
	free(f->key);
	free(f);
}

static struct tls_files *tls_files_read(const struct credentials_config *config, struct err *err)
{
	struct tls_files *f = xcalloc(1, sizeof(*f));
	int rc = 0;

	if (given(config->ca_file))
		rc = read_ca_file(config->ca_file, &f->ca, err);
	else if (given(config->ca_path))
		rc = read_ca_path(config->ca_path, &f->ca, err);
	if (rc == 0)
		rc = read_pair(config, f, err);
	if (rc == 0)
		return f;
	tls_files_free(f);
	return NULL;
}

static int reload_tls(struct credentials *c, struct err *err)
{
	uint64_t stamp = stamp_of_tls(&c->config);
	struct tls_files *f = tls_files_read(&c->config, err);

	if (f == NULL)
		return -1;
	LIST_INSERT_HEAD(&c->all, f, link);
	c->tls = f;
	c->tls_stamp = stamp;
	return 0;
}

/* Not where the last holder drops them: the handle may be cleaned up only after that. */
static void forget_old_tls(struct credentials *c)
{
	struct tls_files *f, *next;

	for (f = LIST_NEXT(c->tls, link); f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (f->holders > 0)
			continue;
		LIST_REMOVE(f, link);
		tls_files_free(f);
	}
}

static bool refresh_tls(struct credentials *c)
{
	struct err err = ERR_INIT;

	forget_old_tls(c);
	if (stamp_of_tls(&c->config) == c->tls_stamp) {
		c->tls_complained = false;
		return false;
	}
	if (reload_tls(c, &err) == 0) {
		c->tls_complained = false;
		log_info("the certificates were read anew");
		return true;
	}
	if (!c->tls_complained)
		log_warn("keeping the old certificates", "error", err.msg);
	c->tls_complained = true;
	return false;
}

/* --- all of it */

struct credentials *credentials_open(const struct credentials_config *config, struct err *err)
{
	struct credentials *c = xcalloc(1, sizeof(*c));

	c->config = *config;
	LIST_INIT(&c->all);
	if (reload_tls(c, err) == 0 && credentials_reload_token(c, err) == 0)
		return c;
	credentials_close(c);
	return NULL;
}

void credentials_close(struct credentials *c)
{
	struct tls_files *f;

	if (c == NULL)
		return;
	while ((f = LIST_FIRST(&c->all)) != NULL) {
		LIST_REMOVE(f, link);
		tls_files_free(f);
	}
	free(c->token);
	free(c);
}

const char *credentials_token(const struct credentials *c)
{
	return c->token;
}

unsigned credentials_tokens(const struct credentials *c)
{
	return c->tokens;
}

bool credentials_refresh(struct credentials *c)
{
	int64_t now = steady_ms();

	if (now < c->check_ms)
		return false;
	c->check_ms = now + CHECK_MS;
	refresh_token(c);
	return refresh_tls(c);
}

/* Not copied: there may be ten thousand handles. libcurl compares the text of connections. */
static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = { .data = (char *)pem, .flags = CURL_BLOB_NOCOPY };

	if (pem == NULL)
		return;
	blob.len = strlen(pem);
	curl_easy_setopt(easy, option, &blob);
}

void credentials_apply(const struct credentials *c, CURL *easy)
{
	const struct tls_files *f = c->tls;

	/* Else libcurl goes on to trust those of the system beside ours. */
	if (f->ca != NULL)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	set_blob(easy, CURLOPT_CAINFO_BLOB, f->ca);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, f->cert);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, f->key);
}

struct tls_files *credentials_hold(struct credentials *c)
{
	c->tls->holders++;
	return c->tls;
}

void credentials_drop(struct tls_files *files)
{
	files->holders--;
}
