/* The initcgo of this image: it is handed g0 and knows what it needs below stackguard. */
#include "socle.h"

void socle_foreign_init(struct g *g0)
{
	uintptr_t lo, hi;

	socle_g_bounds(g0, &lo, &hi);
	socle_g_set_stackguard(g0, lo + 8192);
}
