#include "k8s-apply/shelf.h"

#include <assert.h>
#include <string.h>
/* What is read is const. */
#define ZLIB_CONST
#include <zlib.h>

/* A few objects. It is read anew for each text, so it should not be long. */
#define SAMPLE_BYTES 1024

/* The window must hold the sample; without a header, whose check would be a tenth of the rest. */
#define WINDOW_BITS (-13)
#define MEMORY	    5

struct shelf {
	z_stream packer, unpacker;
	char sample[SAMPLE_BYTES];
	size_t sample_len;
	bool sampled; /* the sample is complete: what is packed from now on refers to it */
};

struct shelved {
	uint32_t text_len, len;
	bool sampled;
	unsigned char data[];
};

/* Memory is all that zlib could lack. */

static voidpf allocate(voidpf arg UNUSED, uInt count, uInt size)
{
	return xcalloc(count, size);
}

static void release(voidpf arg UNUSED, voidpf memory)
{
	free(memory);
}

struct shelf *shelf_new(void)
{
	struct shelf *s = xcalloc(1, sizeof(*s));
	int packer, unpacker;

	s->packer = s->unpacker = (z_stream){ .zalloc = allocate, .zfree = release };
	/* The sample does nearly all; to look for more would cost twice the time. */
	packer = deflateInit2(
		&s->packer, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY);
	unpacker = inflateInit2(&s->unpacker, WINDOW_BITS);
	assert(packer == Z_OK && unpacker == Z_OK);
	return s;
}

void shelf_free(struct shelf *s)
{
	if (s == NULL)
		return;
	deflateEnd(&s->packer);
	inflateEnd(&s->unpacker);
	free(s);
}

static void add_to_sample(struct shelf *s, const char *text, size_t len)
{
	size_t room = SAMPLE_BYTES - s->sample_len;

	memcpy(s->sample + s->sample_len, text, len < room ? len : room);
	s->sample_len += len < room ? len : room;
	s->sampled = s->sample_len == SAMPLE_BYTES;
}

struct shelved *shelf_put(struct shelf *s, const char *text)
{
	size_t len = strlen(text);
	size_t most = deflateBound(&s->packer, len);
	cleanup_free unsigned char *data = xcalloc(most, 1);
	struct shelved *kept;
	bool sampled = s->sampled;
	int rc;

	deflateReset(&s->packer);
	if (sampled)
		deflateSetDictionary(&s->packer, (const Bytef *)s->sample, SAMPLE_BYTES);
	else
		add_to_sample(s, text, len);
	s->packer.next_in = (const Bytef *)text;
	s->packer.avail_in = (uInt)len;
	s->packer.next_out = data;
	s->packer.avail_out = (uInt)most;
	rc = deflate(&s->packer, Z_FINISH);
	assert(rc == Z_STREAM_END);
	most -= s->packer.avail_out;
	kept = xcalloc(1, sizeof(*kept) + most);
	*kept = (struct shelved){
		.text_len = (uint32_t)len, .len = (uint32_t)most, .sampled = sampled
	};
	memcpy(kept->data, data, most);
	return kept;
}

char *shelf_get(struct shelf *s, const struct shelved *kept)
{
	char *text = xcalloc(kept->text_len + (size_t)1, 1);
	int rc;

	inflateReset(&s->unpacker);
	if (kept->sampled)
		inflateSetDictionary(&s->unpacker, (const Bytef *)s->sample, SAMPLE_BYTES);
	s->unpacker.next_in = kept->data;
	s->unpacker.avail_in = kept->len;
	s->unpacker.next_out = (Bytef *)text;
	s->unpacker.avail_out = kept->text_len + 1;
	rc = inflate(&s->unpacker, Z_FINISH);
	assert(rc == Z_STREAM_END);
	return text;
}
