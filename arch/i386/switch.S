/*
 * i386: changing stacks. A saved context is a frame on its own stack, and tcb->sp points to it. The limit (what
 * checked prologues read), the tcb and ESP change in three instructions with nothing pushed in between.
 */
#include "layout.h"

	.text

/* EDX = tcb: makes it current, ESP and all. Uses ECX. */
.macro enter_tcb
	movl	TCB_LIMIT(%edx), %ecx
	movl	%ecx, %gs:CPU_LIMIT
	movl	%edx, %gs:CPU_TCB
	movl	TCB_SP(%edx), %esp
.endm

/*
 * The frame of a context that does not run:
 *
 *	sp + 28   arguments, of arch_switch() and arch_mcall()
 *	sp + 24   return address
 *	sp + 20   EBP                  CONTEXT_FP: with the return address a frame record
 *	sp + 16   EBX
 *	sp + 12   ESI
 *	sp +  8   EDI
 *	sp +  4   x87 control word
 *	sp        MXCSR
 */
.macro save_context
	pushl	%ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	subl	$8, %esp
	stmxcsr	(%esp)
	fnstcw	4(%esp)
.endm

/* void arch_set_tcb(struct tcb *tcb); */
	.globl	arch_set_tcb
arch_set_tcb:
	movl	4(%esp), %edx
	movl	TCB_LIMIT(%edx), %ecx
	movl	%ecx, %gs:CPU_LIMIT
	movl	%edx, %gs:CPU_TCB
	ret

/* void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value); */
	.globl	arch_switch
arch_switch:
	save_context
	movl	28(%esp), %eax
	movl	32(%esp), %edx
	movl	36(%esp), %ebx
	movl	40(%esp), %esi
	movl	%esp, TCB_SP(%eax)
	enter_tcb
	movl	%esi, (%ebx)		/* seen after what was stored before: Intel SDM 3A 9.2.2 */
resume:
	fnclex				/* an exception that was masked here may not be in what is loaded next */
	fldcw	4(%esp)
	ldmxcsr	(%esp)
	addl	$8, %esp
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret

/* void arch_resume(struct tcb *to); */
	.globl	arch_resume
arch_resume:
	movl	4(%esp), %edx
	enter_tcb
	jmp	resume

/*
 * void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old));
 *
 * On the old stack the frame above; on the new one, 16-byte aligned at the call:
 *
 *	to->sp    and up: left as it is
 *	...       alignment
 *	ESP       old
 */
	.globl	arch_mcall
arch_mcall:
	save_context
	movl	28(%esp), %edx
	movl	32(%esp), %ebx
	movl	%gs:CPU_TCB, %eax
	movl	%esp, TCB_SP(%eax)
	enter_tcb
	xorl	%ebp, %ebp
	subl	$4, %esp
	andl	$-16, %esp
	movl	%eax, (%esp)		/* the new stack may grow here: the tcb is its own by now */
	call	*%ebx
	ud2

/*
 * void arch_call_on(struct tcb *to, void (*fn)(void *), void *arg);
 *
 * What it leaves on the old stack is the frame above, so that instead of fn's return somebody may resume the old
 * context, which is to return from here with the callee-saved registers as they were.
 *
 *	old stack                          new stack
 *	EBP + 16  arg                      to->sp    and up: left as it is
 *	EBP + 12  fn                       ...       alignment
 *	EBP +  8  to                       ESP       arg
 *	EBP +  4  return address           ESP - 4   return address, and then fn's saved EBP, which leads to
 *	EBP       caller's EBP             <-------- the frame record on the left
 *	EBP - 20  old->sp: MXCSR
 */
	.globl	arch_call_on
arch_call_on:
	save_context
	leal	CONTEXT_FP(%esp), %ebp
	movl	8(%ebp), %edx
	movl	%gs:CPU_TCB, %ebx
	movl	%esp, TCB_SP(%ebx)
	movl	16(%ebp), %eax
	enter_tcb
	subl	$4, %esp
	andl	$-16, %esp
	movl	%eax, (%esp)
	call	*12(%ebp)
	movl	TCB_LIMIT(%ebx), %ecx
	movl	%ecx, %gs:CPU_LIMIT
	movl	%ebx, %gs:CPU_TCB
	leal	8 - CONTEXT_FP(%ebp), %esp	/* not old->sp: callbacks may have moved that */
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	ret

/*
 * int arch_call_leaf(void (*fn)(void *), void *arg);
 *
 *	old stack
 *	EBP + 12  arg
 *	EBP +  8  fn
 *	EBP +  4  return address
 *	EBP       caller's EBP         a frame record: fn's leads to it
 *	EBP -  4  caller's EBX
 *	EBP - 12  caller's EDI         old->sp
 *
 * With limit 0 what is checked may run too: nothing is compared with the old stack's.
 */
	.globl	arch_call_leaf
arch_call_leaf:
	pushl	%ebp
	movl	%esp, %ebp
	pushl	%ebx
	pushl	%esi
	pushl	%edi
	movl	%gs:CPU_TCB, %ebx
	movl	TCB_SYSTEM(%ebx), %ecx
	cmpl	%ebx, %ecx
	je	leaf_ended
	movl	%esp, TCB_SP(%ebx)
	movl	$LEAF_CALL, TCB_ENDED(%ebx)
	movl	12(%ebp), %eax
	movl	8(%ebp), %edx
	movl	%ecx, %gs:CPU_TCB
	movl	$0, %gs:CPU_LIMIT
	movl	TCB_SP(%ecx), %esp
	subl	$4, %esp
	andl	$-16, %esp
	movl	%eax, (%esp)
	call	*%edx
	movl	TCB_LIMIT(%ebx), %ecx
	movl	%ecx, %gs:CPU_LIMIT
	movl	%ebx, %gs:CPU_TCB
	addl	$-(LEAF_CALL), TCB_ENDED(%ebx)
	jne	leaf_ended
	movl	-4(%ebp), %ebx		/* fn preserved the others */
	xorl	%eax, %eax
	leave
	ret
leaf_ended:
	movl	%ebx, %edx
	movl	-4(%ebp), %ebx
	leave
tell_leaf_ended:
	movl	%edx, 4(%esp)		/* the arguments' place is the callee's to use */
	jmp	runtime_leaf_ended

/* void arch_end_leaf(struct tcb *old); */
	.globl	arch_end_leaf
arch_end_leaf:
	movl	4(%esp), %edx
	enter_tcb
	popl	%edi
	popl	%esi
	popl	%ebx
	popl	%ebp
	jmp	tell_leaf_ended

/*
 * Called by checked prologues when SP, less the frame, is at the limit or below.
 *
 *	ESP + 12  return address of the checked function: its ESP at entry
 *	ESP +  8  size of its arguments
 *	ESP +  4  size of the frame it wants
 *	ESP       return address, in its prologue: of a RET, and behind that the function goes on
 *
 * void runtime_morestack(size_t frame, uintptr_t pc, uintptr_t sp, uintptr_t fp);
 */
	.globl	__morestack
__morestack:
	pushl	%eax			/* where clang's own calls may have arguments */
	pushl	%ecx
	pushl	%edx
	leal	24(%esp), %edx
	movl	12(%esp), %eax
	movl	16(%esp), %ecx
	pushl	(%edx)			/* the frame record that the function has not made yet */
	pushl	%ebp
	movl	%esp, %ebp
	andl	$-16, %esp
	pushl	%ebp
	pushl	%edx
	pushl	%eax
	pushl	%ecx
	call	runtime_morestack
	movl	%ebp, %esp
	popl	%ebp
	addl	$4, %esp
	popl	%edx
	popl	%ecx
	movl	4(%esp), %eax
	incl	%eax
	movl	%eax, 12(%esp)
	popl	%eax
	addl	$8, %esp
	ret

/*
 * void *__morestack_allocate_stack_space(size_t size);
 *
 * The same for alloca() and arrays of variable length; it never returns. Here the function has its frame already: SP
 * and FP are given as they were at its entry, as above, and the frame from there on.
 */
	.globl	__morestack_allocate_stack_space
__morestack_allocate_stack_space:
	movl	(%esp), %eax
	leal	4(%ebp), %edx
	movl	4(%esp), %ecx
	addl	%edx, %ecx
	subl	%esp, %ecx
	movl	(%ebp), %ebp
	pushl	(%edx)
	pushl	%ebp
	movl	%esp, %ebp
	andl	$-16, %esp
	pushl	%ebp
	pushl	%edx
	pushl	%eax
	pushl	%ecx
	call	runtime_overflow
	ud2

	.section .note.GNU-stack, "", @progbits
