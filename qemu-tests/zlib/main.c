/*
 * zlib as it is released, in foreign calls: a megabyte that the host's zlib has compressed; there and back at several
 * levels; and a pipe of two foreign calls, the one compressing and the other decompressing, both blocking in callbacks.
 * With the argument "ticker": others run while one call computes.
 */
#include <stdlib.h>
#include <string.h>

#include "foreign/zip.h"
#include "megabyte.h"
#include "qemu-tests/check.h"

#define MEGABYTE ((size_t)1 << 20)
#define PIECE 10007

static unsigned char *text, *compressed, *again;
static size_t most_stack_used[3]; /* compressing, decompressing, decompressing in pieces */
static const struct socle_foreign_attr own_stack = {.stack_size = 256 << 10};

static void note_stack(int which, size_t used)
{
	if (used > most_stack_used[which])
		most_stack_used[which] = used;
}

/* ---- In one go ---- */

static void test_host(void)
{
	struct job j = {
		.from = megabyte_compressed, .from_size = sizeof megabyte_compressed, .to = text, .to_size = MEGABYTE};

	CHECK(socle_foreign_call_attr(&own_stack, decompress_job, &j) == 0 && j.error == 0);
	CHECK(j.to_size == MEGABYTE && j.crc == MEGABYTE_CRC32 && j.adler == MEGABYTE_ADLER32);
}

static size_t compress_at(int level, const volatile unsigned long *clock, unsigned long *moved)
{
	struct job j = {.from = text,
			.from_size = MEGABYTE,
			.to = compressed,
			.to_size = MEGABYTE,
			.level = level,
			.clock = clock};

	CHECK(socle_foreign_call_attr(&own_stack, compress_job, &j) == 0 && j.error == 0);
	CHECK(j.crc == MEGABYTE_CRC32 && j.adler == MEGABYTE_ADLER32);
	note_stack(0, j.stack_used);
	if (moved != NULL)
		*moved = j.clock_moved;
	return j.to_size;
}

static void decompress(size_t size)
{
	struct job j = {.from = compressed, .from_size = size, .to = again, .to_size = MEGABYTE};

	memset(again, 0, MEGABYTE);
	CHECK(socle_foreign_call_attr(&own_stack, decompress_job, &j) == 0 && j.error == 0);
	CHECK(j.to_size == MEGABYTE && j.crc == MEGABYTE_CRC32 && memcmp(again, text, MEGABYTE) == 0);
	note_stack(1, j.stack_used);
}

static void test_round_trips(void)
{
	size_t last = MEGABYTE;

	for (int level = 1; level <= 9; level += 4) {
		size_t size = compress_at(level, NULL, NULL);

		CHECK(size < last && size > MEGABYTE / 10);
		decompress(size);
		last = size;
	}
}

static void test_damaged(void)
{
	struct job j = {.from = compressed, .from_size = compress_at(1, NULL, NULL), .to = again, .to_size = MEGABYTE};

	compressed[j.from_size / 2] ^= 1;
	CHECK(socle_foreign_call_attr(&own_stack, decompress_job, &j) == 0 && j.error != 0);
}

/* ---- A pipe: each piece is handed over in callbacks of both ends ---- */

struct pipe {
	socle_chan *pieces, *taken; /* the bytes lie in the sender's frames, so the sender waits until they are taken */
	size_t read, written, pieces_through;
	bool wrong, holding;
};

static void read_text(void *arg)
{
	struct piece *p = arg;
	struct pipe *pipe = p->stream->owner;
	size_t left = MEGABYTE - pipe->read;

	p->bytes = text + pipe->read;
	p->size = left < PIECE ? left : PIECE;
	pipe->read += p->size;
}

static void send_piece(void *arg)
{
	struct piece *p = arg;
	struct pipe *pipe = p->stream->owner;

	socle_chan_send(pipe->pieces, p);
	socle_chan_recv(pipe->taken, NULL);
	pipe->pieces_through++;
}

static void receive_piece(void *arg)
{
	struct piece *p = arg;
	struct pipe *pipe = p->stream->owner;
	struct piece received = {0};
	char token = 0;

	if (pipe->holding)
		socle_chan_send(pipe->taken, &token);
	pipe->holding = socle_chan_recv(pipe->pieces, &received) == 0;
	p->bytes = received.bytes;
	p->size = received.size;
}

static void compare_text(void *arg)
{
	struct piece *p = arg;
	struct pipe *pipe = p->stream->owner;

	pipe->wrong |= pipe->written + p->size > MEGABYTE || memcmp(text + pipe->written, p->bytes, p->size) != 0;
	pipe->written += p->size;
}

static void decompress_other_end(void *arg)
{
	struct pipe *pipe = arg;
	struct stream s = {.read = receive_piece, .write = compare_text, .owner = pipe};
	char token = 0;

	CHECK(socle_foreign_call_attr(&own_stack, decompress_stream, &s) == 0 && s.error == 0);
	if (pipe->holding)
		socle_chan_send(pipe->taken, &token);
	note_stack(2, s.stack_used);
}

static volatile unsigned long ticks;
static volatile bool ticking;

static void tick(void *arg)
{
	(void)arg;
	for (; ticking; ticks = ticks + 1)
		socle_yield();
}

static void test_pipe(void)
{
	struct pipe pipe = {socle_chan_make(sizeof(struct piece), 0), socle_chan_make(1, 0), 0, 0, 0, false, false};
	struct stream s = {.read = read_text, .write = send_piece, .owner = &pipe};
	unsigned long before = ticks;

	ticking = true;
	socle_go(tick, NULL);
	socle_go(decompress_other_end, &pipe);
	CHECK(socle_foreign_call_attr(&own_stack, compress_stream, &s) == 0 && s.error == 0);
	socle_chan_close(pipe.pieces);
	ticking = false;
	wait_for_others();
	CHECK(pipe.read == MEGABYTE && pipe.written == MEGABYTE && !pipe.wrong);
	CHECK(pipe.pieces_through > 50 && ticks > before + pipe.pieces_through / 2);
	socle_chan_free(pipe.pieces);
	socle_chan_free(pipe.taken);
}

/* ---- While a call computes ---- */

static void sleep_and_tick(void *arg)
{
	(void)arg;
	for (; ticking; ticks = ticks + 1)
		socle_sleep(1000000);
}

static void test_ticker(void)
{
	unsigned long moved = 0;

	ticking = true;
	socle_go(sleep_and_tick, NULL);
	compress_at(6, &ticks, &moved);
	ticking = false;
	wait_for_others();
	CHECK(moved >= 2);
}

static void all(void)
{
	test_damaged();
	test_pipe();
}

int main(int argc, char **argv)
{
	text = malloc(MEGABYTE);
	compressed = malloc(MEGABYTE);
	again = malloc(MEGABYTE);
	test_host();
	if (argc > 1 && strcmp(argv[1], "ticker") == 0) {
		repeatedly(test_ticker);
		return finish();
	}
	test_round_trips();
	repeatedly(all);
	printf("stack used: %zu bytes compressing, %zu decompressing, %zu with a window of 32 KiB on it\n",
	       most_stack_used[0], most_stack_used[1], most_stack_used[2]);
	return finish();
}
