/* Faults before there are page tables, on the boot stack. */
#include "socle.h"

void socle_foreign_init(struct g *g0)
{
	(void)g0;
	__builtin_trap();
}
