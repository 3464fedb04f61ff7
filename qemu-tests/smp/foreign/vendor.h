#ifndef VENDOR_H
#define VENDOR_H

#include "socle.h"

/* Uses a frame of 20 KiB, calls back with arg, and says whether its frame is as it was. */
struct caller {
	socle_fn fn;
	void *arg;
	int error, intact;
};
void call_back(void *caller);

void read_null(void *unused);
void recurse(void *unused);				/* without end */
void compute(void *until /* const volatile int64_t */); /* that time of socle_now() */

#endif
