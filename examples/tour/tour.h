#ifndef TOUR_H
#define TOUR_H

#include <stddef.h>

#include "socle.h"

/* A foreign library's routine, with a stack frame of `frame` bytes, that calls back from below it. */
struct eater {
	size_t frame;
	socle_fn callback;
	void *arg;
	bool intact; /* out: after the callback the frame still held what was written to it before */
};

/* Counts until somebody has had enough of it. */
struct computation {
	volatile bool *enough;
	unsigned long rounds;
};

void compute(void *computation);
void eat_frame(void *eater);

/* Calls itself without end. */
void recurse(void *unused);

#endif
