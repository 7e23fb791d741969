#include "k8s-apply/intern.h"

#include <string.h>

struct entry {
	size_t len;
	size_t holders;
	char bytes[];
};

static struct entry *entry_of(const void *bytes)
{
	return (struct entry *)((uintptr_t)bytes - offsetof(struct entry, bytes));
}

void *intern_bytes(struct intern *in, const void *bytes, size_t len)
{
	struct entry *e = map_get(&in->map, bytes, len);

	if (e == NULL) {
		e = xcalloc(1, sizeof(*e) + len);
		e->len = len;
		memcpy(e->bytes, bytes, len);
		map_add(&in->map, e->bytes, len, e);
	}
	e->holders++;
	return e->bytes;
}

const char *intern_text(struct intern *in, const char *text)
{
	return intern_bytes(in, text, strlen(text) + 1);
}

size_t intern_len(const void *bytes)
{
	return bytes != NULL ? entry_of(bytes)->len : 0;
}

void intern_drop(struct intern *in, const void *bytes)
{
	struct entry *e;

	if (bytes == NULL)
		return;
	e = entry_of(bytes);
	if (--e->holders > 0)
		return;
	map_remove(&in->map, e->bytes, e->len);
	free(e);
}

void intern_release(struct intern *in)
{
	struct entry *e;
	size_t pos = 0;

	while ((e = map_next(&in->map, &pos)) != NULL)
		free(e);
	map_release(&in->map);
}
