#include "mesh-map/test_options.h"

#include <string.h>

static const struct {
	const char *letter, *name;
	size_t field; /* of struct test: where the value goes */
	bool is_list;
} options[] = {
	{ "-f", "--program", offsetof(struct test, programs), true },
	{ "-L", "--library", offsetof(struct test, lib_dirs), true },
	{ "", "--config", offsetof(struct test, config), false },
};

static void add_word(struct test_words *words, char *word)
{
	words->item = xrealloc(words->item, words->count + 1, sizeof(char *));
	words->item[words->count++] = word;
}

static void release_words(struct test_words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->item[i]);
	free(words->item);
	*words = (struct test_words){ .item = NULL };
}

static int split(const char *text, struct test_words *words, struct err *err)
{
	for (;;) {
		const char *stop = " \t";
		size_t len;

		text += strspn(text, stop);
		if (*text == '\0')
			return 0;
		if (*text == '\'' || *text == '"') {
			stop = *text == '\'' ? "'" : "\"";
			if (strchr(++text, *stop) == NULL)
				return err_set(err, EXIT_BAD_INPUT, "a quote that does not end");
		}
		len = strcspn(text, stop);
		add_word(words, xstrndup(text, len));
		text += len + (*stop != ' ');
	}
}

static void set(struct test *t, size_t option, const char *value)
{
	void *field = (char *)t + options[option].field;

	if (options[option].is_list) {
		add_word(field, xstrdup(value));
	} else {
		free(*(char **)field);
		*(char **)field = xstrdup(value);
	}
}

/* The value that is a part of the word (-fX, --program=X), or NULL. */
static const char *attached(size_t option, const char *word)
{
	size_t len = strlen(options[option].name);

	if (strncmp(word, options[option].name, len) == 0 && word[len] == '=')
		return word + len + 1;
	if (*options[option].letter != '\0' && str_starts(word, options[option].letter) &&
		word[2] != '\0')
		return word + 2;
	return NULL;
}

/* Takes the option at *at, and its value. */
static int take(struct test *t, const struct test_words *words, size_t *at, struct err *err)
{
	const char *word = words->item[(*at)++];

	if (strcmp(word, "--no-validate") == 0) {
		t->no_validate = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const char *value = attached(i, word);

		if (value == NULL && strcmp(word, options[i].letter) != 0 &&
			strcmp(word, options[i].name) != 0)
			continue;
		if (value == NULL && *at == words->count)
			return err_set(err, EXIT_BAD_INPUT, "option '%s' needs a value", word);
		set(t, i, value != NULL ? value : words->item[(*at)++]);
		return 0;
	}
	return err_set(err, EXIT_BAD_INPUT,
		"'%s' is not an option of a test (-f FILE, -L DIR, --config FILE, --no-validate)",
		word);
}

int test_options_parse(struct test *t, const char *text, struct err *err)
{
	__attribute__((cleanup(release_words))) struct test_words words = { .item = NULL };
	size_t at = 0;

	if (split(text, &words, err) < 0)
		return -1;
	while (at < words.count)
		if (take(t, &words, &at, err) < 0)
			return -1;
	return 0;
}

void test_options_release(struct test *t)
{
	release_words(&t->programs);
	release_words(&t->lib_dirs);
	free(t->config);
}
