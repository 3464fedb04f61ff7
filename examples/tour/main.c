/*
 * The tour: what g0 is, what its guard saves, and what two stacks do during a foreign call and its callback.
 *
 *   make run                       all of it
 *   make run ARGS=g0guard=8k       the same with the guess of 2011 for g0's stackguard: it dies at a 16 KiB frame
 *   make run ARGS=crash            ends in a report: a goroutine runs out of its stack
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tour.h"

static void print_stack(const char *what, const struct socle_stack_info *s)
{
	printf("     %-18s [%#" PRIxPTR ", %#" PRIxPTR ")  %zu KiB, %zu KiB of them backed by memory\n", what, s->lo,
	       s->hi, (s->hi - s->lo + 1023) / 1024, s->backed / 1024);
	printf("     %-18s [%#" PRIxPTR ", %#" PRIxPTR ")  absent from the page tables\n", "  its guard", s->guard_lo,
	       s->lo);
}

static void show_stacks(void)
{
	extern char stack_boot_lo[];
	struct socle_stack_info g0, mine;

	socle_stack_query(stack_boot_lo, &g0);
	socle_stack_query(NULL, &mine);
	printf("\n1. Two stacks\n\n"
	       "   The loader's first jump landed on the boot stack. It is fixed, linker.ld knows its bounds, and it is g0: the\n"
	       "   system stack, on which the scheduler and foreign code run. main runs on a goroutine's stack, which starts\n"
	       "   with one page, grows when it is touched, and never moves.\n\n");
	print_stack("g0", &g0);
	print_stack("goroutine 1, main", &mine);
}

/* One line: whose stack SP is on, and how deep. */
static void show_sp(const char *when)
{
	struct socle_stack_info here;
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	if (socle_stack_query(NULL, &here) < 0)
		return;
	printf("     %-28s SP is %#" PRIxPTR ", on %s, %zu bytes deep\n", when, sp,
	       here.kind == SOCLE_STACK_GOROUTINE ? "the goroutine's stack" : "g0", (size_t)(here.hi - sp));
}

static void in_callback(void *other)
{
	show_sp("in the callback");
	socle_chan_send(other, NULL); /* blocks: others run meanwhile, on another m: this one's g0 is taken */
	show_sp("after it had blocked");
}

static void foreign_step(void *other)
{
	show_sp("in the foreign routine");
	socle_callback(in_callback, other);
	show_sp("back in it");
}

static void receiver(void *c)
{
	show_sp("meanwhile, goroutine 2");
	socle_chan_recv(c, NULL);
}

static void show_crossing(void)
{
	socle_chan *c = socle_chan_make(0, 0);

	printf("\n2. A foreign call that calls back\n\n"
	       "   Checked code compares SP with its stackguard in every prologue. Foreign code knows nothing of that and takes\n"
	       "   what it likes, so it runs on g0. Its callback is our code again, and runs on our stack.\n\n");
	socle_go(receiver, c);
	show_sp("before the call");
	socle_foreign_call(foreign_step, c);
	show_sp("after it");
	socle_chan_free(c);
}

static void count(void *n) { ++*(int *)n; }

static void show_frames(void)
{
	printf("\n3. Frames of any size\n\n"
	       "   In 2011 Go guessed that g0 ends 8 KiB below where it began. Foreign code with a bigger frame that called back\n"
	       "   found SP below the guess and died (issue 1328; ARGS=g0guard=8k shows it). Here every bound is known, so a\n"
	       "   frame either fits or is refused by name.\n\n");
	for (size_t frame = 4096; frame <= 512 * 1024; frame *= 2) {
		int callbacks = 0;
		struct eater e = {.frame = frame, .callback = count, .arg = &callbacks};
		struct socle_fault fault;
		struct socle_foreign_attr attr = {.fault = &fault};

		if (socle_foreign_call_attr(&attr, eat_frame, &e) == 0)
			printf("     a frame of %3zu KiB on g0: %d callback, frame %s\n", frame / 1024, callbacks,
			       e.intact ? "intact" : "DESTROYED");
		else
			printf("     a frame of %3zu KiB on g0: %s in %s, %d KiB past the end: the call returns -1\n",
			       frame / 1024, fault.what, fault.function,
			       (int)((fault.stack_lo - fault.address) / 1024));
	}
}

static void show_large_stack(void)
{
	int callbacks = 0;
	struct eater e = {.frame = 4 << 20, .callback = count, .arg = &callbacks};
	struct socle_foreign_attr attr = {.stack_size = 8 << 20};

	if (socle_foreign_call_attr(&attr, eat_frame, &e) == 0)
		printf("     a frame of   4 MiB on a stack of 8 MiB that the call asked for: %d callback, frame %s\n",
		       callbacks, e.intact ? "intact" : "DESTROYED");
	else
		printf("     no stack of 8 MiB to be had: %s\n", strerror(errno));
}

static void show_containment(void)
{
	struct socle_fault fault;
	struct socle_foreign_attr attr = {.fault = &fault};

	printf("\n4. Overflow, contained\n\n"
	       "   A foreign routine that recurses without end runs into g0's guard. The handler has a stack of its own; it ends\n"
	       "   that call, and the rest lives on.\n\n");
	if (socle_foreign_call_attr(&attr, recurse, NULL) < 0 && errno == EOVERFLOW)
		printf("     %s in %s+%#zx at %#" PRIxPTR ", %zu bytes below g0: the call returned -1, EOVERFLOW\n",
		       fault.what, fault.function, fault.offset, fault.address,
		       (size_t)(fault.stack_lo - fault.address));
}

static volatile bool enough;
static int woken;

static void sleeper(void *unused)
{
	(void)unused;
	for (; woken < 10; woken++)
		socle_sleep(10000000);
	enough = true;
}

static void show_long_call(void)
{
	struct computation c = {.enough = &enough};
	int64_t from = socle_now();

	printf("\n5. A foreign routine that takes its time\n\n"
	       "   It calls nothing of ours, and waits for a flag that another goroutine will set. The tick gives the right to\n"
	       "   run goroutines (the p) to another thread, and the two share the CPU.\n\n");
	socle_go(sleeper, NULL);
	socle_foreign_call(compute, &c);
	printf("     it computed for %d ms, %lu rounds; meanwhile goroutine 2 slept 10 ms %d times, then set the flag\n",
	       (int)((socle_now() - from) / 1000000), c.rounds, woken);
}

static int __attribute__((noinline)) deeper(volatile int *above)
{
	volatile int here = *above + 1;

	return here < 0 ? 0 : deeper(&here) + here;
}

int main(int argc, char **argv)
{
	volatile int zero = 0;

	show_stacks();
	show_crossing();
	show_frames();
	show_large_stack();
	show_containment();
	show_long_call();
	printf("\n6. Every stack there is\n\n");
	fflush(stdout);
	socle_stack_map();
	if (argc > 1 && strcmp(argv[1], "crash") == 0)
		return deeper(&zero);
	printf("\nNext: examples/hello.c is an application of ten lines; README.md has the pictures.\n");
	return 0;
}
