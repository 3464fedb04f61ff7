/* What the program that embeds zlib offers: all in foreign calls. */
#ifndef ZIP_H
#define ZIP_H

#include <stddef.h>
#include <stdint.h>

#include "socle.h"

/* From memory to memory, in one go. */
struct job {
	const unsigned char *from;
	unsigned char *to;
	size_t from_size, to_size; /* to_size: what there is, then what was written */
	int level;
	int error;			     /* zlib's; 0 none */
	uint32_t crc, adler;		     /* of what is not compressed */
	const volatile unsigned long *clock; /* NULL, or what others count */
	unsigned long clock_moved;	     /* by how much it did meanwhile */
	size_t stack_used;
};

void compress_job(void *job);
void decompress_job(void *job);

/* In pieces, which it calls back for. */
struct stream {
	socle_fn read, write; /* with a struct piece; read: size 0 is the end */
	void *owner;
	int error;
	size_t stack_used;
};

struct piece {
	struct stream *stream;
	const unsigned char *bytes;
	size_t size;
};

void compress_stream(void *stream);
void decompress_stream(void *stream);

#endif
