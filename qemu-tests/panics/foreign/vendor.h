#ifndef VENDOR_H
#define VENDOR_H

#include "socle.h"

struct call {
	socle_fn fn; /* to call back */
	void *arg;
	bool returned; /* out: the callback came back, which it must not when it panics */
};

void call_back(void *call);
void panic_itself(void *unused);
void recurse_unchecked(void *unused);
void read_null(void *unused);
void read_guard(void *lo); /* of a stack */

#endif
