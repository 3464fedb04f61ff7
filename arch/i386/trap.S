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
 * void trap_redirected(void): what arch_redirect() lets a trap return to. ECX = fn, EAX = arg, EDX = the address to
 * return to, ESP aligned to 16. The pushes are here and not in the handler because that stack may have to grow for
 * them. At fn:
 *
 *	ESP + 4   arg
 *	ESP       return address
 */
	.globl	trap_redirected
trap_redirected:
	subl	$12, %esp
	pushl	%eax
	pushl	%edx
	jmp	*%ecx

	.section .note.GNU-stack, "", @progbits
