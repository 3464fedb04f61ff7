/* A foreign runtime that is too eager: boot hands it g0, and it tries to call back at once. */
#include <errno.h>

#include "vendor.h"

int init_calls, init_error;

static void count(void *n) { ++*(int *)n; }

void socle_foreign_init(struct g *g0)
{
	uintptr_t lo, hi;

	socle_g_bounds(g0, &lo, &hi);
	socle_g_set_stackguard(g0, lo + 4096);
	socle_foreign_call(count, &init_calls);
	init_error = socle_callback(count, &init_calls) == -1 ? errno : 0;
}

void call_back_from_foreign(void *fn) { socle_callback((socle_fn)fn, NULL); }
