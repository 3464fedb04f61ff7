#include "vendor.h"

void call_back(void *arg)
{
	struct call *c = arg;
	volatile char frame[2048];

	__asm__ volatile("" : : "r"(frame) : "memory");
	socle_callback(c->fn, c->arg);
	c->returned = true;
	__asm__ volatile("" : : "r"(frame) : "memory");
}

void panic_itself(void *unused)
{
	(void)unused;
	socle_panic("foreign code gives up");
}

static int deeper(volatile int *above)
{
	volatile int here[16];

	here[0] = *above + 1;
	return here[0] < 0 ? 0 : deeper(here) + here[0];
}

void recurse_unchecked(void *unused)
{
	volatile int zero = 0;

	(void)unused;
	deeper(&zero);
}

void read_null(void *unused)
{
	(void)unused;
	(void)*(volatile int *)8;
}

void read_guard(void *lo) { (void)((volatile char *)lo)[-8]; }
