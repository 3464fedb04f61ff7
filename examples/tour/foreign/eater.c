/*
 * A foreign library, compiled as its vendor would: no stack checks. It fills a big array on its stack, calls back in
 * the middle of its work, and looks whether the array has survived.
 */
#include <stdint.h>

#include "../tour.h"

void eat_frame(void *arg)
{
	struct eater *e = arg;
	volatile unsigned char frame[e->frame];

	for (size_t i = 0; i < e->frame; i++)
		frame[i] = (unsigned char)(i * 7);
	e->sp = __builtin_frame_address(0);
	if (e->callback != NULL)
		socle_callback(e->callback, e->arg);
	e->intact = 1;
	for (size_t i = 0; i < e->frame; i++)
		e->intact &= frame[i] == (unsigned char)(i * 7);
}
