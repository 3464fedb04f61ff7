/*
 * ARM entry, from reset, from QEMU or from a loader (U-Boot's `go` and `bootelf` included): in any privileged mode
 * or in HYP, caches and MMU off or on one to one. Leaves SYS mode, the MMU and caches on by provisional tables, stacks,
 * vectors, VFP; then boot_main() in C. r2 is what Linux's boot protocol makes it: the device tree, perhaps.
 * What becomes of a loader's cache lines is told at empty_caches.
 *
 * The other CPUs come in at boot_secondary, when arch_start_cpus() has PSCI start them: in the same modes, caches and MMU
 * off and empty (ARM DEN 0022, CPU_ON), and straight on to the final tables, where all is coherent. Before, they write
 * nothing, and read nothing but text, which was cleaned to memory at boot.
 *
 *	r6  the loader's r2, or the invitation     r10  the mode it left     r7  where to go on in SYS mode
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
#define EARLY_STACK 1024 /* what mmu_provisional() has of it */

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

	ldr	r7, =boot_primary
	ldr	r0, =text_start			@ the image as it was loaded: while caches are as the loader left them,
	ldr	r1, =data_end			@ for with them off, instructions come from memory
	bl	empty_caches
	b	leave_loader

@ struct invitation *r0: cpus.c's, by way of PSCI.
	.globl	boot_secondary
	.type	boot_secondary, %function
boot_secondary:
	cpsid	aif
	setend	le
	mov	r6, r0
	ldr	r7, =enter_secondary

leave_loader:
	@ SCTLR for PL1. SCTLR.A is 0: C code and libraries make unaligned accesses, as the ABI lets them.
	mrc	p15, 0, r0, c1, c0, 0
	ldr	r1, =SCTLR_CLEAR
	bic	r0, r0, r1
	orr	r0, r0, #SCTLR_CP15BEN
	mcr	p15, 0, r0, c1, c0, 0
	isb
	mrs	r0, cpsr
	and	r10, r0, #MODE_MASK
	cmp	r10, #MODE_HYP
	beq	leave_hyp

in_pl1:
	cps	#MODE_SYS
	bl	join_coherency
	mov	r0, #0
	mcr	p15, 0, r0, c8, c7, 0		@ TLBIALL:  TLBs,
	mcr	p15, 0, r0, c7, c5, 0		@ ICIALLU:  instruction cache and
	mcr	p15, 0, r0, c7, c5, 6		@ BPIALL:   branch predictors are undefined at reset
	dsb
	isb
	bx	r7

boot_primary:
	ldr	r0, =early_start		@ what is written with caches off: after they are,
	ldr	r1, =early_end			@ for until then old lines may come back
	bl	empty_caches
	ldr	r1, =stack_boot_hi
	sub	r0, r1, #EARLY_STACK
	mov	sp, r1
	bl	empty_caches
	mov	r0, r6
	bl	mmu_provisional

	ldr	r0, =bss_start
	ldr	r1, =bss_end			@ both multiples of 128
	.irp	reg, r2, r3, r4, r5, r7, r8, r9, r12
	mov	\reg, #0
	.endr
1:	.rept	4
	stmia	r0!, {r2-r5, r7-r9, r12}
	.endr
	cmp	r0, r1
	blo	1b
	ldr	r3, =stack_boot_hi
	ldr	r4, =stack_fault_hi
	ldr	r5, =stack_irq_hi
	ldr	r7, =boot_main

@ r3, r4, r5: this CPU's stacks. Goes on at r7 with r6 as the argument.
set_up:
	cps	#MODE_IRQ
	mov	sp, r5
	cps	#MODE_ABT
	mov	sp, r4
	cps	#MODE_UND
	mov	sp, r4
	cps	#MODE_SVC
	mov	sp, r4
	cps	#MODE_FIQ
	mov	sp, r4
	cps	#MODE_SYS
	mov	sp, r3
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
	mov	r0, #0
	mcr	p15, 0, r0, c13, c0, 3		@ TPIDRURO: no control block yet
	mov	r11, #0				@ the frame chain ends here
	mov	lr, #0
	mov	r0, r6
	bx	r7

@ Takes the invitation: the index it holds, and leaves 0. An invitation that is 0 was taken back: the CPU is too late.
@ What was written before it was issued is seen after the DMB.
enter_secondary:
	ldr	r0, =mmu_table + TTBR_WALKS
	ldr	r1, =SCTLR_WXN
	bl	mmu_switch
	mov	r1, #0
1:	ldrex	r2, [r6]
	strex	r3, r1, [r6]
	cmp	r3, #0
	bne	1b
	dmb
	movs	r2, r2
	beq	park
	ldmib	r6, {r3-r5}
	mov	r6, r2
	lsl	r0, r6, #8
	mcr	p15, 0, r0, c13, c0, 1		@ CONTEXTIDR.PROCID: see arch_cpu()
	isb
	ldr	r7, =cpu_main
	b	set_up

@ void mmu_switch(uintptr_t ttbr, uint32_t sctlr): MMU off, the other tables, MMU and caches on, and those bits. So no
@ TLB ever holds both a section and a page of it (ARM ARM B3.10.1). With the MMU off, code goes on at the same address,
@ and there is no data access until it is on again.
	.globl	mmu_switch
	.type	mmu_switch, %function
mmu_switch:
	mrc	p15, 0, r2, c0, c1, 1		@ ID_PFR1: WXN is there with the virtualization extensions
	tst	r2, #0xf000
	biceq	r1, r1, #SCTLR_WXN
	mrc	p15, 0, r2, c1, c0, 0
	bic	r2, r2, #SCTLR_M
	orr	r1, r1, r2
	orr	r1, r1, #(SCTLR_M | SCTLR_C)
	orr	r1, r1, #(SCTLR_I | SCTLR_Z)
	mov	r3, #0
	mov	r12, #1
	dsb					@ the tables are written
	mcr	p15, 0, r2, c1, c0, 0
	isb					@ the MMU is off
	mcr	p15, 0, r3, c2, c0, 2		@ TTBCR: TTBR0 for all addresses
	mcr	p15, 0, r0, c2, c0, 0
	mcr	p15, 0, r12, c3, c0, 0		@ DACR: domain 0 is a client
	mcr	p15, 0, r3, c13, c0, 1		@ CONTEXTIDR: ASID 0
	isb					@ before the TLB is emptied: else it fills anew
	mcr	p15, 0, r3, c8, c7, 0		@ TLBIALL
	mcr	p15, 0, r3, c7, c5, 0		@ ICIALLU,
	mcr	p15, 0, r3, c7, c5, 6		@ BPIALL: memory types and permissions changed
	dsb					@ those are complete
	isb
	mcr	p15, 0, r1, c1, c0, 0
	isb					@ the MMU is on
	bx	lr

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
	mrc	p15, 0, r1, c0, c1, 1
	tst	r1, #0xf0000000			@ ID_PFR1: GICv3's system registers are there
	movne	r1, #9				@ SRE, Enable: PL1 may have them
	mcrne	p15, 4, r1, c12, c9, 5		@ ICC_HSRE
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

@ Cleans and invalidates the lines of [r0, r1), and up to seven more, by address, to the point of coherency (ARM ARM
@ B2.2.6). Takes r2, r3.
@
@  - The image as it was loaded: a loader with caches on has left parts of it in them, and it is about to be executed
@    with them off; one with caches off may have left older lines there, which would hide it once they are on.
@  - What is written while they are off: else an old line is written over it later, or hides it.
@  - Nothing else. Other RAM is first touched with caches on, and then a loader's lines are what it last wrote: the
@    device tree may be in them.
@
@ Rejected: everything, by set and way. That reaches no other CPU's cache and no system cache, loses or writes back what
@ is not ours, and takes 65,000 lines on a Cortex-A15. Caches that come up random need it, but none here do: every core
@ that has what cpu_check() asks for (Cortex-A7, A12, A15, A17, ARMv8) empties its own at reset.
empty_caches:
	mrc	p15, 0, r2, c0, c0, 1		@ CTR: DminLine, the log2 of the shortest line's words
	ubfx	r2, r2, #16, #4
	mov	r3, #4
	lsl	r2, r3, r2
	sub	r3, r2, #1
	bic	r0, r0, r3
1:	.rept	8
	mcr	p15, 0, r0, c7, c14, 1		@ DCCIMVAC
	add	r0, r0, r2
	.endr
	cmp	r0, r1
	blo	1b
	dsb					@ done before anything else is
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
