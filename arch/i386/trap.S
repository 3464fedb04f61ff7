/*
 * i386: where handlers begin and end. The processor has saved everything in the TSS of the interrupted task and
 * loaded all registers from the handler's; so there is little left to do, and nothing of the interrupted stack
 * is touched. trap.c tells the whole story.
 */
#include "layout.h"

	.text

/*
 * void trap_task(void): each handler's task starts here, EBX = its struct task, EBP = 0, interrupts masked.
 * IRET (EFLAGS.NT is set) goes back to the task in tss.link, and leaves this one to start after it next time,
 * so ESP must be again what it was: the end of the struct, where the next error code finds its place.
 *
 *	EBX + 128  ESP at entry, if there is no error code
 *	EBX + 124  error code
 *	EBX + 104  points to the top of the stack to use
 *	EBX        TSS
 */
	.globl	trap_task
trap_task:
	movl	TASK_STACK(%ebx), %eax
	movl	(%eax), %esp
	subl	$12, %esp
	pushl	%ebx
	call	trap_enter		/* void trap_enter(struct task *task) */
	leal	TASK_SIZE(%ebx), %esp
	iret
	jmp	trap_task

/*
 * void trap_return(void): where interrupted code goes on. Any switch of tasks sets CR0.TS (SDM volume 3, "Task
 * switching"), IRET's too, and the next FPU instruction would trap: so every trap returns to here first. No
 * register, flag or stack is touched. It may be interrupted itself, and then just starts again.
 */
	.globl	trap_return, trap_return_end
trap_return:
	clts
	jmp	*%gs:CPU_RESUME_PC
trap_return_end:

/*
 * void trap_redirected(void): what arch_redirect() lets a trap return to, every register but EIP and EFLAGS as it was.
 * Calls fn(arg) with FPU and flags as the ABI has them at entry. If fn returns, all is put back; an IRET within one ring
 * does not load ESP, so its frame is put right below where that is to be. EBX = fn, ESI = arg, EDI = use_xsave.
 *
 *	EBP +  8  ESP of the interrupted code
 *	EBP +  4  its EIP: with EBP a frame record, so that a traceback from fn goes on there
 *	EBP       its EBP
 *	EBP - 24  EAX ECX EDX EBX ESI EDI, from the highest address down
 *	EBP - 28  its EFLAGS
 *	ESP + 16  FPU, aligned to 64
 *	ESP       arg
 */
#define REDIRECT_FN (CPU_REDIRECT + 0)
#define REDIRECT_ARG (CPU_REDIRECT + 4)
#define REDIRECT_SP (CPU_REDIRECT + 8)
#define REDIRECT_PC (CPU_REDIRECT + 12)
#define REDIRECT_OLD_SP (CPU_REDIRECT + 16)
#define REDIRECT_FLAGS (CPU_REDIRECT + 20)
#define REDIRECT_USE_XSAVE (CPU_REDIRECT + 24)
	.globl	trap_redirected
trap_redirected:
	movl	%gs:REDIRECT_SP, %esp
	pushl	%gs:REDIRECT_OLD_SP
	pushl	%gs:REDIRECT_PC
	pushl	%ebp
	movl	%esp, %ebp
	.irp	reg, eax, ecx, edx, ebx, esi, edi
	pushl	%\reg
	.endr
	pushl	%gs:REDIRECT_FLAGS
	movl	%gs:REDIRECT_FN, %ebx
	movl	%gs:REDIRECT_ARG, %esi
	movl	%gs:REDIRECT_USE_XSAVE, %edi
	subl	$FPU_STATE, %esp
	andl	$-64, %esp
	testl	%edi, %edi
	jz	1f
	xorl	%edx, %edx
	.irp	word, 512, 516, 520, 524, 528, 532
	movl	%edx, \word(%esp)	/* XSAVE leaves part of it as it is, XRSTOR wants zeroes (SDM 1, 13.8.1) */
	.endr
	movl	$7, %eax
	xsave	(%esp)
	jmp	2f
1:	fxsave	(%esp)
2:	fninit
	ldmxcsr	default_mxcsr
	subl	$12, %esp
	pushl	%esi
	sti
	call	*%ebx
	cli
	addl	$16, %esp
	testl	%edi, %edi
	jz	1f
	movl	$7, %eax
	xorl	%edx, %edx
	xrstor	(%esp)
	jmp	2f
1:	fxrstor	(%esp)
2:	movl	8(%ebp), %ecx
	movl	4(%ebp), %eax
	movl	%eax, -12(%ecx)		/* EIP */
	movl	$SELECTOR_CODE, -8(%ecx)
	movl	-28(%ebp), %eax
	movl	%eax, -4(%ecx)		/* EFLAGS */
	subl	$12, 8(%ebp)
	leal	-24(%ebp), %esp
	.irp	reg, edi, esi, ebx, edx, ecx, eax, ebp
	popl	%\reg
	.endr
	movl	4(%esp), %esp
	iret
	.balign	4
default_mxcsr:
	.long	MXCSR_DEFAULT

	.section .note.GNU-stack, "", @progbits
