/*
 * i386: numbers for C, assembly and linker.ld alike, so the preprocessor's language only.
 */
#ifndef SOCLE_LAYOUT_H
#define SOCLE_LAYOUT_H

#define ELF_FORMAT "elf32-i386"
#define ENTRY_SYMBOL boot_entry
#define IMAGE_BASE 0x100000
#define BOOT_GUARD 0x80000 /* under the boot stack, which comes first; of low memory nothing is mapped at all */

/* boot: g0. fault: exceptions; irq: the timer. nmi and double: what may arrive while those two are in use.
 * idle: no thread runs. */
#define FIXED_STACKS(X) \
	X(boot, 0x40000) \
	X(fault, 0x4000) \
	X(irq, 0x4000) \
	X(nmi, 0x2000) \
	X(double, 0x2000) \
	X(idle, 0x2000)

/* Offsets known to assembly; machine.h and cpu.h assert them. */
#define TCB_LIMIT 4
#define TCB_SP 8
#define TCB_SYSTEM 12
#define TCB_ENDED 16
#define LEAF_CALL -2 /* tcb.ended during arch_call_leaf() */
#define LEAF_FN 20 /* from tcb.sp then: fn */
#define CPU_LIMIT 0x30 /* under %gs, where clang's -fsplit-stack for i686-linux-gnu looks */
#define CPU_TCB 0x34
#define CPU_RESUME_PC 0x38
#define CPU_REDIRECT 0x3c /* struct redirect, all of it */
#define FPU_STATE 896     /* XSAVE's area for x87, SSE and AVX, and what aligning it takes */
#define REDIRECT_GAP 16   /* the frame for IRET is put there */
#define REDIRECT_ROOM 1024
#define SELECTOR_CODE 0x08
#define SELECTOR_CODE_32 SELECTOR_CODE
#define SELECTOR_DATA 0x10
#define CONTEXT_SIZE 28 /* a saved context, drawn in switch.S */
#define CONTEXT_FP 20   /* in it: EBP and the return address, as a frame record that a traceback can start from */
#define TASK_STACK 104
#define TASK_SIZE 128

/* As the i386 ABI has them at a program's start: all exceptions masked, x87 precision 64 bits. */
#define MXCSR_DEFAULT 0x1f80
#define FPU_CONTROL_DEFAULT 0x037f

#endif
