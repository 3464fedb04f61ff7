/* An initcgo that is wrong: its guard lies above the stack that boot runs on. */
#include "socle.h"

void socle_foreign_init(struct g *g0)
{
	uintptr_t lo, hi;

	socle_g_bounds(g0, &lo, &hi);
	socle_g_set_stackguard(g0, hi);
}
