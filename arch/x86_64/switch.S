/*
 * x86_64: changing stacks. A saved context is a frame on its own stack, and tcb->sp points to it. The limit (what
 * checked prologues read), the tcb and RSP change in adjacent instructions with nothing pushed in between.
 * Interrupts need not be masked for it: handlers have stacks of their own.
 */
#include "layout.h"

	.text

/* Makes the tcb current, RSP and all. */
.macro enter_tcb tcb=%rdi, scratch=%rcx
	movq	TCB_LIMIT(\tcb), \scratch
	movq	\scratch, %fs:CPU_LIMIT
	movq	\tcb, %fs:CPU_TCB
	movq	TCB_SP(\tcb), %rsp
.endm

/*
 * The frame of a context that does not run:
 *
 *	sp + 56   return address
 *	sp + 48   RBP                  CONTEXT_FP: with the return address a frame record
 *	sp + 40   RBX
 *	sp + 32   R12
 *	sp + 24   R13
 *	sp + 16   R14
 *	sp +  8   R15
 *	sp +  4   x87 control word
 *	sp        MXCSR
 */
.macro save_context
	.irp	reg, rbp, rbx, r12, r13, r14, r15
	pushq	%\reg
	.endr
	subq	$8, %rsp
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
.endm

/* void arch_set_tcb(struct tcb *tcb); */
	.globl	arch_set_tcb
arch_set_tcb:
	movq	TCB_LIMIT(%rdi), %rcx
	movq	%rcx, %fs:CPU_LIMIT
	movq	%rdi, %fs:CPU_TCB
	ret

/* void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value); */
	.globl	arch_switch
arch_switch:
	save_context
	movq	%rsp, TCB_SP(%rdi)
	enter_tcb %rsi, %rax
	movl	%ecx, (%rdx)		/* seen after what was stored before: Intel SDM 3A 9.2.2 */
resume:
	fnclex				/* what was masked here may not be so by the control word loaded next */
	fldcw	4(%rsp)
	ldmxcsr	(%rsp)
	addq	$8, %rsp
	.irp	reg, r15, r14, r13, r12, rbx, rbp
	popq	%\reg
	.endr
	ret

/* void arch_resume(struct tcb *to); */
	.globl	arch_resume
arch_resume:
	enter_tcb
	jmp	resume

/*
 * void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old));
 *
 * On the old stack the frame above; on the new one nothing but fn's return address, 16-byte aligned before it.
 */
	.globl	arch_mcall
arch_mcall:
	save_context
	movq	%fs:CPU_TCB, %rax
	movq	%rsp, TCB_SP(%rax)
	enter_tcb
	andq	$-16, %rsp
	xorl	%ebp, %ebp		/* the chain of frames ends here */
	movq	%rax, %rdi
	callq	*%rsi
	ud2

/*
 * void arch_call_on(struct tcb *to, void (*fn)(void *), void *arg);
 *
 * The old stack gets a whole context, though fn preserves what is in it: arch_resume(old) then returns from this call
 * in fn's stead, whatever fn has made of the registers. That is how a foreign call that has failed is ended.
 *
 *	old stack                             new stack
 *	RBP +  8  return address              to->sp    and up: left as it is
 *	RBP       caller's RBP  <-------      ...       alignment
 *	RBP -  8  caller's RBX         |      RSP -  8  return address
 *	...       the rest             `----- RSP - 16  fn's saved RBP
 *	RBP - 48  old->sp
 */
	.globl	arch_call_on
arch_call_on:
	save_context
	leaq	CONTEXT_FP(%rsp), %rbp
	movq	%fs:CPU_TCB, %rbx	/* old: fn preserves RBX and RBP */
	movq	%rsp, TCB_SP(%rbx)
	enter_tcb
	andq	$-16, %rsp
	movq	%rdx, %rdi
	callq	*%rsi
	movq	TCB_LIMIT(%rbx), %rcx
	movq	%rcx, %fs:CPU_LIMIT
	movq	%rbx, %fs:CPU_TCB
	movq	-8(%rbp), %rbx
	leave				/* not old->sp: callbacks may have moved that */
	ret

/*
 * int arch_call_leaf(void (*fn)(void *), void *arg);
 *
 *	old stack
 *	RBP +  8  return address
 *	RBP       caller's RBP         a frame record: fn's leads to it
 *	RBP -  8  caller's RBX
 *	RBP - 40  caller's R15
 *	RBP - 48  fn                   old->sp
 *
 * With limit 0 what is checked may run too: nothing is compared with the old stack's.
 */
	.globl	arch_call_leaf
arch_call_leaf:
	pushq	%rbp
	movq	%rsp, %rbp
	.irp	reg, rbx, r12, r13, r14, r15, rdi
	pushq	%\reg
	.endr
	movq	%fs:CPU_TCB, %rbx
	movq	TCB_SYSTEM(%rbx), %rcx
	cmpq	%rbx, %rcx
	je	leaf_ended
	movq	%rsp, TCB_SP(%rbx)
	movl	$LEAF_CALL, TCB_ENDED(%rbx)
	movq	%rcx, %fs:CPU_TCB
	movq	$0, %fs:CPU_LIMIT
	movq	TCB_SP(%rcx), %rsp	/* 16-byte aligned: a context's, or the top */
	xchgq	%rdi, %rsi
	callq	*%rsi
	movq	TCB_LIMIT(%rbx), %rcx
	movq	%rcx, %fs:CPU_LIMIT
	movq	%rbx, %fs:CPU_TCB
	addl	$-(LEAF_CALL), TCB_ENDED(%rbx)
	jne	leaf_ended
	movq	-8(%rbp), %rbx		/* fn preserved the others */
	xorl	%eax, %eax
	leave
	ret
leaf_ended:
	movq	%rbx, %rdi
	movq	-8(%rbp), %rbx
	leave
	jmp	runtime_leaf_ended

/* void arch_end_leaf(struct tcb *old); */
	.globl	arch_end_leaf
arch_end_leaf:
	enter_tcb
	.irp	reg, rax, r15, r14, r13, r12, rbx, rbp
	popq	%\reg
	.endr
	jmp	runtime_leaf_ended

/* Where a new context begins (cpu.c, arch_init_context): RBX = fn, R12 = arg, RBP = 0, RSP 16-byte aligned. */
	.globl	context_start
context_start:
	movq	%r12, %rdi
	callq	*%rbx
	ud2

/*
 * Called by checked prologues when SP, less the frame, is at the limit or below.
 * R10 = size of the frame it wants, R11 = size of its arguments on the stack.
 *
 *	RSP +  8  return address of the checked function: its RSP at entry
 *	RSP       return address, in its prologue: of a RET, and behind that the function goes on
 *
 * void runtime_morestack(size_t frame, uintptr_t pc, uintptr_t sp, uintptr_t fp);
 */
	.globl	__morestack
__morestack:
	pushq	%rdi			/* all that may hold an argument */
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8
	pushq	%r9
	movq	%r10, %rdi
	movq	48(%rsp), %rsi
	leaq	56(%rsp), %rdx
	pushq	(%rdx)			/* the frame record that the function has not made yet */
	pushq	%rbp
	movq	%rsp, %rbp
	movq	%rsp, %rcx
	andq	$-16, %rsp
	callq	runtime_morestack
	movq	%rbp, %rsp
	popq	%rbp
	addq	$8, %rsp
	popq	%r9
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	popq	%r11
	incq	%r11
	jmpq	*%r11

/*
 * void *__morestack_allocate_stack_space(size_t size);
 *
 * The same for alloca() and arrays of variable length; it never returns. Here the function has its frame already: SP
 * and FP are given as they were at its entry, as above, and the frame from there on.
 */
	.globl	__morestack_allocate_stack_space
__morestack_allocate_stack_space:
	movq	(%rsp), %rsi
	leaq	8(%rbp), %rdx
	addq	%rdx, %rdi
	subq	%rsp, %rdi
	movq	(%rbp), %rbp
	pushq	(%rdx)
	pushq	%rbp
	movq	%rsp, %rcx
	andq	$-16, %rsp
	callq	runtime_overflow
	ud2

	.section .note.GNU-stack, "", @progbits
