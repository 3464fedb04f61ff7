#include "vendor.h"

#include <errno.h>

void call_back(void *arg)
{
	struct caller *c = arg;
	volatile unsigned frame[5000];

	for (unsigned i = 0; i < 5000; i += 50)
		frame[i] = i ^ (unsigned)(uintptr_t)c;
	c->error = socle_callback(c->fn, c->arg) < 0 ? errno : 0;
	c->intact = 1;
	for (unsigned i = 0; i < 5000; i += 50)
		c->intact &= frame[i] == (i ^ (unsigned)(uintptr_t)c);
}

void read_null(void *unused)
{
	(void)unused;
	*(volatile int *)8;
}

#pragma clang diagnostic ignored "-Winfinite-recursion"
static int deeper(int depth)
{
	volatile char frame[2000];

	frame[depth % 2000] = 1;
	return deeper(depth + 1) + frame[0];
}

void recurse(void *unused)
{
	(void)unused;
	deeper(0);
}

void compute(void *until)
{
	while (socle_now() < *(int64_t *)until)
		;
}
