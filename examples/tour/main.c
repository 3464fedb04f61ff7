/*
 * The tour: what g0 is, what its guard saves, and what happens to two stacks during a foreign call and its callback.
 *
 * `make run ARGS=overflow` ends with a frame that does not fit in g0. `make run ARGS="g0guard=8k"` brings back the guess
 * of 2011, and the tour dies at its first big frame.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tour.h"

static const char *size_words(size_t bytes)
{
	static char words[32];

	if (bytes % 1024 == 0)
		snprintf(words, sizeof words, "%zu KiB", bytes / 1024);
	else
		snprintf(words, sizeof words, "%zu bytes", bytes);
	return words;
}

/* One line: whose stack SP is on, and how deep. */
static void show_sp(const char *when)
{
	struct socle_stack_info here;

	if (socle_stack_query(NULL, &here) < 0)
		return;
	printf("   %-26s on the stack of %-9s %7zu bytes deep\n", when,
	       here.kind == SOCLE_STACK_BOOT || here.kind == SOCLE_STACK_G0 ? "g0:" : "goroutine",
	       (size_t)(here.hi - (uintptr_t)__builtin_frame_address(0)));
}

static void show_boot(void)
{
	struct socle_stack_info g0, mine;
	extern char stack_boot_lo[];

	socle_stack_query(stack_boot_lo, &g0);
	socle_stack_query(NULL, &mine);
	printf("1. Two stacks\n"
	       "   The boot loader jumped onto the boot stack: [%#" PRIxPTR ", %#" PRIxPTR "), %s, laid out by linker.ld.\n"
	       "   It is g0, the system stack. The page below it, at %#" PRIxPTR ", is absent from the page tables.\n",
	       g0.lo, g0.hi, size_words(g0.hi - g0.lo), g0.guard_lo);
	printf("   main runs on a stack of its own: [%#" PRIxPTR ", %#" PRIxPTR "), of which %s are backed by memory.\n",
	       mine.lo, mine.hi, size_words(mine.backed));
	printf("   Below it nothing is mapped for %s. It grows as it is touched, and never moves.\n\n",
	       size_words(mine.lo - mine.guard_lo));
}

static void in_callback(void *arg)
{
	(void)arg;
	show_sp("in the callback:");
	socle_yield(); /* a callback may block: the scheduler runs on g0, below the foreign frames */
	show_sp("after it yielded:");
}

/* Foreign code may use printf, but not the goroutine's calls: so it asks where it stands. */
static void foreign_step(void *arg)
{
	show_sp("in the foreign routine:");
	socle_callback(in_callback, arg);
	show_sp("back in it:");
}

static void show_crossing(void)
{
	printf("2. A foreign call, and its callback\n"
	       "   Foreign C code knows no stackguard, so it runs on g0. When it calls back, our code runs on our stack.\n");
	show_sp("before the call:");
	socle_foreign_call(foreign_step, NULL);
	show_sp("after it:");
	printf("\n");
}

static void count(void *arg) { ++*(int *)arg; }

static void show_frames(void)
{
	size_t free = fixed_room();

	printf("3. Frames of any size\n"
	       "   Go of 2011 guessed where g0 ends: 8 KiB below where it began. A callback from under a bigger frame\n"
	       "   found SP below the guess and died. Here the bounds are known, to the byte.\n");
	for (size_t frame = 4096; frame <= free; frame *= 2) {
		int callbacks = 0;
		struct eater e = {.frame = frame, .callback = count, .arg = &callbacks};

		socle_foreign_call(eat_frame, &e);
		printf("   a frame of %-8s on g0: %d callback, frame %s\n", size_words(frame), callbacks,
		       e.intact ? "intact" : "DESTROYED");
	}
}
