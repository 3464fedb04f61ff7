#include "vendor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-tests/hold.h"

void call_back(void *arg)
{
	struct caller *c = arg;

	for (int i = 0; i < c->times; i++)
		c->errors += socle_callback(c->fn, c->arg) != 0;
	socle_callback(c->done, c);
}

void read_null(void *unused)
{
	(void)unused;
	*(volatile char *)8;
}

void call_back_once(void *fn) { socle_callback((socle_fn)fn, NULL); }

void fill_stack(void *arg)
{
	struct filler *f = arg;
	unsigned char bytes[f->bytes];

	memset(bytes, 0x5a, sizeof bytes);
	f->lo = (uintptr_t)bytes;
	f->hi = (uintptr_t)__builtin_frame_address(0);
	f->result = socle_callback(f->fn, f);
	f->error = errno;
	f->kept = true;
	for (size_t i = 0; i < sizeof bytes; i++)
		f->kept &= bytes[i] == 0x5a;
	*(volatile bool *)&f->kept;
	if (f->result == 0)
		socle_callback(f->done, f);
}

void work(void *arg)
{
	struct worker *w = arg;
	char text[64], expected[64];

	for (int i = 0; i < w->rounds; i++) {
		char *volatile s; /* or clang makes nothing of malloc and free */

		errno = w->value + i;
		s = malloc(1 + (size_t)(w->value * 37 + i) % 1000);
		s[0] = 'x';
		snprintf(text, sizeof text, "%d.%d %g", w->value, i, i / 8.0);
		sprintf(expected, "%d.%d %g", w->value, i, i / 8.0);
		w->errors += strcmp(text, expected) != 0 || s[0] != 'x' || errno != w->value + i;
		free(s);
		for (size_t n = 1; n < 20; n++) /* most of the time with a lock held */
			free((s = malloc(n * 10)));
		if (i % 64 == 0)
			w->errors += socle_callback(w->fn, w) != 0 || errno != w->value + i + 1;
	}
	socle_callback(w->done, w);
}

void spin(void *arg)
{
	struct spinner *s = arg;

	while (!*s->stop)
		s->rounds++;
	socle_callback(s->done, s);
}

void hold_registers(void *arg)
{
	struct holder *h = arg;
	static volatile char touched;

	h->kept = held(h->seed, &touched, h->times);
	socle_callback(h->done, h);
}

__attribute__((noinline)) static int recurse(int n)
{
	volatile char frame[1024];

	frame[0] = (char)n;
	return n == 0 ? 0 : recurse(n - 1) + frame[0];
}

void overflow(void *unused)
{
	(void)unused;
	recurse(1 << 20);
}

void starts_another(void *arg)
{
	if (socle_foreign_thread(NULL, call_back, arg) != 0)
		((struct caller *)arg)->errors += 1000;
}
