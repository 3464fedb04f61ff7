/* Runs before the others are started: a good place to lie about them. */
#ifdef __arm__
#include "arch/armv7a/cpu.h"
#else
#include "arch/x86/x86.h"
#endif
#include "socle.h"

void socle_foreign_init(struct g *g0)
{
	uintptr_t lo, hi;

	socle_g_bounds(g0, &lo, &hi);
	socle_g_set_stackguard(g0, lo + 8192);
#ifdef __arm__
	machine_cpus.mpidr[machine_cpus.count++] = machine_cpus.mpidr[1];
	machine_cpus.mpidr[1] = 77;
#else
	acpi_apic_ids[acpi_apics++] = acpi_apic_ids[1];
	acpi_apic_ids[1] = 77;
#endif
}
