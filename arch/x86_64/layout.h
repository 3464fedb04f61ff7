/*
 * x86_64: numbers for C, assembly and linker.ld alike, so the preprocessor's language only.
 */
#ifndef SOCLE_LAYOUT_H
#define SOCLE_LAYOUT_H

#define ELF_FORMAT "elf64-x86-64"
#define ENTRY_SYMBOL boot_entry
#define IMAGE_BASE 0x100000
#define BOOT_GUARD 0x80000 /* under the boot stack, which comes first; of low memory nothing is mapped at all */

/* boot: g0. fault: exceptions. irq: the timer. nmi: NMI and machine check. double: when no other could be entered. idle: no
 * thread runs. */
#define FIXED_STACKS(X)  \
	X(boot, 0x40000) \
	X(fault, 0x4000) \
	X(irq, 0x4000)   \
	X(nmi, 0x2000)   \
	X(double, 0x2000) \
	X(idle, 0x2000)

/* The GDT, start.S's and cpu.c's; the last is only in the one or the other. */
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS 0x18
#define SELECTOR_CODE_32 0x18

/* Offsets known to assembly; machine.h and trap.c assert them. */
#define TCB_LIMIT 8
#define TCB_SP 16
#define TCB_SYSTEM 24
#define TCB_ENDED 32
#define LEAF_CALL -2 /* tcb.ended during arch_call_leaf() */
#define LEAF_FN 0 /* from tcb.sp then: fn */
#define CPU_LIMIT 0x70 /* under %fs, where clang's -fsplit-stack for x86_64-linux-gnu looks */
#define CPU_TCB 0x78
#define CPU_REDIRECT 0x80 /* struct redirect, all of it */
#define FPU_STATE 896	  /* XSAVE's area for x87, SSE and AVX, and what aligning it takes */
#define REDIRECT_GAP 128  /* the red zone of the interrupted function */
#define REDIRECT_ROOM 1088
#define CONTEXT_SIZE 64 /* a saved context, drawn in switch.S */
#define CONTEXT_FP 48	/* in it: RBP and the return address, as a frame record that a traceback can start from */

#endif
