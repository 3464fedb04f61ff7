/*
 * Handlers leave the interrupted registers alone: every register is filled, a page of the stack is touched that
 * is not backed yet (its handler allocates, zeroes and maps one), or timer interrupts arrive, and all are compared.
 */
#include "qemu-tests/check.h"
#include "qemu-tests/hold.h"

/* ---- growth ---- */

static int grown;

static void grows(void *arg)
{
	struct socle_stack_info before, after;
	int right = 0;

	(void)arg;
	socle_stack_query(NULL, &before);
	for (uintptr_t page = before.hi - 2 * PAGE_SIZE; page > before.lo + PAGE_SIZE; page -= PAGE_SIZE)
		right += held((uint32_t)page, (volatile char *)page, 1);
	socle_stack_query(NULL, &after);
	CHECK(before.backed <= 2 * PAGE_SIZE && after.backed > before.hi - before.lo - 4 * PAGE_SIZE);
	grown = right;
}

static void test_growth(void)
{
	grown = 0;
	socle_go(grows, NULL);
	wait_for_others();
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
			right += held((uint32_t)rounds, &c, 100000);
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
#ifndef __arm__
	printf("AVX: %s\n", has_avx() ? "yes" : "no");
#endif
	repeatedly(all);
	return finish();
}
