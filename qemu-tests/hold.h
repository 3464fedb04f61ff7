/* Every vector and floating-point register, filled, held for a while, and stored: what handlers must leave alone. */
#ifndef HOLD_H
#define HOLD_H

#ifdef __arm__
enum { BYTES = 32 * 8 };
#elif defined __x86_64__
enum { BYTES = 16 * 16 };
#else
enum { BYTES = 8 * 16 + 8 * 8 };
#endif

/* Loads `in` to the registers, reads *touch as often as it says, stores the registers to `out`. */
static void hold(const void *in, void *out, volatile char *touch, unsigned long times)
{
#ifdef __arm__
	__asm__ volatile("vldmia %0!, {d0-d15}\n\tvldmia %0!, {d16-d31}\n"
			 "1:\tldrb r12, [%2]\n\tsubs %3, %3, #1\n\tbne 1b\n\t"
			 "vstmia %1!, {d0-d15}\n\tvstmia %1!, {d16-d31}"
			 : "+r"(in), "+r"(out), "+r"(touch), "+r"(times)
			 :
			 : "r12", "memory", "cc", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10",
			   "d11", "d12", "d13", "d14", "d15", "d16", "d17", "d18", "d19", "d20", "d21", "d22", "d23",
			   "d24", "d25", "d26", "d27", "d28", "d29", "d30", "d31");
#elif defined __x86_64__
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%1)\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10)
				 LOAD(11) LOAD(12) LOAD(13) LOAD(14)
					 LOAD(15) "1:\tmovb (%2), %%al\n\tsubq $1, %3\n\tjnz 1b\n\t" STORE(0) STORE(1)
						 STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9)
							 STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
			 : "+r"(in), "+r"(out), "+r"(touch), "+r"(times)
			 :
			 : "rax", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#else
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%1)\n\t"
#define LOAD87(n) "fldl 128+" #n "*8(%0)\n\t"
#define STORE87(n) "fstpl 128+" #n "*8(%1)\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD87(0) LOAD87(1) LOAD87(2)
				 LOAD87(3) LOAD87(4) LOAD87(5) LOAD87(6)
					 LOAD87(7) "1:\tmovb (%2), %%al\n\tsubl $1, %3\n\tjnz 1b\n\t" STORE(0) STORE(1)
						 STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE87(7)
							 STORE87(6) STORE87(5) STORE87(4) STORE87(3) STORE87(2)
								 STORE87(1) STORE87(0)
			 : "+S"(in), "+D"(out), "+b"(touch), "+c"(times)
			 :
			 : "eax", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "st",
			   "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
#endif
}

#endif
