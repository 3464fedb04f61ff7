#ifndef VENDOR_H
#define VENDOR_H

#include <stddef.h>

#include "socle.h"

/* Foreign routines: compiled without checks, called through socle_foreign_call() only. */

struct frame {
	size_t bytes;
	socle_fn callback;
	void *arg;
	int times;    /* to call back */
	int error;    /* out: errno of a callback that was refused */
	bool intact;  /* out */
	bool aligned; /* out: SP was aligned as the ABI asks */
	double sum;   /* out: of floating-point values held in registers across the callbacks */
};

void large_frame(void *frame);
void print_doubles(void *text);
bool stack_is_aligned(const void *frame_address);

#endif
