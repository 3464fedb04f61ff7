/*
 * x86_64: what cpu.c, trap.c and the assembly files know of each other.
 */
#ifndef SOCLE_X86_64_CPU_H
#define SOCLE_X86_64_CPU_H

#include "arch/x86/x86.h"

/* Which stack of the TSS a vector changes to. */
enum ist { IST_FAULT = 1, IST_IRQ, IST_NMI, IST_DOUBLE };

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

static inline struct cpu_local *this_cpu(void)
{
	struct cpu_local *local;

	__asm__ volatile("movq %%fs:0, %0" : "=r"(local));
	return local;
}

enum ist trap_stack(unsigned vector); /* trap.c */
void trap_init(void);		      /* trap.c: the IDT, one for all CPUs */
void trap_load(void);
extern const char trap_vectors[VECTORS][16]; /* trap.S */
void trap_redirected(void);		     /* trap.S */
void context_start(void);		     /* switch.S */

#endif
