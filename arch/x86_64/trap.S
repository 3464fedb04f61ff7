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

	.section .note.GNU-stack, "", @progbits
