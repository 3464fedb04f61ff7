/* Goroutines: switches, starts, sleeps, and what a parked one takes up. */
#include <stdlib.h>

#include "bench/bench.h"

static void yield_often(void *n)
{
	REPEAT(*(unsigned *)n)
	socle_yield();
}

/* Two goroutines, half of the yields each. */
uint64_t bench_yield(unsigned n)
{
	size_t stacks = stacks_in_use();
	unsigned half = n / 2;
	uint64_t from, taken;

	start(yield_often, &half);
	from = instructions();
	yield_often(&half);
	taken = instructions() - from;
	wait_for_others(stacks);
	return taken - loop_cost(n);
}

static void nothing(void *arg) { (void)arg; }

/* A hundred are started, then all of them run and end while main yields once. */
uint64_t bench_spawn(unsigned n)
{
	size_t stacks = stacks_in_use();
	uint64_t from;

	REPEAT(100)
	start(nothing, NULL);
	wait_for_others(stacks);
	from = instructions();
	REPEAT(n / 100)
	{
		REPEAT(100)
		socle_go(nothing, NULL);
		socle_yield();
	}
	return instructions() - from - loop_cost(n + n / 100);
}

#define WHOLE_TURN 1000000

/* Two loops without calls take turns: what passes between the last look at the counter of one and the first of the
 * other, less what passes between two looks of the same. */
static struct {
	const void *volatile who;
	volatile uint64_t last, taken;
	volatile int left;
	struct socle_waitgroup running; /* main waits, and takes no turn */
} turns;

static void takes_turns(void *me)
{
	uint64_t from = instructions(), look = instructions() - from, now;

	while (turns.left > 0) {
		now = instructions();
		if (turns.who != me && turns.who != NULL &&
		    now > turns.last) { /* not a look from before the turn ended */
			if (now - turns.last <
			    WHOLE_TURN) { /* longer: one of the two was stopped between look and note */
				turns.taken += now - turns.last - look;
				turns.left--;
			}
		}
		turns.who = me;
		turns.last = now;
	}
	socle_waitgroup_done(&turns.running);
}

uint64_t bench_preempt(unsigned n)
{
	static const char names[2];
	size_t stacks = stacks_in_use();

	turns.left = (int)n;
	turns.taken = 0;
	turns.who = NULL;
	socle_waitgroup_add(&turns.running, 2);
	start(takes_turns, (void *)&names[0]);
	start(takes_turns, (void *)&names[1]);
	socle_waitgroup_wait(&turns.running);
	wait_for_others(stacks);
	return turns.taken;
}

static int compare(const void *a, const void *b)
{
	unsigned first = *(const unsigned *)a, second = *(const unsigned *)b;

	return (first > second) - (first < second);
}

/* The median of n. While all CPUs sleep, QEMU puts the clock forward to the deadline, and a few instructions further
 * if it does so before it has counted the last ones: a race inside QEMU 7.2, lost once in some 10,000 sleeps. */
static unsigned sleeps(unsigned n, int64_t ns)
{
	static unsigned taken[1001];

	REPEAT(n)
	{
		uint64_t from = instructions();

		socle_sleep(ns);
		taken[left_ - 1] = (unsigned)(instructions() - from);
	}
	qsort(taken, n, sizeof taken[0], compare);
	return taken[n / 2];
}

/* From the deadline to the sleeper's next instruction, with a machine that is otherwise idle: while it waits, the
 * counter goes on by the time. The clock's own calibration may be off by some 10^-4, and so is a sleep: two lengths of
 * sleep take that off again. Not in it is what leads to the wait. */
uint64_t bench_timer(unsigned n)
{
	sleeps(1, 1); /* calibrates */
	return (uint64_t)n * (2 * sleeps(n, 50000) - sleeps(n, 100000));
}

static void wait_for_close(void *chan) { socle_chan_recv(chan, NULL); }

/* Frames that are gone for each goroutine while it waits on a channel: its page, its g in it, and page tables. */
static uint64_t parked_bytes(unsigned n, size_t stack_size)
{
	const struct socle_go_attr attr = {.stack_size = stack_size};
	socle_chan *chan = socle_chan_make(0, 0);
	size_t stacks = stacks_in_use(), frames = vm_frames_free();

	REPEAT(n)
	if (socle_go_attr(&attr, wait_for_close, chan) < 0)
		fatal("bench: no memory for a goroutine");
	socle_yield();
	frames -= vm_frames_free();
	socle_chan_close(chan);
	wait_for_others(stacks);
	socle_chan_free(chan);
	return (uint64_t)frames * PAGE_SIZE;
}

uint64_t bench_parked_small(unsigned n) { return parked_bytes(n, 8192); }
uint64_t bench_parked_default(unsigned n) { return parked_bytes(n, 0); }
