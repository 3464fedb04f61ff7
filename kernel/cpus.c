/*
 * The CPUs there are. Each has stacks of its own from its start: FIXED_STACKS. Those of the first are laid out in the
 * image by linker.ld; those of another get addresses here, far from everything, and frames only when that CPU is
 * about to be started: what does not come costs nothing, and the guards are absent because nothing is mapped there.
 *
 * Rejected: all in linker.ld (600 KiB that most machines would have to be given back, guards to be kept out of the
 * tables one by one, and no gap under a stack but a page).
 */
#include "kernel/kernel.h"
#include "kernel/lock.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* none of it is in a hurry */

#define DECLARE(name, bytes) extern char stack_##name##_guard[], stack_##name##_lo[], stack_##name##_hi[];
FIXED_STACKS(DECLARE)

#define COUNT(name, bytes) +1
enum {
	EACH = FIXED_STACKS(COUNT), /* stacks of one CPU */
	BOOT_STACK = 0x4000,	    /* of another CPU: its threads have their own */
	GUARD = 0x10000,	    /* as wide as under any stack that foreign code may run on */
};

struct fixed_stack fixed_stacks[MAX_CPUS * EACH + 1];

static atomic_uint running = 1;

#define ENTRY(name, bytes) \
	{#name, 0, (uintptr_t)stack_##name##_guard, (uintptr_t)stack_##name##_lo, (uintptr_t)stack_##name##_hi},

void cpus_init(void)
{
	static const struct fixed_stack first[EACH] = {FIXED_STACKS(ENTRY)};

	for (int i = 0; i < EACH; i++)
		fixed_stacks[i] = first[i];
}

/* Whoever goes through the table meanwhile, to a null name, finds all of them or none. */
const struct fixed_stack *cpu_stacks_add(unsigned cpu)
{
	struct fixed_stack *s = &fixed_stacks[cpu * EACH];
	uintptr_t at = cpu == 1 ? CPU_STACKS_LO : s[-1].hi;

	for (int i = 0; i < EACH; i++) {
		uintptr_t size = i == 0 ? BOOT_STACK : fixed_stacks[i].hi - fixed_stacks[i].lo;

		s[i] = (struct fixed_stack){NULL, cpu, at, at + GUARD, at + GUARD + size};
		at = s[i].hi;
	}
	for (int i = EACH - 1; i >= 0; i--) {
		if (vm_back(s[i].lo, s[i].hi, false) < 0) {
			cpu_stacks_remove(cpu);
			return NULL;
		}
		/* For handlers on CPUs that run: who sees the name, and yet not the rest, sees an empty range. */
		atomic_thread_fence(memory_order_release);
		s[i].name = fixed_stacks[i].name;
	}
	return s;
}

uintptr_t cpu_idle_stack(unsigned cpu) { return fixed_stacks[cpu * EACH + EACH - 1].hi; }

void cpu_stacks_remove(unsigned cpu)
{
	struct fixed_stack *s = &fixed_stacks[cpu * EACH];

	for (int i = 0; i < EACH; i++) {
		s[i].name = NULL;
		vm_release(s[i].lo, s[i].hi);
	}
}

void kernel_start_cpu(unsigned cpu)
{
	atomic_store_explicit(&running, cpu + 1, memory_order_release); /* pairs with cpu_count()'s acquire */
	runtime_start_cpu(cpu);
}

unsigned cpu_count(void) { return atomic_load_explicit(&running, memory_order_acquire); }

#pragma clang attribute pop
