#include "k8s-apply/word_set.h"

#include <string.h>

#include "lib/buf.h"

#define MAX_LIST_BYTES (1u << 20)

void word_set_init(struct word_set *s)
{
	s->words = jv_object();
}

void word_set_release(struct word_set *s)
{
	jv_free(s->words);
}

void word_set_add(struct word_set *s, const char *list, uint64_t serial)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ",");
		cleanup_free char *word = xstrndup(list, len);

		if (len > 0 && !word_set_has(s, word))
			jvx_set(&s->words, word, jv_number((double)serial));
		list += len + (list[len] == ',');
	}
}

bool word_set_has(const struct word_set *s, const char *word)
{
	return jvx_num_field(s->words, word, -1) >= 0;
}

bool word_set_had(const struct word_set *s, const char *word, uint64_t serial)
{
	double added = jvx_num_field(s->words, word, -1);

	return added >= 0 && added <= (double)serial;
}

void word_set_each(
	const struct word_set *s, void (*on_word)(void *arg, const char *word), void *arg)
{
	cleanup_jv jv words = jvx_keys(s->words);

	for (int i = 0; i < jvx_length(words); i++) {
		cleanup_jv jv word = jvx_at(words, i);

		on_word(arg, jv_string_value(word));
	}
}

struct joined {
	struct buf list;
	const char *but;
	bool full; /* it is more than a ConfigMap holds */
};

static void join_one(void *arg, const char *word)
{
	struct joined *j = arg;

	if (strcmp(word, j->but) != 0 && !j->full)
		j->full = buf_addf(&j->list, "%s%s", j->list.len > 0 ? "," : "", word) < 0;
}

char *word_set_join(const struct word_set *s, const char *but)
{
	struct joined j = { .but = but };
	char *text;

	buf_init(&j.list, MAX_LIST_BYTES);
	word_set_each(s, join_one, &j);
	text = xstrdup(buf_str(&j.list));
	buf_release(&j.list);
	return text;
}
