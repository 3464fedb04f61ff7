/*
 * 100,000 goroutines at once, each blocked on a channel; then all are woken and end, and nothing is missing. Its
 * arguments: another number, and "sleep" for as many sleepers on the same stacks, whose timers are in the heaps all at once.
 */
#include <stdlib.h>

#include "qemu-tests/check.h"

static const struct socle_go_attr small = {.stack_size = 8192};
static socle_chan *gate;
static atomic_size_t waiting, ended;

static void waits(void *number)
{
	size_t mine = (size_t)number;

	waiting++;
	socle_chan_recv(gate, NULL);
	ended += mine == (size_t)number;
}

static void all(size_t number)
{
	size_t started = 0, before = vm_frames_free(), bytes;

	gate = socle_chan_make(0, 0);
	waiting = ended = 0;
	for (size_t i = 0; i < number; i++) {
		started += socle_go_attr(&small, waits, (void *)i) == 0;
		if (i % 200 == 0)
			socle_yield();
	}
	CHECK(started == number);
	while (waiting < started)
		socle_yield();
	bytes = (before - vm_frames_free()) * PAGE_SIZE / number;
	printf("%zu goroutines, %zu bytes each\n", number, bytes);
	CHECK(bytes <= (sizeof(void *) == 8 ? 4864 : 4608)); /* page tables, g and all */
	CHECK(ended == 0 && stacks_in_use() > number);
	CHECK(socle_chan_close(gate) == 0);
	while (ended < started)
		socle_yield();
	wait_for_others();
	socle_chan_free(gate);
	CHECK(ended == number);
}

/* ---- Sleepers ---- */

static int64_t first, window; /* each sleeps until some time in the window */
static atomic_size_t early;

static void sleeps(void *number)
{
	int64_t deadline = first + (int64_t)((size_t)number * 2654435769u % (uint32_t)window);

	socle_sleep(deadline - socle_now());
	early += socle_now() < deadline;
	ended++;
}

static void all_sleep(size_t number)
{
	size_t started = 0;

	window = 100 * (int64_t)number;
	first = socle_now() + 3000 * (int64_t)number;
	ended = 0;
	for (size_t i = 0; i < number; i++) {
		started += socle_go_attr(&small, sleeps, (void *)i) == 0;
		if (i % 200 == 0)
			socle_yield();
	}
	socle_yield();
	CHECK(started == number && (ended == 0 || !one_cpu()));
	wait_for_others();
	CHECK(ended == number && early == 0);
}

int main(int argc, char **argv)
{
	size_t number = argc > 1 ? (size_t)atol(argv[1]) : 100000, frames, stacks;

	all(number);
	frames = vm_frames_free();
	stacks = stacks_in_use();
	all(number); /* on the stacks of before: takes no frame */
	if (argc > 2)
		all_sleep(number);
	CHECK(vm_frames_free() == frames && stacks_in_use() == stacks);
	return finish();
}
