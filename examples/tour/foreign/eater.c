/*
 * A foreign library, compiled as its vendor would: no stack checks.
 */
#include "../tour.h"

void eat_frame(void *arg)
{
	struct eater *e = arg;
	volatile unsigned char frame[e->frame];

	for (size_t i = 0; i < e->frame; i++)
		frame[i] = (unsigned char)(i * 7);
	socle_callback(e->callback, e->arg);
	e->intact = true;
	for (size_t i = 0; i < e->frame; i++)
		e->intact &= frame[i] == (unsigned char)(i * 7);
}

void compute(void *arg)
{
	struct computation *c = arg;

	while (!*c->enough)
		c->rounds++;
}

static int depth_of(volatile int *above)
{
	volatile int here = *above + 1;

	return here < 0 ? 0 : depth_of(&here) + here;
}

void recurse(void *unused)
{
	volatile int zero = 0;

	(void)unused;
	depth_of(&zero);
}
