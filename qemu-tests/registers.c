/*
 * Handlers leave the interrupted registers alone: every vector register is filled, a page of the stack is touched that
 * is not backed yet (its handler allocates, zeroes and maps one), or timer interrupts arrive, and all are compared.
 */
#include <string.h>

#include "qemu-tests/check.h"

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
			 : "r12", "memory", "cc", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12",
			   "d13", "d14", "d15", "d16", "d17", "d18", "d19", "d20", "d21", "d22", "d23", "d24", "d25", "d26", "d27",
			   "d28", "d29", "d30", "d31");
#elif defined __x86_64__
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%1)\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10) LOAD(11)
			 LOAD(12) LOAD(13) LOAD(14) LOAD(15)
			 "1:\tmovb (%2), %%al\n\tsubq $1, %3\n\tjnz 1b\n\t"
			 STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9) STORE(10)
			 STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
			 : "+r"(in), "+r"(out), "+r"(touch), "+r"(times)
			 :
			 : "rax", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
			   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#else
#define LOAD(n) "movups " #n "*16(%0), %%xmm" #n "\n\t"
#define STORE(n) "movups %%xmm" #n ", " #n "*16(%1)\n\t"
#define LOAD87(n) "fldl 128+" #n "*8(%0)\n\t"
#define STORE87(n) "fstpl 128+" #n "*8(%1)\n\t"
	__asm__ volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7)
			 LOAD87(0) LOAD87(1) LOAD87(2) LOAD87(3) LOAD87(4) LOAD87(5) LOAD87(6) LOAD87(7)
			 "1:\tmovb (%2), %%al\n\tsubl $1, %3\n\tjnz 1b\n\t"
			 STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)
			 STORE87(7) STORE87(6) STORE87(5) STORE87(4) STORE87(3) STORE87(2) STORE87(1) STORE87(0)
			 : "+S"(in), "+D"(out), "+b"(touch), "+c"(times)
			 :
			 : "eax", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "st", "st(1)",
			   "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
#endif
}

static double in[BYTES / 8], out[BYTES / 8];

static bool held(volatile char *touch, unsigned long times)
{
	for (int i = 0; i < BYTES / 8; i++)
		in[i] = 1.0 / (i + 3);
	memset(out, 0, sizeof out);
	hold(in, out, touch, times);
	return memcmp(in, out, sizeof in) == 0;
}

/* ---- growth ---- */

static int grown;

static void grows(void *arg)
{
	struct socle_stack_info before, after;
	int right = 0;

	(void)arg;
	socle_stack_query(NULL, &before);
	for (uintptr_t page = before.hi - 2 * PAGE_SIZE; page > before.lo + PAGE_SIZE; page -= PAGE_SIZE)
		right += held((volatile char *)page, 1);
	socle_stack_query(NULL, &after);
	CHECK(before.backed <= 2 * PAGE_SIZE && after.backed > before.hi - before.lo - 4 * PAGE_SIZE);
	grown = right;
}

static void test_growth(void)
{
	grown = 0;
	socle_go(grows, NULL);
	socle_yield();
	CHECK(grown >= 12);
}

/* ---- interrupts ---- */

static void sleeps(void *woken)
{
	socle_sleep(1000000);
	++*(int *)woken;
}

static void test_interrupts(void)
{
	static char c;
	int woken = 0, right = 0, rounds = 0;

	while (woken < 20 && rounds < 10000) {
		int before = woken;

		socle_go(sleeps, &woken);
		while (woken == before && rounds < 10000) {
			right += held(&c, 100000);
			rounds++;
			socle_yield();
		}
	}
	CHECK(woken == 20);
	CHECK(right == rounds && rounds > 0);
}

static void all(void)
{
	test_growth();
	test_interrupts();
}

int main(void)
{
	repeatedly(all);
	return finish();
}
