#include "mesh-map/check_place.h"

#include <stdarg.h>
#include <string.h>

#include "lib/buf.h"

#define MAX_VALUE 80
#define MAX_PATH  400

/* "spec.ports[1].name"; a key that has more than a name's characters is quoted. */
static int add_path(struct buf *b, const struct place *p)
{
	if (p->up != NULL && add_path(b, p->up) < 0)
		return -1;
	if (p->key == NULL)
		return buf_addf(b, "[%d]", p->index);
	if (strpbrk(p->key, "./ '\n\t\r") != NULL || strlen(p->key) > MAX_VALUE)
		return buf_addf(b, "['%.*s']", MAX_VALUE, p->key);
	return buf_addf(b, "%s%s", b->len > 0 ? "." : "", p->key);
}

/* Cuts before the character that would be the first one too much. */
static int cut(const char *s, int most)
{
	int len = (int)strnlen(s, (size_t)most + 1);

	if (len <= most)
		return len;
	len = most;
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	return len;
}

static char *show(jv value)
{
	bool missing = !jv_is_valid(value) || jvx_is(value, JV_KIND_NULL);
	cleanup_free char *text = missing			  ? xstrdup("missing")
				  : jvx_is(value, JV_KIND_STRING) ? xstrdup(jv_string_value(value))
								  : jvx_dump(value);
	const char *quote = jvx_is(value, JV_KIND_STRING) ? "'" : "";
	int len = cut(text, MAX_VALUE);

	for (char *s = text; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	return xasprintf("%s%.*s%s%s", quote, len, text, text[len] != '\0' ? "..." : "", quote);
}

static int fail(
	const struct place *p, const char *value, struct err *err, const char *rule, va_list ap)
{
	cleanup_buf struct buf path;
	char text[256];

	buf_init(&path, MAX_PATH);
	if (add_path(&path, p) < 0) {
		/* Too long: what there is of it. */
	}
	vsnprintf(text, sizeof(text), rule, ap);
	return err_set(err, EXIT_SOME_FAILED, "%s: %s: %s", buf_str(&path), text, value);
}

int place_fail(const struct place *p, jv value, struct err *err, const char *rule, ...)
{
	cleanup_free char *shown = show(value);
	va_list ap;
	int rc;

	va_start(ap, rule);
	rc = fail(p, shown, err, rule, ap);
	va_end(ap);
	return rc;
}

int place_fail_count(
	const struct place *p, int count, const char *of, struct err *err, const char *rule, ...)
{
	cleanup_free char *shown = xasprintf("%d %s", count, of);
	va_list ap;
	int rc;

	va_start(ap, rule);
	rc = fail(p, shown, err, rule, ap);
	va_end(ap);
	return rc;
}
