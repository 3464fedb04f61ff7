/* The foreign side. */
#include "bench/bench.h"

void foreign_empty(void *arg) { (void)arg; }
void foreign_callback(void *fn) { socle_callback((socle_fn)fn, NULL); }

void foreign_callback_64k(void *fn)
{
	volatile char frame[64 << 10];

	frame[0] = 0;
	socle_callback((socle_fn)fn, NULL);
	frame[0] = 1;
}

void foreign_callbacks(void *callbacks)
{
	struct callbacks *c = callbacks;

	REPEAT(c->n)
	socle_callback(c->fn, NULL);
}

void foreign_thread(void *callbacks)
{
	struct callbacks *c = callbacks;
	uint64_t from = instructions();

	foreign_callbacks(c);
	c->taken = instructions() - from;
	socle_callback(c->done, c);
}

void foreign_read_null(void *arg)
{
	(void)arg;
	(void)*(volatile int *)NULL;
}
