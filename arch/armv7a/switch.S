/*
 * Changing stacks. A saved context lies at tcb->sp (struct context in cpu.h):
 *
 *	sp + 0    d8-d15
 *	sp + 64   fpscr
 *	sp + 68   r4-r10
 *	sp + 96   r11, lr      a frame record: a traceback of a context that waits starts at sp + 96
 *	sp + 104  what the interrupted function had on its stack
 *
 * TPIDRURO (the control block, hence the limit) and SP change in two neighbouring instructions. Nothing masks
 * interrupts between them, because nothing can look: neither touches memory, so neither faults, and an interrupt
 * is handled on a stack of its own by unchecked code. A checked prologue that runs next finds both changed. A write
 * of TPIDRURO is seen by later reads of it in program order, without a barrier (ARM ARM B3.15.5).
 *
 * Each switch does CLREX (ARM ARM A3.4.5): else an LDREX by the old context could let a STREX by the new succeed.
 */
#include "layout.h"

	.syntax	unified
	.arm
	.fpu	neon-vfpv4

@ void arch_set_tcb(struct tcb *tcb);
FUNCTION(arch_set_tcb):
	mcr	p15, 0, r0, c13, c0, 3		@ TPIDRURO
	bx	lr
END(arch_set_tcb)

.macro save_context tcb				@ on the current stack, as drawn above
	vmrs	r3, fpscr
	push	{r3-r11, lr}
	vpush	{d8-d15}
	str	sp, [\tcb, #TCB_SP]
.endm

.macro restore_context				@ and return there
	vpop	{d8-d15}
	pop	{r3-r11, lr}
	vmsr	fpscr, r3
	bx	lr
.endm

@ void arch_resume(struct tcb *to) __attribute__((noreturn));
FUNCTION(arch_resume):
	ldr	r1, [r0, #TCB_SP]
	clrex
	mcr	p15, 0, r0, c13, c0, 3		@ to is current, and
	mov	sp, r1				@ so is its stack
	restore_context
END(arch_resume)

@ void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value);
FUNCTION(arch_switch):
	mov	r12, r3
	save_context r0
	ldr	r3, [r1, #TCB_SP]
	clrex
	mcr	p15, 0, r1, c13, c0, 3
	mov	sp, r3
	dmb	ish				@ the saved context, and what was stored before, is seen
	str	r12, [r2]			@ before this is
	restore_context
END(arch_switch)

@ void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old));
FUNCTION(arch_mcall):
	mrc	p15, 0, r2, c13, c0, 3		@ old
	save_context r2
	ldr	r3, [r0, #TCB_SP]
	bic	r3, r3, #7			@ AAPCS: SP is a multiple of 8 at a call
	clrex
	mcr	p15, 0, r0, c13, c0, 3
	mov	sp, r3
	mov	r0, r2
	mov	r11, #0				@ the frame chain ends here:
	mov	lr, #0				@ fn never returns
	bx	r1
END(arch_mcall)

@ void arch_call_on(struct tcb *to, void (*fn)(void *), void *arg);
@
@ The old stack gets a whole context, as drawn above, though fn preserves what is in it: arch_resume(old) then returns
@ from this call in fn's stead, whatever fn has made of the registers. That is how a foreign call that has failed is
@ ended. fn's own frame record, on the other stack, leads to the one in the context.
FUNCTION(arch_call_on):
	mrc	p15, 0, r12, c13, c0, 3		@ old
	save_context r12
	add	r11, sp, #CONTEXT_FP
	mov	r4, r12				@ fn preserves r4 and r11
	ldr	r3, [r0, #TCB_SP]
	bic	r3, r3, #7			@ AAPCS: SP is a multiple of 8 at a call
	clrex
	mcr	p15, 0, r0, c13, c0, 3
	mov	sp, r3
	mov	r0, r2
	blx	r1
	clrex
	mcr	p15, 0, r4, c13, c0, 3
	ldr	r4, [r11, #-28]
	mov	sp, r11				@ not from tcb->sp: nested calls have stored there since
	pop	{r11, pc}
END(arch_call_on)

@ int arch_call_leaf(void (*fn)(void *), void *arg);
@
@ The context left on the old stack is as drawn above, with fn in the place of fpscr.
FUNCTION(arch_call_leaf):
	mov	r3, r0
	push	{r3-r11, lr}
	vpush	{d8-d15}
	add	r11, sp, #CONTEXT_FP
	mov	r12, r0
	mrc	p15, 0, r4, c13, c0, 3		@ old: fn preserves r4 and r11
	ldr	r2, [r4, #TCB_SYSTEM]
	cmp	r2, r4
	beq	leaf_ended
	str	sp, [r4, #TCB_SP]
	mov	r3, #LEAF_CALL
	str	r3, [r4, #TCB_ENDED]
	ldr	r3, [r2, #TCB_SP]
	bic	r3, r3, #7			@ AAPCS: SP is a multiple of 8 at a call
	clrex
	mcr	p15, 0, r2, c13, c0, 3
	mov	sp, r3
	mov	r0, r1
	blx	r12
	clrex
	mcr	p15, 0, r4, c13, c0, 3
	ldr	r0, [r4, #TCB_ENDED]
	subs	r0, r0, #LEAF_CALL
	str	r0, [r4, #TCB_ENDED]
	bne	leaf_ended
	ldr	r4, [r11, #-28]
	mov	sp, r11
	pop	{r11, pc}
leaf_ended:
	mov	r0, r4
	ldr	r4, [r11, #-28]
	mov	sp, r11
	pop	{r11, lr}
	b	runtime_leaf_ended
END(arch_call_leaf)

@ void arch_end_leaf(struct tcb *old);
FUNCTION(arch_end_leaf):
	ldr	r1, [r0, #TCB_SP]
	clrex
	mcr	p15, 0, r0, c13, c0, 3
	mov	sp, r1
	vpop	{d8-d15}
	pop	{r3-r11, lr}
	b	runtime_leaf_ended
END(arch_end_leaf)

@ Where a context of arch_init_context() starts: fn in r4, its argument in r5, 0 in r11 and lr. fn must not return.
FUNCTION(context_start):
	mov	lr, #0				@ it led here; the chain of frames ends
	mov	r0, r5
	bx	r4
END(context_start)

@ void __morestack(void): a checked prologue came up short.
@
@	sp + 12   the function's stack as it was entered
@	sp + 4    its caller's r4, r5
@	sp + 0    its caller's address (lr)
@
@ with r4 = bytes of frame wanted, r5 = bytes of arguments, r11 = the caller's frame, lr = inside the function, where
@ three instructions would return to the caller; behind them the function goes on, and first restores r4 and r5.
@ Calls runtime_morestack(frame, pc, sp, fp) with a frame record made for the function, so that the traceback from
@ pc and fp goes on with its caller. What it takes of the stack is part of the slack under every limit.
FUNCTION(__morestack):
	push	{r0-r3, r12, lr}		@ what may hold an argument
	ldr	r12, [sp, #24]
	add	r2, sp, #36
	mov	r5, sp
	bic	sp, sp, #7			@ AAPCS: SP is a multiple of 8 at a call
	push	{r11, r12}			@ the record
	mov	r3, sp
	mov	r11, sp
	mov	r0, r4
	mov	r1, lr
	bl	runtime_morestack
	ldr	r11, [sp]
	mov	sp, r5
	pop	{r0-r3, r12, lr}
	mov	r4, lr
	pop	{lr}
	add	pc, r4, #12
END(__morestack)
