/*
 * x86_64: where handlers begin and end. The processor has changed to the stack that the IDT names for the vector
 * (IST), aligned it and pushed five words there; nothing of the interrupted stack, its red zone included, is
 * touched. The FPU's registers stay in the FPU: handlers are compiled not to use them.
 */
#include "layout.h"

#define VECTORS 0x40

	.section .text.traps, "ax", @progbits

/*
 * char trap_vectors[VECTORS][16]: the addresses in the IDT. The vectors that come with an error code are 8, 10 to 14,
 * 17, 21, 29 and 30 (SDM 3, 6.15, and AMD's two); for the others we push a 0.
 */
	.globl	trap_vectors
	.balign	16
trap_vectors:
	.set	vector, 0
	.rept	VECTORS
	.if	vector >= 32 || !(0x60227d00 >> vector & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.balign	16
	.set	vector, vector + 1
	.endr

/*
 * void trap_enter(struct arch_regs *regs), in trap.c, on:
 *
 *	RSP + 168  SS
 *	RSP + 160  RSP
 *	RSP + 152  RFLAGS
 *	RSP + 144  CS
 *	RSP + 136  RIP
 *	RSP + 128  error code, or 0
 *	RSP + 120  vector
 *	RSP +   0  RAX RBX RCX RDX RSI RDI RBP R8 ... R15, from the lowest address up
 */
trap_common:
	.irp	reg, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
	pushq	%\reg
	.endr
	cld				/* what the ABI asks at entry */
	movq	%rsp, %rdi		/* 22 words from an aligned start: aligned again */
	callq	trap_enter
	.irp	reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	popq	%\reg
	.endr
	addq	$16, %rsp		/* vector and error code */
	iretq

/*
 * void trap_redirected(void): what arch_redirect() lets a trap return to, every register but RIP and RFLAGS as it was.
 * Calls fn(arg) with FPU and flags as the ABI has them at entry. If fn returns, all is put back. RBX = fn, R12 = arg.
 *
 *	RBP + 24   RIP, CS, RFLAGS, RSP, SS of the interrupted code, as IRETQ wants them
 *	RBP +  8   its RIP again: with RBP a frame record, so that a traceback from fn goes on there
 *	RBP        its RBP
 *	RBP - 112  RAX RCX RDX RBX RSI RDI R8 ... R15, from the highest address down
 *	RSP        FPU, aligned to 64
 */
#define REDIRECT_FN (CPU_REDIRECT + 0)
#define REDIRECT_ARG (CPU_REDIRECT + 8)
#define REDIRECT_SP (CPU_REDIRECT + 16)
#define REDIRECT_PC (CPU_REDIRECT + 24)
#define REDIRECT_OLD_SP (CPU_REDIRECT + 32)
#define REDIRECT_FLAGS (CPU_REDIRECT + 40)
#define REDIRECT_USE_XSAVE (CPU_REDIRECT + 48)
	.globl	trap_redirected
trap_redirected:
	movq	%fs:REDIRECT_SP, %rsp
	pushq	$SELECTOR_DATA
	pushq	%fs:REDIRECT_OLD_SP
	pushq	%fs:REDIRECT_FLAGS
	pushq	$SELECTOR_CODE
	pushq	%fs:REDIRECT_PC
	pushq	%rbp			/* space, for the alignment */
	pushq	%fs:REDIRECT_PC
	pushq	%rbp
	movq	%rsp, %rbp
	.irp	reg, rax, rcx, rdx, rbx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	pushq	%\reg
	.endr
	movq	%fs:REDIRECT_FN, %rbx
	movq	%fs:REDIRECT_ARG, %r12
	movq	%fs:REDIRECT_USE_XSAVE, %r13
	subq	$FPU_STATE, %rsp
	andq	$-64, %rsp
	testq	%r13, %r13
	jz	1f
	xorl	%edx, %edx
	.irp	word, 512, 520, 528
	movq	%rdx, \word(%rsp)	/* XSAVE leaves part of it as it is, XRSTOR wants zeroes (SDM 1, 13.8.1) */
	.endr
	movl	$7, %eax
	xsave64	(%rsp)
	jmp	2f
1:	fxsave64 (%rsp)
2:	fninit
	ldmxcsr	default_mxcsr(%rip)
	sti
	movq	%r12, %rdi
	callq	*%rbx
	cli
	testq	%r13, %r13
	jz	1f
	movl	$7, %eax
	xorl	%edx, %edx
	xrstor64 (%rsp)
	jmp	2f
1:	fxrstor64 (%rsp)
2:	leaq	-112(%rbp), %rsp
	.irp	reg, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx, rax, rbp
	popq	%\reg
	.endr
	addq	$16, %rsp
	iretq
	.balign	4
default_mxcsr:
	.long	0x1f80

	.section .note.GNU-stack, "", @progbits
