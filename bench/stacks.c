/* Growth: frames that reach over many pages for the first time. Each is done by a goroutine of its own, whose stack
 * has its top page only; the page tables are there from the first, which is not counted. */
#include "bench/bench.h"

static __attribute__((noinline)) void touch(volatile char *frame, size_t size)
{
	for (size_t at = size; at >= PAGE_SIZE; at -= PAGE_SIZE)
		frame[at - PAGE_SIZE] = 0;
}

static void grow_64k(void *taken)
{
	volatile char frame[64 << 10];
	uint64_t from = instructions();

	touch(frame, sizeof frame);
	*(uint64_t *)taken += instructions() - from;
}

static void grow_1m(void *taken)
{
	volatile char frame[1 << 20];
	uint64_t from = instructions();

	touch(frame, sizeof frame);
	*(uint64_t *)taken += instructions() - from;
}

static uint64_t grow(unsigned n, socle_fn fn, size_t stack_size)
{
	const struct socle_go_attr attr = {.stack_size = stack_size};
	size_t stacks = stacks_in_use();
	uint64_t taken = 0;

	REPEAT(n + 1)
	{
		if (socle_go_attr(&attr, fn, &taken) < 0)
			fatal("bench: no memory for a goroutine");
		wait_for_others(stacks);
		if (left_ == n + 1)
			taken = 0;
	}
	return taken;
}

uint64_t bench_grow_64k(unsigned n) { return grow(n, grow_64k, 128 << 10); }
uint64_t bench_grow_1m(unsigned n) { return grow(n, grow_1m, 2 << 20); }

/* One page, of 256. */
uint64_t bench_touch(unsigned n) { return bench_grow_1m(n / 256) - loop_cost(n); }
