#ifndef TOUR_H
#define TOUR_H

#include <stddef.h>

#include "socle.h"

/* What the foreign library offers: a routine with a stack frame of `frame` bytes, which calls back from below it. */
struct eater {
	size_t frame;
	socle_fn callback; /* NULL: none */
	void *arg;
	int intact;        /* out: the frame still held what was written to it before the callback */
	const void *sp;    /* out: where its stack stood */
};

void eat_frame(void *eater);

#endif
