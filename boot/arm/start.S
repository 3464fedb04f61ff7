/*
 * ARM entry, from reset, from QEMU or from a loader (U-Boot's `go` and `bootelf` included): in any privileged mode
 * or in HYP, caches and MMU off or on one to one. Leaves SYS mode, caches and MMU off and empty, stacks, vectors,
 * VFP; then boot_main() in C, which turns the MMU on. No memory is written before the loader's cache lines are
 * out of the way. r2 is what Linux's boot protocol makes it: the device tree, perhaps.
 *
 *	r6  the loader's r2     r7  SCTLR and HSCTLR, as the loader left them     r10  the mode it left
 */
#include "layout.h"

	.syntax	unified
	.arm
	.arch	armv7-a
	.arch_extension virt
	.fpu	neon-vfpv4

#define SCTLR_CLEAR (SCTLR_M | SCTLR_A | SCTLR_C | SCTLR_SW | SCTLR_I | SCTLR_V | SCTLR_WXN | SCTLR_UWXN | SCTLR_EE | \
	SCTLR_TRE | SCTLR_AFE | SCTLR_TE)
#define MASKED (CPSR_A | CPSR_I | CPSR_F)

	.section .boot.text, "ax"
	.globl	boot_entry
	.type	boot_entry, %function
boot_entry:
	cpsid	aif				@ there are no vectors of ours yet
	setend	le
	mov	r6, r2
	mrc	p15, 0, r0, c0, c0, 5		@ MPIDR
	bic	r0, r0, #0xff000000
	ldr	r1, =BOARD_BOOT_CPU
	cmp	r0, r1
	bne	park

	@ A loader's caches are cleaned while they are still on, too: with them off, instructions come from memory.
	mrc	p15, 0, r7, c1, c0, 0		@ SCTLR
	mrs	r0, cpsr
	and	r10, r0, #MODE_MASK
	cmp	r10, #MODE_HYP
	mrceq	p15, 4, r0, c1, c0, 0		@ HSCTLR
	orreq	r7, r7, r0
	tst	r7, #SCTLR_C
	blne	empty_caches

	@ SCTLR for PL1. SCTLR.A is 0: C code and libraries make unaligned accesses, as the ABI lets them.
	mrc	p15, 0, r0, c1, c0, 0
	ldr	r1, =SCTLR_CLEAR
	bic	r0, r0, r1
	orr	r0, r0, #SCTLR_CP15BEN
	mcr	p15, 0, r0, c1, c0, 0
	isb
	cmp	r10, #MODE_HYP
	beq	leave_hyp

in_pl1:
	cps	#MODE_SYS
	bl	join_coherency
	bl	empty_caches
	mov	r0, #0
	mcr	p15, 0, r0, c8, c7, 0		@ TLBIALL:  TLBs,
	mcr	p15, 0, r0, c7, c5, 0		@ ICIALLU:  instruction cache and
	mcr	p15, 0, r0, c7, c5, 6		@ BPIALL:   branch predictors are undefined at reset
	dsb
	isb

	ldr	r0, =bss_start
	ldr	r1, =bss_end			@ both multiples of 8
	mov	r2, #0
	mov	r3, #0
1:	cmp	r0, r1
	strdlo	r2, r3, [r0], #8
	blo	1b

	cps	#MODE_IRQ
	ldr	sp, =stack_irq_hi
	ldr	r0, =stack_fault_hi
	cps	#MODE_ABT
	mov	sp, r0
	cps	#MODE_UND
	mov	sp, r0
	cps	#MODE_SVC
	mov	sp, r0
	cps	#MODE_FIQ
	mov	sp, r0
	cps	#MODE_SYS
	ldr	sp, =stack_boot_hi
	ldr	r0, =trap_vectors
	mcr	p15, 0, r0, c12, c0, 0		@ VBAR
	mrc	p15, 0, r0, c1, c0, 2		@ CPACR: coprocessors 10 and 11 for all,
	orr	r0, r0, #0x00f00000
	bic	r0, r0, #0xc0000000		@ NEON and d16-d31 not disabled
	mcr	p15, 0, r0, c1, c0, 2
	isb					@ before the first VFP instruction
	mrc	p15, 0, r0, c1, c0, 2
	tst	r0, #0x00300000			@ still 0: there is no VFP, as cpu_check() is going to say
	beq	1f
	mov	r0, #0x40000000			@ EN
	vmsr	fpexc, r0
	mov	r0, #0
	vmsr	fpscr, r0
1:	clrex
	mov	r11, #0				@ the frame chain ends here
	mov	lr, #0
	mov	r0, r6
	b	boot_main

@ HYP mode: the loader's choice on CPUs with virtualization. Nothing of PL1 is to trap here, and down we go.
leave_hyp:
	mrc	p15, 4, r1, c1, c0, 0
	bic	r1, r1, #(SCTLR_M | SCTLR_C)
	bic	r1, r1, #SCTLR_I
	mcr	p15, 4, r1, c1, c0, 0		@ HSCTLR
	isb
	ldr	r1, =hyp_vectors
	mcr	p15, 4, r1, c12, c0, 0		@ HVBAR
	mov	r0, #0
	mcr	p15, 4, r0, c1, c1, 0		@ HCR: no second stage, no traps, interrupts go to PL1
	mcr	p15, 4, r0, c1, c1, 3		@ HSTR
	mcrr	p15, 6, r0, r0, c2		@ VTTBR: VMID 0, which tags the TLB
	ldr	r1, =0x33ff			@ the bits that are always 1; none that traps
	mcr	p15, 4, r1, c1, c1, 2		@ HCPTR: VFP and NEON
	mrc	p15, 4, r1, c1, c1, 1
	and	r1, r1, #0x1f			@ HPMN stays: all event counters are PL1's
	mcr	p15, 4, r1, c1, c1, 1		@ HDCR
	mrc	p15, 4, r1, c14, c1, 0
	orr	r1, r1, #3			@ PL1PCTEN, PL1PCEN: PL1 reads the counter and has the timer
	mcr	p15, 4, r1, c14, c1, 0		@ CNTHCTL
	mcrr	p15, 4, r0, r0, c14		@ CNTVOFF: the virtual counter is the physical one
	mrc	p15, 0, r1, c0, c0, 0
	mcr	p15, 4, r1, c0, c0, 0		@ VPIDR, VMPIDR: what PL1 reads as MIDR and MPIDR
	mrc	p15, 0, r1, c0, c0, 5
	mcr	p15, 4, r1, c0, c0, 5
	ldr	r1, =(MASKED | MODE_SYS)
	msr	spsr_cxsf, r1
	ldr	r1, =in_pl1
	msr	elr_hyp, r1
	eret					@ synchronizes all of the above

park:
	wfe
	b	park

@ ACTLR.SMP, bit 6, where that is what it is: on these cores caches and exclusives work only for a CPU that takes part
@ in coherency, alone or not. In Non-secure state it may be the loader's to set; the write is then ignored.
join_coherency:
	mrc	p15, 0, r0, c0, c0, 0		@ MIDR: implementer ARM, part
	ldr	r1, =0xff00fff0
	and	r0, r0, r1
	adr	r1, smp_parts
1:	ldr	r2, [r1], #4
	cmp	r2, #0
	bxeq	lr
	cmp	r0, r2
	bne	1b
	mrc	p15, 0, r0, c1, c0, 1
	tst	r0, #0x40
	orreq	r0, r0, #0x40
	mcreq	p15, 0, r0, c1, c0, 1
	isb
	bx	lr
smp_parts:					@ Cortex-A7, -A15, -A12, -A17
	.word	0x4100c070, 0x4100c0f0, 0x4100c0d0, 0x4100c0e0, 0

@ Data and unified caches by set and way, up to the level of coherency (ARM ARM B2.2.7). If the loader had caches on,
@ its lines are cleaned, too: our image may be in them. If not, they are random at reset, and only invalidated.
empty_caches:
	dmb
	mrc	p15, 1, r0, c0, c0, 1		@ CLIDR
	mov	r1, #0				@ level * 2
1:	ubfx	r2, r0, #24, #3			@ level of coherency
	cmp	r1, r2, lsl #1
	bhs	5f
	add	r2, r1, r1, lsr #1
	lsr	r2, r0, r2
	and	r2, r2, #7			@ what there is at this level: 2 or more has data
	cmp	r2, #2
	blo	4f
	mcr	p15, 2, r1, c0, c0, 0		@ CSSELR
	isb					@ before CCSIDR is read
	mrc	p15, 1, r2, c0, c0, 0		@ CCSIDR
	and	r3, r2, #7
	add	r3, r3, #4			@ log2 of the line: the set's shift
	ubfx	r4, r2, #3, #10			@ ways - 1
	clz	r5, r4				@ the way's shift
	ubfx	r2, r2, #13, #15		@ sets - 1
2:	ubfx	r8, r2, #0, #15			@ for each way, each set
3:	orr	r9, r1, r4, lsl r5
	orr	r9, r9, r8, lsl r3
	tst	r7, #SCTLR_C
	mcrne	p15, 0, r9, c7, c14, 2		@ DCCISW
	mcreq	p15, 0, r9, c7, c6, 2		@ DCISW
	subs	r8, r8, #1
	bhs	3b
	subs	r4, r4, #1
	bhs	2b
4:	add	r1, r1, #2
	b	1b
5:	dsb					@ done before anything else is
	isb
	bx	lr

@ Nothing is sent here but HVC. It becomes what it is on a CPU without HYP mode: an undefined instruction.
	.balign	32
hyp_vectors:
	.rept	8
	b	hyp_undefined
	.endr
hyp_undefined:
	mcr	p15, 4, r0, c13, c0, 2		@ HTPIDR
	mrs	r0, spsr
	msr	spsr_und, r0
	mrs	r0, elr_hyp			@ already past the instruction, as LR_und has to be
	msr	lr_und, r0
	mrc	p15, 0, r0, c12, c0, 0		@ VBAR
	add	r0, r0, #4
	msr	elr_hyp, r0
	ldr	r0, =(MASKED | MODE_UND)
	msr	spsr_cxsf, r0
	mrc	p15, 4, r0, c13, c0, 2
	eret
	.ltorg
