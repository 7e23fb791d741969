#include "k8s-apply/dir_name.h"

#include <string.h>
#include <xxhash.h>

#include "lib/buf.h"

/* NAME_MAX is 255; ".yaml" and what a temporary name adds must fit. */
#define MAX_BYTES 200
#define CUT_BYTES 160

static bool is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

char *dir_name_encode(const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char *name = xcalloc(strlen(text) + 1, 3), *end = name;
	XXH128_hash_t hash;

	for (const char *s = text; *s != '\0'; s++) {
		if (is_safe(*s) && !(*s == '.' && s == text)) {
			*end++ = *s;
			continue;
		}
		*end++ = '%';
		*end++ = hex[(unsigned char)*s >> 4];
		*end++ = hex[(unsigned char)*s & 15];
	}
	if (end - name > MAX_BYTES) {
		hash = XXH3_128bits(text, strlen(text));
		name[CUT_BYTES] = '\0';
		end = xasprintf("%s~%016llx%016llx", name, (unsigned long long)hash.high64,
			(unsigned long long)hash.low64);
		free(name);
		return end;
	}
	return name;
}

char *dir_name_file(const char *source, const char *key)
{
	cleanup_free char *folder = dir_name_encode(source);
	cleanup_free char *name = dir_name_encode(key);

	if (strcmp(source, "") == 0)
		return xasprintf("%s/%s.yaml", DIR_NAME_MANIFESTS, name);
	if (strcmp(source, DIR_NAME_MANIFESTS) == 0)
		return xasprintf("%%%02X%s/%s.yaml", source[0], source + 1, name);
	return xasprintf("%s/%s.yaml", folder, name);
}
