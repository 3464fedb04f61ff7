/*
 * Starting the other CPUs, by PSCI (ARM DEN 0022), the firmware's or the hypervisor's, as the device tree says. Each is
 * sent an invitation; start.S takes it, on the new CPU, before that touches any stack. One that does not come has its
 * invitation taken back: if it comes late, it finds nothing and waits for ever, whatever its stacks have become.
 *
 * Rejected: CPUs that a loader has left spinning. There is no agreement on how.
 */
#include "arch/armv7a/cpu.h"

#include <stdatomic.h> /* newlib's wants stdint.h before it */

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* it runs once */

#define PATIENCE 1000000000 /* ns: a busy host's virtual CPU may need it */

struct machine_cpus machine_cpus;

/* What a new CPU is given. Known to assembly. */
struct invitation {
	atomic_uint index; /* it takes this, and leaves 0 */
	uintptr_t boot_hi, fault_hi, irq_hi;
};
_Static_assert(offsetof(struct invitation, boot_hi) == 4 && sizeof(struct invitation) == 16, "known to assembly");

extern char stack_nested_hi[];
uintptr_t nested_stack_hi[MAX_CPUS] = {(uintptr_t)stack_nested_hi};

static int psci_cpu_on(uint32_t mpidr, struct invitation *invitation)
{
	register uint32_t r0 __asm__("r0") = machine_cpus.cpu_on;
	register uint32_t r1 __asm__("r1") = mpidr;
	register uintptr_t r2 __asm__("r2") = (uintptr_t)boot_secondary;
	register uintptr_t r3 __asm__("r3") = (uintptr_t)invitation;

	if (machine_cpus.psci == PSCI_HVC)
		__asm__ volatile(".arch_extension virt\n\thvc #0"
				 : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)
				 :
				 : "r12", "memory");
	else
		__asm__ volatile(".arch_extension sec\n\tsmc #0"
				 : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)
				 :
				 : "r12", "memory");
	return (int)r0;
}

/* Whether the CPU came. */
static bool invite(uint32_t mpidr, struct invitation *invitation, unsigned index)
{
	int64_t deadline = clock_now() + PATIENCE;
	int error;

	/* Release: what it is to find. Pairs with the DMB after start.S has taken it. */
	atomic_store_explicit(&invitation->index, index, memory_order_release);
	barrier_data(); /* it may look before this CPU does anything else */
	error = psci_cpu_on(mpidr, invitation);
	if (error != 0)
		console_printf("socle: the CPU with MPIDR %x was not started: PSCI says %d\n", (unsigned)mpidr, error);
	while (error == 0 && cpu_count() == index && clock_now() < deadline)
		;
	/* Relaxed: of a CPU that has not come nothing is looked at. */
	if (cpu_count() == index && atomic_exchange_explicit(&invitation->index, 0, memory_order_relaxed) != 0) {
		if (error == 0)
			console_printf("socle: the CPU with MPIDR %x did not come in a second\n", (unsigned)mpidr);
		return false;
	}
	while (cpu_count() == index)
		; /* it took it in that moment */
	return true;
}

static bool start_cpu(uint32_t mpidr, unsigned index)
{
	/* One for each that is tried: a late one never finds what another was sent. */
	static struct invitation invitations[MAX_CPUS];
	static unsigned sent;
	const struct fixed_stack *stacks = cpu_stacks_add(index);
	struct invitation *invitation = &invitations[sent++];

	if (stacks == NULL) {
		console_printf("socle: no memory for the stacks of CPU %u\n", index);
		return false;
	}
	*invitation = (struct invitation){.boot_hi = stacks[0].hi, .fault_hi = stacks[1].hi, .irq_hi = stacks[2].hi};
	nested_stack_hi[index] = stacks[3].hi;
	if (invite(mpidr, invitation, index))
		return true;
	cpu_stacks_remove(index);
	return false;
}

unsigned arch_start_cpus(unsigned limit)
{
	unsigned running = 1;

	if (machine_cpus.psci == PSCI_NONE && machine_cpus.count > 1 && limit > 1)
		console_printf("socle: the device tree has %u CPUs, but no PSCI to start them\n", machine_cpus.count);
	for (unsigned i = 0; machine_cpus.psci != PSCI_NONE && i < machine_cpus.count && running < limit; i++)
		if (machine_cpus.mpidr[i] != cpu_affinity() && start_cpu(machine_cpus.mpidr[i], running))
			running++;
	return running;
}

/* From start.S, on this CPU's boot stack. */
void cpu_main(unsigned index)
{
	timer_control(TIMER_OFF); /* whatever firmware had set */
	interrupts_init_cpu();
	__asm__ volatile("cpsie a" : : : "memory"); /* as arch_start() does */
	kernel_start_cpu(index);
}

#pragma clang attribute pop
