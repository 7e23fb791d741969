/*
 * Any bytes as an input of k8s-apply: records, manifests, YAML, JSON over several lines.
 *
 * Whatever the bytes: it ends; what is handed out has an identity, and a body that is read back
 * as the same; what cannot be read is said in one line with its place.
 */
#include <string.h>
#include <sys/mman.h>

#include "k8s-apply/feed.h"
#include "k8s-apply/input.h"
#include "tests/fuzz/fuzz.h"

char fuzz_outcome[600];

struct seen {
	unsigned applied, others, unreadable;
	bool ended;
	char why[300]; /* of the first that could not be read */
};

static void check_id(const struct object_id *id)
{
	MUST(*id->kind != '\0' && *id->name != '\0', "an object without kind or name");
}

static void check_manifest(const struct manifest *m)
{
	struct err err = ERR_INIT;
	cleanup_jv jv object = jvx_parse(m->body, strlen(m->body), &err);
	struct manifest again = { .body = NULL };

	check_id(&m->id);
	MUST(jv_is_valid(object), "a body that is no JSON: %s", err.msg);
	MUST(manifest_identify(object, NULL, &again, &err) == 0 &&
			manifest_read_body(object, &again, &err) == 0,
		"a body that is refused: %s", err.msg);
	MUST(object_id_compare(&m->id, &again.id) == 0 && m->hash == again.hash,
		"another object:\n%s\n%s", m->body, again.body);
	manifest_release(&again);
}

static void on_apply(void *arg, struct plan_desired *d)
{
	struct seen *s = arg;

	s->applied++;
	MUST(d->key != NULL && *d->key != '\0', "an apply without a key");
	for (size_t i = 0; i < d->count; i++) {
		check_manifest(&d->manifests[i]);
		MUST(i == 0 || object_id_compare(&d->manifests[i - 1].id, &d->manifests[i].id) < 0,
			"not sorted");
	}
	for (size_t i = 0; i < d->keep_count; i++)
		check_id(&d->keeps[i].m.id);
}

static void on_start(void *arg, const char *source, const char *snapshot, const char *scope)
{
	MUST(*source != '\0' && *snapshot != '\0' && scope != NULL, "a start without its fields");
	((struct seen *)arg)->others++;
}

static void on_keep(void *arg, const char *source, const char *key)
{
	MUST(*source != '\0' && *key != '\0', "a keep without its fields");
	((struct seen *)arg)->others++;
}

static void on_synced(void *arg, const char *source, const char *snapshot, uint64_t keys UNUSED)
{
	MUST(*source != '\0' && *snapshot != '\0', "a synced without its fields");
	((struct seen *)arg)->others++;
}

static void on_status(void *arg, const char *source, const char *state)
{
	MUST(*source != '\0' && state != NULL, "a status without its fields");
	((struct seen *)arg)->others++;
}

static void on_telling(void *arg UNUSED, jv status UNUSED)
{
}

static int on_value(void *arg, jv v, struct err *err)
{
	const struct feed_handler h = {
		.on_start = on_start,
		.on_apply = on_apply,
		.on_keep = on_keep,
		.on_synced = on_synced,
		.on_status = on_status,
		.on_telling = on_telling,
		.arg = arg,
	};

	return feed_value(v, "default", &h, err);
}

static void on_unreadable(void *arg, const struct err *err)
{
	struct seen *s = arg;

	MUST(str_starts(err->msg, "f:"), "no place in '%s'", err->msg);
	if (s->unreadable++ == 0)
		snprintf(s->why, sizeof(s->why), "%.250s", err->msg);
}

static void on_end(void *arg, const struct err *err)
{
	struct seen *s = arg;

	MUST(err == NULL && !s->ended, "an end that is none");
	s->ended = true;
}

static void read_all(int fd, struct seen *s)
{
	const struct input_handler handler = {
		.on_value = on_value, .on_unreadable = on_unreadable, .on_end = on_end, .arg = s
	};
	struct err err = ERR_INIT;
	struct input *in;
	uv_loop_t loop;

	uv_loop_init(&loop);
	in = input_open(&loop, fd, "f", &handler, &err);
	MUST(in != NULL, "%s", err.msg);
	uv_run(&loop, UV_RUN_DEFAULT);
	input_close(in);
	uv_run(&loop, UV_RUN_DEFAULT);
	MUST(uv_loop_close(&loop) == 0, "something is still open");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen s = { .ended = false };
	int fd = memfd_create("f", MFD_CLOEXEC);

	MUST(fd >= 0 && write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0, "memory");
	fuzz_leaks_begin();
	read_all(fd, &s);
	fuzz_leaks_end();
	close(fd);
	MUST(s.ended, "no end");
	snprintf(fuzz_outcome, sizeof(fuzz_outcome), "%u applied, %u others, %u unreadable%s%s",
		s.applied, s.others, s.unreadable, s.unreadable > 0 ? ": " : "", s.why);
	return 0;
}
