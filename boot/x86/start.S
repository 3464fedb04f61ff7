/*
 * From reset to C, on i386 and x86_64. Three kinds of loader find this image: Xen's PVH by its note (QEMU's -kernel,
 * Firecracker), Multiboot 1 by its header (QEMU's -kernel, GRUB) and Multiboot 2 by its (GRUB). All three enter in
 * 32-bit protected mode without paging, with flat segments of their own and EBX = where they left what they know;
 * EAX has the Multiboots' magic. So there is one entry. It asks the CPU for what Socle cannot do without and says
 * what is missing, clears .bss, and goes to C: directly on i386; on x86_64 in long mode, with provisional tables
 * that map 4 GiB one to one (arch_start() builds the real ones). The other CPUs sleep until arch_start_cpus() sends
 * for them: cpu.S.
 *
 * Rejected: an entry a protocol (the same code three times), an ELF32 wrapper for x86_64 (QEMU's Multiboot wants
 * no ELF64, but the header may give addresses instead, and then any file format will do).
 */
#include "board.h"
#include "layout.h"

#define MB1_MAGIC 0x1badb002
#ifdef __i386__
#define MB1_FLAGS 0x00000003 /* modules on pages, memory map */
#else
#define MB1_FLAGS 0x00010003 /* and addresses, instead of an ELF64 that is not looked at */
#endif
#define MB2_MAGIC 0xe85250d6

#define CR0_EM_TS 0xc
#define CR0_WP_PG 0x80010000
#define CR4_OSFXSR 0x200
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900

/* ---- What loaders look for ---- */

	.section .boot.header, "ax", @progbits
	.balign	8
mb2_header:
	.long	MB2_MAGIC, 0, mb2_end - mb2_header, -(MB2_MAGIC + 0 + (mb2_end - mb2_header))
	.short	6, 0			/* modules on pages */
	.long	8
	.short	0, 0			/* the last tag */
	.long	8
mb2_end:

	.balign	4
mb1_header:
	.long	MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
#ifdef __x86_64__
	.long	mb1_header, text_start, data_end, image_end, boot_entry
#endif

	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 8, 18		/* XEN_ELFNOTE_PHYS32_ENTRY; QEMU reads 8 bytes even in an ELF32 */
	.asciz	"Xen"
	.long	boot_entry, 0

/* ---- The entry ---- */

	.section .boot.text, "ax", @progbits
	.code32
/*
 * Not callable. EAX = Multiboot's magic or anything, EBX = the loader's information. Both are handed to
 * void boot_main(uint32_t magic, uint32_t info), on the boot stack, which is empty then.
 */
	.globl	boot_entry
boot_entry:
	cli
	cld
	movl	$stack_boot_hi, %esp
	movl	%eax, %ebp		/* magic */
	pushl	%ebx			/* info */
	call	check_cpu
	popl	%ebx

	rdtsc
	movl	%eax, %esi		/* when we began, for clock_now(): .bss is not there yet */
	movl	%cr0, %eax		/* SSE on (SDM 3, 13.1.3): it clears 16 bytes at a time */
	andl	$~CR0_EM_TS, %eax
	movl	%eax, %cr0
	movl	%cr4, %eax
	orl	$CR4_OSFXSR, %eax
	movl	%eax, %cr4
	xorps	%xmm0, %xmm0
	movl	$bss_start, %edi
1:	.irp	offset, 0, 16, 32, 48, 64, 80, 96, 112
	movaps	%xmm0, \offset(%edi)
	.endr
	subl	$-128, %edi
	cmpl	$bss_end, %edi
	jne	1b
	movl	%esi, boot_tsc
	movl	%edx, boot_tsc + 4

#ifdef __i386__
	subl	$8, %esp
	pushl	%ebx
	pushl	%ebp
	xorl	%ebp, %ebp		/* the chain of frames ends here */
	call	boot_main
	ud2
#else
	/* 4 GiB in 2 MiB pages, present and writable (and executable, as we are running there). */
	movl	$boot_directories, %edi
	movl	$0x83, %eax
1:	.irp	offset, 0, 8, 16, 24, 32, 40, 48, 56
	movl	%eax, \offset(%edi)
	addl	$0x200000, %eax		/* wraps to 0x83 after the last of 4 GiB */
	.endr
	addl	$64, %edi
	cmpl	$boot_directories + 4 * 4096, %edi
	jne	1b
	movl	$boot_directories + 3, %eax
	movl	$boot_pointers, %edi
2:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	cmpl	$boot_pointers + 4 * 8, %edi
	jne	2b
	movl	$boot_pointers + 3, boot_root

	/* SDM 3, 9.8.5: PAE, then CR3, then EFER.LME, then paging: in this order. */
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$boot_root, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_WP_PG, %eax
	movl	%eax, %cr0
	lgdt	boot_gdt_pointer
	ljmp	$SELECTOR_CODE, $1f

	.code64
1:	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%ebp, %edi
	movl	%ebx, %esi
	xorl	%ebp, %ebp		/* the chain of frames ends here */
	call	boot_main
	ud2

	.section .bss.boot, "aw", @nobits
	.balign	4096
boot_root:
	.skip	4096
boot_pointers:
	.skip	4096
boot_directories:
	.skip	4 * 4096

	.section .boot.text, "ax", @progbits
	.code32
#endif

/* ---- What the CPU must have ---- */

/* void check_cpu(void): stops, with a line on the UART, where something is missing. Uses all but EBP. */
check_cpu:
	pushfl				/* SDM 1, 20.1: there is CPUID if EFLAGS.ID can be changed */
	popl	%eax
	movl	%eax, %ecx
	xorl	$0x200000, %eax
	pushl	%eax
	popfl
	pushfl
	popl	%eax
	movl	$text_cpuid, %esi
	cmpl	%eax, %ecx
	je	stop
	movl	$features, %edi
1:	movl	(%edi), %eax
	testl	%eax, %eax
	jz	2f
	cpuid
	movl	8(%edi), %esi
	testl	%edx, 4(%edi)
	jz	stop
	addl	$12, %edi
	jmp	1b
2:	ret

/* ESI = what is missing. Says so and stops, under QEMU with status 2. */
stop:
	movl	$uart_setup, %edi	/* the UART is as the firmware left it: pairs of register and value */
1:	movzwl	(%edi), %edx
	movb	2(%edi), %al
	outb	%al, %dx
	addl	$3, %edi
	cmpl	$uart_setup_end, %edi
	jne	1b
	movl	%esi, %ebx
	movl	$text_before, %esi
	call	print
	movl	%ebx, %esi
	call	print
	movl	$text_after, %esi
	call	print
	movl	$BOARD_COM1 + 5, %edx
1:	inb	%dx, %al
	testb	$0x40, %al		/* the last byte has left */
	jz	1b
	movl	$2, %eax
	movl	$BOARD_DEBUG_EXIT, %edx
	outl	%eax, %dx
2:	cli
	hlt
	jmp	2b

/* ESI = text. Uses EAX, EDX. */
print:
	movl	$BOARD_COM1 + 5, %edx
1:	inb	%dx, %al
	testb	$0x20, %al		/* room for a byte */
	jz	1b
	lodsb
	testb	%al, %al
	jz	2f
	movl	$BOARD_COM1, %edx
	outb	%al, %dx
	jmp	print
2:	ret

	.section .rodata.boot, "a", @progbits
	.balign	4
features:				/* CPUID's leaf, bit in EDX, name */
	.long	1, 1 << 4, text_tsc
	.long	1, 1 << 5, text_msr
	.long	1, 1 << 6, text_pae
	.long	1, 1 << 9, text_apic
	.long	1, 1 << 24, text_fxsr
	.long	1, 1 << 26, text_sse2
	.long	0x80000001, 1 << 20, text_nx
#ifdef __x86_64__
	.long	0x80000001, 1 << 29, text_lm
#endif
	.long	0

uart_setup:				/* 115200 8N1, FIFOs on, no interrupts */
	.irp	pair, 0x100, 0x380, 0x001, 0x100, 0x303, 0x2c7, 0x403
	.short	BOARD_COM1 + (\pair >> 8)
	.byte	\pair & 0xff
	.endr
uart_setup_end:

text_before:	.asciz	"Socle: this CPU (or its firmware's settings) lacks "
text_after:	.asciz	", which Socle needs. Stopped.\r\n"
text_cpuid:	.asciz	"CPUID"
text_tsc:	.asciz	"a time stamp counter (TSC)"
text_msr:	.asciz	"model-specific registers (MSR)"
text_pae:	.asciz	"physical address extension (PAE)"
text_apic:	.asciz	"a local APIC"
text_fxsr:	.asciz	"FXSAVE (FXSR)"
text_sse2:	.asciz	"SSE2"
text_nx:	.asciz	"no-execute pages (NX)"
text_lm:	.asciz	"long mode (64 bit)"

	.section .note.GNU-stack, "", @progbits
