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

/* Computes with so many bytes of its stack left, until it is to stop, or for some hundred thousand instructions. */
struct edge {
	uintptr_t (*lo)(void); /* of the stack it runs on */
	size_t left;
	volatile bool *stop;
	bool intact; /* out */
};

/* Asks the runtime, at that distance from the end of the page that it runs on. */
struct question {
	size_t left;
	int answer; /* out: errno, which was `left` */
};

void large_frame(void *frame);
void compute_at_edge(void *edge);
void ask_at_edge(void *question);
void print_doubles(void *text);
bool stack_is_aligned(const void *frame_address);

#endif
