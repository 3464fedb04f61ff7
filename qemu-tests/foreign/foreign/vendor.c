#include "vendor.h"

#include <errno.h>
#include <stdio.h>

/* At the entry of a function SP is 16-byte aligned before the return address on x86, 8-byte aligned on ARM; the frame
 * pointer, pushed first, shows it. The volatile vector makes the compiler rely on it too. */
bool stack_is_aligned(const void *frame_address)
{
	uintptr_t fp = (uintptr_t)frame_address;

#ifdef __arm__
	return fp % 8 == 0;
#elif defined __x86_64__
	return fp % 16 == 0;
#else
	return (fp + 8) % 16 == 0;
#endif
}

void large_frame(void *arg)
{
	struct frame *f = arg;
	volatile unsigned char frame[f->bytes];
	double a = 1.5, b = 2.25, c = 4.125;

	f->aligned = stack_is_aligned(__builtin_frame_address(0));
	for (size_t i = 0; i < f->bytes; i += 61)
		frame[i] = (unsigned char)(i ^ f->bytes);
	__asm__ volatile("" : "+m"(a), "+m"(b), "+m"(c));
	for (int i = 0; i < f->times; i++)
		if (socle_callback(f->callback, f->arg) < 0)
			f->error = errno;
	f->sum = a + b * c;
	f->intact = true;
	for (size_t i = 0; i < f->bytes; i += 61)
		f->intact &= frame[i] == (unsigned char)(i ^ f->bytes);
}

void compute_at_edge(void *arg)
{
	struct edge *e = arg;
	volatile unsigned char frame[(uintptr_t)__builtin_frame_address(0) - e->lo() - e->left];

	frame[0] = 1;
	for (volatile int i = 0; i < 100000 && !*e->stop; i++)
		;
	e->intact = frame[0] == 1;
}

void ask_at_edge(void *arg)
{
	struct question *q = arg;
	volatile unsigned char frame[(uintptr_t)__builtin_frame_address(0) % 4096 - q->left];

	__asm__ volatile("" : : "r"(frame) : "memory");
	errno = (int)q->left;
	q->answer = errno;
}

void print_doubles(void *text) { snprintf(text, 64, "%.3f %g %e", 3.14159, 1e100, 0.1); }
