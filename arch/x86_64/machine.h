/*
 * x86_64: constants, and what is short enough to be inline. The CPU's own block lies under %fs; the two slots that
 * a switch changes have fixed places in it. Of 128 TiB of addresses, the low 64 GiB are RAM one to one; heap and
 * stacks lie far above, each with room for more than will ever be needed.
 */
#ifndef SOCLE_MACHINE_H
#define SOCLE_MACHINE_H

#include "arch/x86/redirect.h"
#include "layout.h"

#define ARCH_NAME "x86_64"
#define PAGE_SIZE 4096
#define PAGE_LEVELS 4 /* of page tables: mmu.c is shared with i386 */

#define RAM_MAX 0x1000000000ul
#define HEAP_LO 0x200000000000ul
#define HEAP_HI 0x210000000000ul
#define ARENA_LO 0x400000000000ul
#define ARENA_HI 0x500000000000ul
#define CPU_STACKS_LO 0x500000000000ul

#define MAX_CPUS 8

struct cpu_local {
	struct cpu_local *self; /* %fs:0, as the ABI's thread-local storage has it */
	uintptr_t trap_depth;	/* exceptions being handled: 1, or something is very wrong */
	unsigned index;		/* arch_cpu() */
	unsigned unused_0;
	uintptr_t unused[11];
	uintptr_t stack_limit; /* checked prologues compare SP with this */
	struct tcb *tcb;       /* whose limit that is */
	struct redirect redirect;
	uint64_t boot_tsc; /* this CPU's time stamp counter when the boot CPU entered: time is counted from there */
};

_Static_assert(offsetof(struct cpu_local, stack_limit) == CPU_LIMIT, "known to assembly and to clang");
_Static_assert(offsetof(struct cpu_local, tcb) == CPU_TCB, "known to assembly");
_Static_assert(offsetof(struct cpu_local, redirect) == CPU_REDIRECT, "known to assembly");
_Static_assert(sizeof(struct redirect) == 56, "known to assembly");
_Static_assert(offsetof(struct tcb, stack_limit) == TCB_LIMIT, "known to assembly");
_Static_assert(offsetof(struct tcb, sp) == TCB_SP, "known to assembly");
_Static_assert(offsetof(struct tcb, system) == TCB_SYSTEM, "known to assembly");
_Static_assert(offsetof(struct tcb, ended) == TCB_ENDED, "known to assembly");

#define LOCAL ((struct cpu_local __seg_fs *)0) /* this CPU's */

static inline struct tcb *arch_tcb(void)
{
	struct tcb *tcb;

	__asm__("movq %%fs:%c1, %0" : "=r"(tcb) : "i"(CPU_TCB));
	return tcb;
}

static inline __attribute__((always_inline)) void arch_touch_stack(unsigned below)
{
	__asm__ volatile("cmpb $0, -%c0(%%rsp)" : : "i"(below) : "cc", "memory");
}

static inline unsigned arch_cpu(void) { return LOCAL->index; }

static inline void arch_pause(void) { __builtin_ia32_pause(); }

static inline _Noreturn void arch_stop(void)
{
	for (;;) /* an NMI ends the halt */
		__asm__ volatile("cli\n\thlt" : : : "memory");
}

/* Returns RFLAGS. The red zone of the caller, if it has one, is stepped over. */
static inline uintptr_t arch_irq_disable(void)
{
	uintptr_t flags;

	__asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %0\n\tleaq 128(%%rsp), %%rsp\n\tcli"
			 : "=r"(flags)
			 :
			 : "memory");
	return flags;
}

/* Only the interrupt flag comes back: the rest of RFLAGS is the compiler's. */
static inline void arch_irq_restore(uintptr_t flags)
{
	if (flags & 0x200)
		__asm__ volatile("sti" : : : "memory");
	else
		__asm__ volatile("cli" : : : "memory");
}

#endif
