/*
 * ARMv7-A: numbers for C, assembly and linker.ld alike, so the preprocessor's language only.
 */
#ifndef SOCLE_LAYOUT_H
#define SOCLE_LAYOUT_H

#include "board.h" /* IMAGE_BASE */

#define ELF_FORMAT "elf32-littlearm"
#define ENTRY_SYMBOL boot_entry
#define BOOT_GUARD 0x100000 /* absent below the boot stack, which starts at IMAGE_BASE */

/*
 * boot: g0. fault: aborts, undefined instructions, SVC and FIQ, of which only one is ever being handled.
 * irq: interrupts. nested: a trap that came from inside one of those; nothing returns from it. idle: no thread runs.
 */
#define FIXED_STACKS(X) \
	X(boot, 0x40000) \
	X(fault, 0x4000) \
	X(irq, 0x4000) \
	X(nested, 0x2000) \
	X(idle, 0x2000)

/* A function in assembly, in a section of its own. */
#define FUNCTION(name) .section .text.name, "ax"; .globl name; .type name, %function; name
#define END(name) .size name, . - name

/* CPSR. All code runs in SYS mode (trap.S says why); the others last for the length of a handler. */
#define MODE_FIQ 0x11
#define MODE_IRQ 0x12
#define MODE_SVC 0x13
#define MODE_ABT 0x17
#define MODE_HYP 0x1a
#define MODE_UND 0x1b
#define MODE_SYS 0x1f
#define MODE_MASK 0x1f
#define CPSR_T 0x20
#define CPSR_F 0x40
#define CPSR_I 0x80
#define CPSR_A 0x100

/* SCTLR */
#define SCTLR_M 0x1           /* MMU */
#define SCTLR_A 0x2           /* every unaligned access faults */
#define SCTLR_C 0x4           /* data cache */
#define SCTLR_CP15BEN 0x20    /* the old barrier instructions work */
#define SCTLR_SW 0x400        /* SWP works */
#define SCTLR_Z 0x800         /* branch prediction */
#define SCTLR_I 0x1000        /* instruction cache */
#define SCTLR_V 0x2000        /* vectors at 0xffff0000 */
#define SCTLR_WXN 0x80000     /* what is writable is not executable */
#define SCTLR_UWXN 0x100000
#define SCTLR_EE 0x2000000    /* traps are taken in big-endian state */
#define SCTLR_TRE 0x10000000  /* TEX remap */
#define SCTLR_AFE 0x20000000  /* AP[0] is an access flag */
#define SCTLR_TE 0x40000000   /* traps are taken in Thumb state */

/* Vectors, by their place in the table. */
#define VECTOR_UNDEFINED 1
#define VECTOR_SVC 2
#define VECTOR_PREFETCH 3
#define VECTOR_DATA 4
#define VECTOR_IRQ 6
#define VECTOR_FIQ 7

#define TTBR_WALKS 0x4a /* inner and outer write-back write-allocate, shareable: ARM ARM B4.1.154, with MP extensions */

/* Offsets known to assembly; machine.h and cpu.h assert them. */
#define REDIRECT_SIZE 32
#define TCB_SP 8
#define TCB_SYSTEM 12
#define TCB_ENDED 16
#define LEAF_CALL -2 /* tcb.ended during arch_call_leaf() */
#define LEAF_FN 64 /* from tcb.sp then: fn */
#define REDIRECT_GAP 16   /* the frame for RFE is put there */
#define REDIRECT_ROOM 512
#define CONTEXT_SIZE 104 /* a saved context, drawn in switch.S */
#define CONTEXT_FP 96    /* in it: r11 and lr, as a frame record that a traceback can start from */
#define REGS_SIZE 72
#define REGS_PC 60
#define REGS_CPSR 64 /* and fpscr after it */

/* `udf` with this number is how a division by zero is reported: the hardware's own division gives 0 instead. */
#define UDF_DIVIDE 0xd1f0

#endif
