/*
 * The way of another CPU into C. It wakes up in real mode at the start of a page below 1 MiB, to which
 * arch_start_cpus() has copied a few instructions; they lead straight to code that lies in the image. That one sets
 * the control registers as cpu_start has them, which turns on the final page tables, under which it goes on at the
 * same addresses, and takes its stack from there.
 */
#include "layout.h"

#define START_STACK 0
#define START_CR0 8
#define START_CR3 12
#define START_CR4 16
#define START_EFER 20
#define MSR_EFER 0xc0000080

	.section .rodata.boot, "a", @progbits

/* char cpu_start_page[]: runs at any address that real mode can start a segment at; %cs is that segment. */
	.globl	cpu_start_page, cpu_start_page_end
	.code16
cpu_start_page:
	cli
	cld
	lgdtl	%cs:(1f - cpu_start_page)
	movl	%cr0, %eax
	orb	$1, %al			/* protected mode */
	movl	%eax, %cr0
	ljmpl	$SELECTOR_CODE_32, $cpu_start_32
	.balign	4
1:	.short	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt
cpu_start_page_end:

/* The boot CPU's on x86_64 too, until cpu_init(). Accessed already: nobody writes to them. */
	.balign	8
boot_gdt:
#ifdef __i386__
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
#else
	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
#endif
boot_gdt_end:
	.globl	boot_gdt_pointer
boot_gdt_pointer:
	.short	boot_gdt_end - boot_gdt - 1
	.long	boot_gdt

	.section .boot.text, "ax", @progbits
	.code32
/* Not callable. Ends in void cpu_started(void). */
cpu_start_32:
	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs
	movl	cpu_start + START_CR4, %eax
	movl	%eax, %cr4
	movl	cpu_start + START_CR3, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	cpu_start + START_EFER, %eax
	xorl	%edx, %edx
	wrmsr
	movl	cpu_start + START_CR0, %eax
	movl	%eax, %cr0
	xorl	%ebp, %ebp		/* the chain of frames ends here */
#ifdef __i386__
	movl	cpu_start + START_STACK, %esp
#else
	ljmp	$SELECTOR_CODE, $1f
	.code64
1:	movq	cpu_start + START_STACK, %rsp
#endif
	call	cpu_started
	ud2

	.section .note.GNU-stack, "", @progbits
