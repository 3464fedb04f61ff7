/*
 * Every register that code may use, loaded, held through a loop that changes none of them, and stored: what interrupts,
 * preemptions and stack faults must leave alone. On x86 also AVX's upper halves where there are any, the whole x87
 * stack with its status, both control words and the flags, direction and alignment check among them; on ARM APSR with GE,
 * and FPSCR.
 *
 * The loop reads a byte and counts without touching the flags: by LOOP on x86; on ARM its branch is computed.
 */
#ifndef HOLD_H
#define HOLD_H

#include <stdbool.h>
#include <string.h>

#include "socle.h"

#ifdef __arm__
#define FLAGS_HELD 0xf80f0000u	  /* N Z C V Q, GE */
#define FPSCR_HELD 0xfbc0009fu	  /* N Z C V QC, DN, FZ, rounding, what has happened */
enum { GENERAL = 14, TOUCH = 0 }; /* r0-r12, lr; r12 counts, lr is the loop's */

struct registers {
	uint64_t vector[32]; /* d0-d31 */
	uint32_t fpscr, flags, general[GENERAL];
};
#else
#define FLAGS_HELD 0x240cd5ul /* C P A Z S, D, O; AC and ID, which mean nothing in ring 0 */
#ifdef __x86_64__
enum { VECTORS = 16, GENERAL = 15, TOUCH = 2 }; /* rax, rcx, rsi, rbx, rdx, rdi, rbp, r8-r15; rcx counts, rax reads */
#else
enum { VECTORS = 8, GENERAL = 7, TOUCH = 2 };
#endif

struct registers {
	unsigned char vector[VECTORS][32], x87[8][16];
	uint32_t mxcsr, control, status; /* SSE's, x87's two */
	uintptr_t flags, avx;		 /* avx: there are upper halves */
	uintptr_t general[GENERAL];
};
#endif

#define OFFSET(field) [field] "i"(offsetof(struct registers, field))

/* Loads `in` to the registers, reads *touch as often as it says, stores the registers to `out`. */
#ifdef __arm__
__attribute__((naked, noinline)) static SOCLE_UNCHECKED void hold(const struct registers *in, struct registers *out,
								  volatile char *touch, unsigned long times)
{
	__asm__("push {r4-r11, lr}\n\t"
		"vpush {d8-d15}\n\t"
		"push {r1}\n\t"
		"mov r12, r3\n\t"
		"mov lr, r0\n\t"
		"mov r0, r2\n\t"
		"vldmia lr!, {d0-d15}\n\t"
		"vldmia lr!, {d16-d31}\n\t"
		"ldmia lr!, {r1, r2, r3}\n\t" /* r3: what r0 would be */
		"vmsr fpscr, r1\n\t"
		"msr apsr_nzcvqg, r2\n\t"
		"ldmia lr, {r1-r11}\n"
		"1:\tldrb lr, [r0]\n\t"
		"sub r12, r12, #1\n\t"
		"mov lr, r12, asr #31\n\t"
		"and lr, lr, #4\n\t"
		"add pc, pc, lr\n\t" /* to the branch, or past it when r12 is negative */
		"nop\n\t"
		"b 1b\n\t"
		"push {r0}\n\t"
		"ldr r0, [sp, #4]\n\t"
		"add r0, r0, #%c[general] + 4\n\t"
		"stmia r0, {r1-r12, lr}\n\t"
		"vmrs r1, fpscr\n\t"
		"mrs r2, apsr\n\t"
		"pop {r3}\n\t"
		"sub r0, r0, #12\n\t"
		"stmia r0, {r1, r2, r3}\n\t"
		"mov r1, #0\n\t"
		"vmsr fpscr, r1\n\t"
		"pop {r0}\n\t"
		"vstmia r0!, {d0-d15}\n\t"
		"vstmia r0!, {d16-d31}\n\t"
		"vpop {d8-d15}\n\t"
		"pop {r4-r11, pc}"
		:
		: OFFSET(general));
}
#else
#ifdef __x86_64__
#define WORD "8"
#define AX "%%rax"
#define SP "%%rsp"
#define SI "%%rsi"
#define DI "%%rdi"
#define PUSH_ARGUMENTS \
	".irp reg, rbx, rbp, r12, r13, r14, r15\n\tpush %%\\reg\n\t.endr\n\tpushf\n\tpush %%rsi\n\tmov %%rdx, %%rsi\n\t"
#define POP_ALL "pop %%rdi\n\tpopf\n\t.irp reg, r15, r14, r13, r12, rbp, rbx\n\tpop %%\\reg\n\t.endr\n\tret"
#define EACH_VECTOR ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
#define EACH_HELD ".irp reg, rbx, rdx, rbp, r8, r9, r10, r11, r12, r13, r14, r15\n\t" /* rdi comes last */
#define COUNTER "%%rcx"
#else
#define WORD "4"
#define AX "%%eax"
#define SP "%%esp"
#define SI "%%esi"
#define DI "%%edi"
#define PUSH_ARGUMENTS                                                                               \
	".irp reg, ebx, ebp, esi, edi\n\tpush %%\\reg\n\t.endr\n\tpushf\n\tmov 24(%%esp), %%edi\n\t" \
	"push 28(%%esp)\n\tmov 36(%%esp), %%esi\n\tmov 40(%%esp), %%ecx\n\t"
#define POP_ALL "pop %%edi\n\tpopf\n\t.irp reg, edi, esi, ebp, ebx\n\tpop %%\\reg\n\t.endr\n\tret"
#define EACH_VECTOR ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n\t"
#define EACH_HELD ".irp reg, ebx, edx, ebp\n\t"
#define COUNTER "%%ecx"
#endif

__attribute__((naked, noinline)) static SOCLE_UNCHECKED void hold(const struct registers *in, struct registers *out,
								  volatile char *touch, unsigned long times)
{
	__asm__(PUSH_ARGUMENTS /* DI = in, SI = touch, CX = times; out is on the stack, above the flags */
		"cmpb $0, %c[avx](" DI ")\n\t"
		"je 1f\n\t" EACH_VECTOR "vmovups %c[vector] + \\n * 32(" DI "), %%ymm\\n\n\t.endr\n\t"
		"jmp 2f\n"
		"1:\t" EACH_VECTOR "movups %c[vector] + \\n * 32(" DI "), %%xmm\\n\n\t.endr\n"
		"2:\t.irp n, 0, 1, 2, 3, 4, 5, 6, 7\n\tfldt %c[x87] + \\n * 16(" DI ")\n\t.endr\n\t"
		"sub $32, " SP "\n\t" /* the environment has 28 */
		"fnstenv (" SP ")\n\t"
		"mov %c[status](" DI "), %%ax\n\t"
		"mov %%ax, 4(" SP ")\n\t"
		"fldenv (" SP ")\n\t"
		"add $32, " SP "\n\t"
		"fldcw %c[control](" DI ")\n\t"
		"ldmxcsr %c[mxcsr](" DI ")\n\t"
		"pushf\n\t"
		"pop " AX "\n\t"
		"and %[others], " AX "\n\t"
		"or %c[flags](" DI "), " AX "\n\t"
		"push " AX "\n\t"
		"popf\n\t"
		".set at, %c[general] + 3 * " WORD "\n\t" EACH_HELD "mov at(" DI "), %%\\reg\n\t.set at, at + " WORD
		"\n\t.endr\n\t"
		"mov at(" DI "), " DI "\n"
		"3:\tmovzbl (" SI "), %%eax\n\t"
		"loop 3b\n\t"
		"push " DI "\n\t"
		"mov " WORD "(" SP "), " DI "\n\t"
		"mov " AX ", %c[general](" DI ")\n\t"
		"mov " COUNTER ", %c[general] + " WORD "(" DI ")\n\t"
		"mov " SI ", %c[general] + 2 * " WORD "(" DI ")\n\t"
		".set at, %c[general] + 3 * " WORD "\n\t" EACH_HELD "mov %%\\reg, at(" DI ")\n\t.set at, at + " WORD
		"\n\t.endr\n\t"
		"pop " AX "\n\t"
		"mov " AX ", at(" DI ")\n\t"
		"pushf\n\t"
		"pop " AX "\n\t"
		"mov " AX ", %c[flags](" DI ")\n\t"
		"stmxcsr %c[mxcsr](" DI ")\n\t"
		"fnstcw %c[control](" DI ")\n\t"
		"fnstsw %c[status](" DI ")\n\t"
		".irp n, 7, 6, 5, 4, 3, 2, 1, 0\n\tfstpt %c[x87] + \\n * 16(" DI ")\n\t.endr\n\t"
		"cmpb $0, %c[avx](" DI ")\n\t"
		"je 4f\n\t" EACH_VECTOR "vmovups %%ymm\\n, %c[vector] + \\n * 32(" DI ")\n\t.endr\n\t"
		"vzeroupper\n\t"
		"jmp 5f\n"
		"4:\t" EACH_VECTOR "movups %%xmm\\n, %c[vector] + \\n * 32(" DI ")\n\t.endr\n"
		"5:\tpush $0x1f80\n\t"
		"ldmxcsr (" SP ")\n\t"
		"fninit\n\t"
		"pop " AX "\n\t" POP_ALL
		:
		: OFFSET(vector), OFFSET(x87), OFFSET(mxcsr), OFFSET(control), OFFSET(status), OFFSET(flags),
		  OFFSET(avx), OFFSET(general), [others] "i"((int)~FLAGS_HELD));
}
#endif

#undef OFFSET

#ifndef __arm__
/* As the SDM asks, 1, 14.3: the processor has it, and the kernel saves it. */
static inline bool has_avx(void)
{
	unsigned a = 1, b, c = 0, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if ((c >> 27 & 3) != 3) /* AVX, OSXSAVE */
		return false;
	__asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return (a & 6) == 6;
}
#endif

/* Different ones for each seed. */
static inline void fill(struct registers *r, uint32_t seed)
{
	unsigned char *bytes = (unsigned char *)r;

	for (size_t i = 0; i < sizeof *r; i++)
		bytes[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
	r->flags &= FLAGS_HELD;
#ifdef __arm__
	r->fpscr &= FPSCR_HELD;
#else
	r->avx = has_avx();
	for (int i = 0; i < VECTORS && !r->avx; i++)
		memset(r->vector[i] + 16, 0, 16);
	for (int i = 0; i < 8; i++) {
		r->x87[i][7] |= 0x80; /* a number */
		memset(r->x87[i] + 10, 0, 6);
	}
	r->control = 0x7f | (r->control & 0xe00); /* the upper bit of precision; rounding; no exceptions */
	r->status &= 0x477f;			  /* conditions, what has happened; the stack is full */
	r->mxcsr = 0x1f80 | (r->mxcsr & 0xe03f);  /* flush to zero, rounding; what has happened; no exceptions */
#endif
}

/* Holds what fill() makes of the seed. True: all was as before. */
static inline bool held(uint32_t seed, volatile char *touch, unsigned long times)
{
	struct registers in, out;

	fill(&in, seed);
	memcpy(&out, &in, sizeof out);
	memset(out.general, 0, sizeof out.general);
	in.general[TOUCH] = (uintptr_t)touch;
	hold(&in, &out, touch, times);
	out.flags &= FLAGS_HELD;
#ifdef __arm__
	in.general[12] = (uint32_t)-1;
	in.general[13] = 4;
#else
	in.general[0] = (unsigned char)*touch;
	in.general[1] = 0;
#endif
	return memcmp(&in, &out, sizeof in) == 0;
}

#endif
