#include "mesh-map/item.h"

#include <string.h>
#include <xxhash.h>

#define LATE_MS 1000

struct item *item_new(enum item_kind kind, long long line, const char *text, size_t len)
{
	struct item *item = xcalloc(1, sizeof(*item));

	item->kind = kind;
	item->line = line;
	item->state = kind == ITEM_SERVICE ? ITEM_QUEUED : ITEM_DONE;
	if (text != NULL) {
		item->text = xcalloc(len + 1, 1);
		memcpy(item->text, text, len);
		item->len = len;
	}
	return item;
}

void item_free(struct item *item)
{
	if (item == NULL)
		return;
	free(item->source);
	free(item->subject);
	free(item->text);
	free(item->answer);
	free(item->problem);
	free(item);
}

void item_name(struct item *item, const char *source, size_t source_len, const char *service,
	size_t service_len)
{
	item->source = xstrndup(source, source_len);
	item->subject = xasprintf("%s/%.*s", item->source, (int)service_len, service);
	item->hash = XXH3_64bits(item->subject, strlen(item->subject));
}

bool item_is_late(const struct item *item)
{
	return item->state == ITEM_GIVEN && item->in_hand_ms > 0 &&
	       steady_ms() - item->in_hand_ms >= LATE_MS;
}
