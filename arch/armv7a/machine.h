/*
 * ARMv7-A: constants, and what is short enough to be inline. The current control block is what TPIDRURO points
 * to, so that its stack_limit is where checked prologues look: at [TPIDRURO + 4].
 */
#ifndef SOCLE_MACHINE_H
#define SOCLE_MACHINE_H

#include "layout.h"

#define ARCH_NAME "armv7a"
#define PAGE_SIZE 4096

#define RAM_MAX 0x80000000u
#define HEAP_LO 0x10000000u
#define HEAP_HI 0x30000000u
#define ARENA_LO 0x80000000u
#define ARENA_HI 0xff000000u
#define CPU_STACKS_LO 0xff000000u

#define MAX_CPUS 8

_Static_assert(offsetof(struct tcb, stack_limit) == 4, "clang's -fsplit-stack looks there");
_Static_assert(offsetof(struct tcb, sp) == TCB_SP, "known to assembly");
_Static_assert(offsetof(struct tcb, system) == TCB_SYSTEM, "known to assembly");
_Static_assert(offsetof(struct tcb, ended) == TCB_ENDED, "known to assembly");

static inline struct tcb *arch_tcb(void)
{
	struct tcb *tcb;

	__asm__("mrc p15, 0, %0, c13, c0, 3" : "=r"(tcb));
	return tcb;
}

static inline __attribute__((always_inline)) void arch_touch_stack(unsigned below)
{
	unsigned byte;

	__asm__ volatile("ldrb %0, [sp, #-%c1]" : "=r"(byte) : "i"(below) : "memory");
}

/* CONTEXTIDR.PROCID holds it: what debuggers read there is up to the software, and the ASID beside it is 0 for ever. */
static inline unsigned arch_cpu(void)
{
	unsigned contextidr;

	__asm__ volatile("mrc p15, 0, %0, c13, c0, 1" : "=r"(contextidr));
	return contextidr >> 8;
}

static inline void arch_pause(void) { __asm__ volatile("yield" : : : "memory"); }

_Noreturn void arch_stop(void);

/* Returns CPSR. */
static inline uintptr_t arch_irq_disable(void)
{
	uintptr_t cpsr;

	__asm__ volatile("mrs %0, cpsr\n\tcpsid i" : "=r"(cpsr) : : "memory");
	return cpsr;
}

/* Only the mask comes back: the flags are the compiler's. */
static inline void arch_irq_restore(uintptr_t cpsr)
{
	if (cpsr & CPSR_I)
		__asm__ volatile("cpsid i" : : : "memory");
	else
		__asm__ volatile("cpsie i" : : : "memory");
}

#endif
