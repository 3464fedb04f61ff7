/*
 * A program that embeds zlib. Compression in pieces goes round a loop that calls back between calls of zlib;
 * decompression is inflateBack(), which does the calling itself.
 */
#include "zip.h"

#include <string.h>
#include <zlib.h>

#define BUFFER 4096

static size_t stack_used(void)
{
	struct socle_stack_info stack;

	socle_stack_query(NULL, &stack);
	return stack.hi - stack.high_water;
}

static z_stream stream_of(struct job *j)
{
	return (z_stream){
		.next_in = (unsigned char *)j->from,
		.avail_in = (uInt)j->from_size,
		.next_out = j->to,
		.avail_out = (uInt)j->to_size,
	};
}

static void finish_job(struct job *j, const z_stream *z, const unsigned char *plain, size_t plain_size)
{
	if (j->error == Z_STREAM_END)
		j->error = Z_OK;
	j->to_size = z->total_out;
	j->crc = (uint32_t)crc32(crc32(0, NULL, 0), plain, (uInt)plain_size);
	j->adler = (uint32_t)adler32(adler32(0, NULL, 0), plain, (uInt)plain_size);
	j->stack_used = stack_used();
}

void compress_job(void *job)
{
	struct job *j = job;
	z_stream z = stream_of(j);
	unsigned long clock = j->clock != NULL ? *j->clock : 0;

	j->error = deflateInit(&z, j->level);
	if (j->error != Z_OK)
		return;
	j->error = deflate(&z, Z_FINISH);
	finish_job(j, &z, j->from, j->from_size);
	deflateEnd(&z);
	if (j->clock != NULL)
		j->clock_moved = *j->clock - clock;
}

void decompress_job(void *job)
{
	struct job *j = job;
	z_stream z = stream_of(j);

	j->error = inflateInit(&z);
	if (j->error != Z_OK)
		return;
	j->error = inflate(&z, Z_FINISH);
	finish_job(j, &z, j->to, z.total_out);
	inflateEnd(&z);
}

/* ---- In pieces, without zlib's header: inflateBack() is for those ---- */

static int hand_on(struct stream *s, unsigned char *bytes, unsigned size)
{
	struct piece p = {s, bytes, size};

	return size > 0 ? socle_callback(s->write, &p) : 0;
}

void compress_stream(void *stream)
{
	struct stream *s = stream;
	unsigned char out[BUFFER];
	z_stream z = {0};
	struct piece p;

	s->error = deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
	if (s->error != Z_OK)
		return;
	do {
		p = (struct piece){s, NULL, 0};
		if (socle_callback(s->read, &p) < 0)
			break;
		z.next_in = (unsigned char *)p.bytes;
		z.avail_in = (uInt)p.size;
		do {
			z.next_out = out;
			z.avail_out = sizeof out;
			s->error = deflate(&z, p.size > 0 ? Z_NO_FLUSH : Z_FINISH);
			if (hand_on(s, out, (unsigned)(sizeof out - z.avail_out)) < 0)
				break;
		} while (z.avail_out == 0);
	} while (p.size > 0);
	if (s->error == Z_STREAM_END)
		s->error = Z_OK;
	deflateEnd(&z);
	s->stack_used = stack_used();
}

static unsigned more(void *stream, z_const unsigned char **bytes)
{
	struct piece p = {stream, NULL, 0};

	socle_callback(p.stream->read, &p);
	*bytes = (z_const unsigned char *)p.bytes;
	return (unsigned)p.size;
}

static int write_out(void *stream, unsigned char *bytes, unsigned size) { return hand_on(stream, bytes, size); }

void decompress_stream(void *stream)
{
	struct stream *s = stream;
	unsigned char window[1 << MAX_WBITS];
	z_stream z = {0};

	s->error = inflateBackInit(&z, MAX_WBITS, window);
	if (s->error != Z_OK)
		return;
	s->error = inflateBack(&z, more, s, write_out, s);
	if (s->error == Z_STREAM_END)
		s->error = Z_OK;
	inflateBackEnd(&z);
	s->stack_used = stack_used();
}
