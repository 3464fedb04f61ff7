/*
 * i386: constants, and what is short enough to be inline. The CPU's own block lies under %gs; the two slots that
 * a switch changes have fixed places in it. 4 GiB of addresses: RAM one to one, heap, stacks, devices.
 */
#ifndef SOCLE_MACHINE_H
#define SOCLE_MACHINE_H

#include "arch/x86/redirect.h"
#include "layout.h"

#define ARCH_NAME "i386"
#define PAGE_SIZE 4096
#define PAGE_LEVELS 3 /* PAE: x86's mmu.c is shared with x86_64 */

#define RAM_MAX 0x60000000u
#define HEAP_LO 0x60000000u
#define HEAP_HI 0x80000000u
/* clang compares SP with the limit as signed numbers where an array has a variable size: so no stack may lie across
 * 0x80000000, nor so closely above it that an array of up to 128 MiB ends below. */
#define ARENA_LO 0x88000000u
#define ARENA_HI 0xf0000000u
#define CPU_STACKS_LO 0xf0000000u

#define MAX_CPUS 8

struct cpu_local {
	struct cpu_local *self; /* %gs:0, as the ABI's thread-local storage has it */
	unsigned index;		/* arch_cpu() */
	uint32_t unused[10];
	uintptr_t stack_limit; /* checked prologues compare SP with this */
	struct tcb *tcb;       /* whose limit that is */
	uintptr_t resume_pc;   /* where trap_return() goes on */
	struct redirect redirect;
	uint64_t boot_tsc; /* this CPU's time stamp counter when the boot CPU entered: time is counted from there */
};

_Static_assert(offsetof(struct cpu_local, stack_limit) == CPU_LIMIT, "known to assembly and to clang");
_Static_assert(offsetof(struct cpu_local, tcb) == CPU_TCB, "known to assembly");
_Static_assert(offsetof(struct cpu_local, resume_pc) == CPU_RESUME_PC, "known to assembly");
_Static_assert(offsetof(struct cpu_local, redirect) == CPU_REDIRECT, "known to assembly");
_Static_assert(sizeof(struct redirect) == 28, "known to assembly");
_Static_assert(offsetof(struct tcb, stack_limit) == TCB_LIMIT, "known to assembly");
_Static_assert(offsetof(struct tcb, sp) == TCB_SP, "known to assembly");
_Static_assert(offsetof(struct tcb, system) == TCB_SYSTEM, "known to assembly");
_Static_assert(offsetof(struct tcb, ended) == TCB_ENDED, "known to assembly");

#define LOCAL ((struct cpu_local __seg_gs *)0) /* this CPU's */

static inline struct tcb *arch_tcb(void) { return *(struct tcb * __seg_gs *)CPU_TCB; }

static inline __attribute__((always_inline)) void arch_touch_stack(unsigned below)
{
	__asm__ volatile("cmpb $0, -%c0(%%esp)" : : "i"(below) : "cc", "memory");
}

static inline unsigned arch_cpu(void) { return LOCAL->index; }

static inline void arch_pause(void) { __builtin_ia32_pause(); }

static inline _Noreturn void arch_stop(void)
{
	for (;;) /* an NMI ends the halt */
		__asm__ volatile("cli\n\thlt" : : : "memory");
}

/* Returns EFLAGS. */
static inline uintptr_t arch_irq_disable(void)
{
	uintptr_t flags;

	__asm__ volatile("pushfl\n\tpopl %0\n\tcli" : "=r"(flags) : : "memory");
	return flags;
}

/* Only the interrupt flag comes back: the rest of EFLAGS is the compiler's. */
static inline void arch_irq_restore(uintptr_t flags)
{
	if (flags & 0x200)
		__asm__ volatile("sti" : : : "memory");
	else
		__asm__ volatile("cli" : : : "memory");
}

#endif
