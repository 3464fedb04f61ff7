/*
 * i386: the tables that the processor reads, one set a CPU. trap.c says how the tasks are used.
 */
#ifndef SOCLE_I386_CPU_H
#define SOCLE_I386_CPU_H

#include "arch/x86/x86.h"

enum {
	SELECTOR_CPU = 0x18,  /* %gs: struct cpu_local */
	SELECTOR_MAIN = 0x20, /* the task of everything that is not a handler */
	SELECTOR_TASK = 0x28, /* the first of tasks[], one a vector */
	EFLAGS_FIXED = 2,
};

/* The processor's: Intel SDM volume 3, "32-bit task-state segment". Each 16-bit field here takes 32. */
struct tss {
	uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi;
	uint32_t es, cs, ss, ds, fs, gs, ldt;
	uint16_t debug_trap, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "the processor's");

/* A handler's task. At entry ESP is at its end or, where the processor gave an error code, at `error`. */
struct task {
	struct tss tss;
	uintptr_t *stack; /* holds the top of the stack to handle this on: known to assembly */
	uint32_t vector;
	uint32_t unused[3];
	uint32_t error;
} __attribute__((aligned(TASK_SIZE))); /* the processor may not meet a page boundary inside a TSS */
_Static_assert(offsetof(struct task, stack) == TASK_STACK, "known to assembly");
_Static_assert(offsetof(struct task, error) == TASK_SIZE - 4, "the processor pushes it");
_Static_assert(sizeof(struct task) == TASK_SIZE, "known to assembly");

struct cpu {
	struct cpu_local local;
	unsigned depth;	       /* exceptions being handled */
	uintptr_t fault_stack; /* tops: the one that the next exception takes, see trap.c */
	uintptr_t fault_top, irq_stack, nmi_stack, double_stack;
	uint64_t gdt[SELECTOR_TASK / 8 + VECTORS];
	struct task main; /* only its tss is used */
	struct task tasks[VECTORS];
};

static inline struct cpu *this_cpu(void)
{
	struct cpu_local *local;

	__asm__("movl %%gs:0, %0" : "=r"(local));
	return (struct cpu *)local;
}

static inline struct tss *cpu_selected_tss(struct cpu *cpu, uint32_t selector)
{
	selector &= 0xffff; /* of a TSS's link field the processor writes half */
	return selector == SELECTOR_MAIN ? &cpu->main.tss : &cpu->tasks[(selector - SELECTOR_TASK) / 8].tss;
}

static inline void cpu_reset_segments(struct tss *tss)
{
	tss->cs = SELECTOR_CODE;
	tss->ds = tss->es = tss->ss = tss->fs = SELECTOR_DATA;
	tss->gs = SELECTOR_CPU;
}

/* In cpu.c. */
void cpu_arm_task(struct cpu *cpu, struct task *task); /* makes its next entry start anew */

/* In trap.S. */
void trap_task(void);
void trap_return(void);
extern const char trap_return_end[];
void trap_redirected(void);

/* In trap.c, called by trap_task(). */
void trap_enter(struct task *task);

#endif
