/*
 * Trap entry and return. All code runs in SYS mode, so that
 *  - each exception mode has a stack pointer of its own beside it: no handler runs on the stack that faulted;
 *  - a handler reaches the interrupted SP and LR by the "user registers" forms of STM and LDM;
 *  - an SVC instruction overwrites nothing of the code that executes it.
 * Traps come from SYS mode only. One from another mode is a fault inside a handler: what is on its stack is given up,
 * and it is handled on a stack of its own, never to return; so a handler that overflows its stack ends, too.
 * SP then is kept for the report in TPIDRURW, and R0 meanwhile in TPIDRPRW: registers nobody uses here, no memory.
 *
 * On the handler's stack:
 *
 *	sp + 264  d16-d31, d0-d7 lie below: the C code here is compiled without them, but not the C library
 *	sp + 256  cpsr, fpscr of the interrupted code  }
 *	sp + 252  r15, where it goes on                } struct arch_regs
 *	sp + 192  r0-r14, of SYS mode                  }
 *	sp + 64   d16-d31
 *	sp + 0    d0-d7
 */
#include "layout.h"

	.syntax	unified
	.arm
	.fpu	neon-vfpv4

.macro trap_entry name, vector, offset
\name:
	mcr	p15, 0, r0, c13, c0, 4		@ TPIDRPRW
	mrs	r0, spsr
	and	r0, r0, #MODE_MASK
	cmp	r0, #MODE_SYS
	bne	2f
1:	mrc	p15, 0, r0, c13, c0, 4
	sub	lr, lr, #\offset
	sub	sp, sp, #REGS_SIZE
	stmia	sp, {r0-r14}^
	mov	r1, #\vector
	b	trap_common
2:	mcr	p15, 0, sp, c13, c0, 2		@ TPIDRURW
	mrc	p15, 0, r0, c13, c0, 1		@ CONTEXTIDR: 256 times arch_cpu()
	ldr	sp, =nested_stack_hi
	ldr	sp, [sp, r0, lsr #6]
	b	1b
.endm

	.section .text.trap, "ax"
	.balign	32				@ ARM ARM B4.1.156: VBAR is a multiple of 32
	.globl	trap_vectors
trap_vectors:
	udf	#0				@ reset: not taken through VBAR
	b	trap_undefined
	b	trap_svc
	b	trap_prefetch
	b	trap_data
	udf	#0				@ Hyp traps: not taken in these modes
	b	trap_irq
	b	trap_fiq

@ LR less this is the instruction that trapped, in ARM state, or the one that an interrupt came before (ARM ARM B1.8.3).
	trap_entry trap_undefined, VECTOR_UNDEFINED, 4
	trap_entry trap_svc, VECTOR_SVC, 4
	trap_entry trap_prefetch, VECTOR_PREFETCH, 4
	trap_entry trap_data, VECTOR_DATA, 8
	trap_entry trap_irq, VECTOR_IRQ, 4
	trap_entry trap_fiq, VECTOR_FIQ, 4
	.ltorg

@ Calls void trap_handle(struct arch_regs *regs, unsigned vector).
trap_common:
	mrs	r2, spsr
	vmrs	r3, fpscr
	str	lr, [sp, #REGS_PC]
	strd	r2, r3, [sp, #REGS_CPSR]
	mov	r0, sp
	vpush	{d16-d31}
	vpush	{d0-d7}
	bl	trap_handle
	vpop	{d0-d7}
	vpop	{d16-d31}
	clrex					@ ARM ARM B1.8.4: the monitor's state is unknown after an exception
	ldr	lr, [sp, #REGS_PC]
	ldrd	r2, r3, [sp, #REGS_CPSR]
	vmsr	fpscr, r3
	msr	spsr_cxsf, r2
	ldmia	sp, {r0-r14}^
	add	sp, sp, #REGS_SIZE
	movs	pc, lr

@ void trap_redirected(void): what arch_redirect() lets a trap return to, every register but PC and CPSR as it was, and
@ interrupts off. Calls fn(arg) with FPSCR as the ABI has it at entry. If fn returns, all is put back; RFE pops PC and
@ CPSR from SP, so they are put right below where that is to be. TPIDRURW keeps R0 for a moment: a trap that grows the
@ stack meanwhile leaves it alone.
@
@	r4 + 52   lr   }
@	r4 + 0    r0-r12
@	r11       r11 and the interrupted PC: a frame record, so that a traceback from fn goes on there
@	sp        d0-d31, aligned to 8
@
@ r5 = fn, r6 = arg, r7 = PC, r8 = CPSR, r9 = SP, r10 = FPSCR of the interrupted code: fn preserves all of them.
	.globl	trap_redirected
trap_redirected:
	mcr	p15, 0, r0, c13, c0, 2		@ TPIDRURW
	mrc	p15, 0, r0, c13, c0, 1		@ CONTEXTIDR: 256 times arch_cpu()
	ldr	sp, =trap_redirect
	add	r0, sp, r0, lsr #3
	ldr	sp, [r0, #8]
	sub	sp, sp, #56
	stmib	sp, {r1-r12, lr}
	ldm	r0, {r5, r6}
	ldr	r7, [r0, #12]
	ldr	r8, [r0, #16]
	ldr	r9, [r0, #20]
	mrc	p15, 0, r1, c13, c0, 2
	str	r1, [sp]
	mov	r4, sp
	vmrs	r10, fpscr
	push	{r7}
	push	{r11}
	mov	r11, sp
	bic	sp, sp, #7
	vpush	{d16-d31}
	vpush	{d0-d15}
	mov	r1, #0
	vmsr	fpscr, r1
	mov	r0, r6
	cpsie	i
	blx	r5
	cpsid	i
	vpop	{d0-d15}
	vpop	{d16-d31}
	vmsr	fpscr, r10
	stmdb	r9!, {r7, r8}
	mov	r0, r4
	mov	sp, r9
	ldm	r0, {r0-r12, lr}
	rfeia	sp!
	.ltorg
