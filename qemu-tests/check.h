/*
 * What an image that tests itself needs. CHECK counts; finish() prints the count, which must be the one that
 * tests.toml declares, and gives main's status. repeatedly() runs a test three times, for what is kept for reuse (free
 * stacks, idle m's, page tables, the C library's heap) to settle; then once more, and nothing more may be gone.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

#include "runtime/runtime.h"
#include "socle.h"

static atomic_uint checks_passed, checks_failed;

static inline void check(bool condition, const char *text, const char *file, int line)
{
	if (condition) {
		checks_passed++;
		return;
	}
	checks_failed++;
	printf("%s:%d: failed: %s\n", file, line, text);
}

#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)

static inline int finish(void)
{
	printf("checks: %u passed, %u failed\n", checks_passed, checks_failed);
	return checks_failed > 0;
}

static inline bool others_are_left(void)
{
	int others = -1;

	for (struct g *g = all_gs(); g != NULL; g = g->all)
		others += g->status != G_DEAD;
	return others > 0;
}

static inline bool is_waiting(const struct g *g)
{
	return g != NULL && __atomic_load_n(&g->status, __ATOMIC_ACQUIRE) == G_WAITING;
}

/* In loops that wait for others: where QEMU has one thread for all CPUs, they get on by that. */
static inline void let_others_run(void)
{
	arch_pause();
	socle_yield();
}

/* Until all goroutines but the caller, and all foreign threads, have ended. */
static inline void wait_for_others(void)
{
	do
		let_others_run();
	while (others_are_left());
}

/* The same, leaving the CPU to threads. */
static inline void sleep_for_others(void)
{
	while (others_are_left())
		socle_sleep(100000);
}

/* Whether it comes to be so, however little time the host has for us. */
#define SOON(condition)                                                                            \
	({                                                                                         \
		for (int64_t end = socle_now() + 5000000000ll; !(condition) && socle_now() < end;) \
			socle_sleep(100000);                                                       \
		(condition);                                                                       \
	})

static inline bool one_cpu(void) { return socle_ncpu() == 1; }

/* The caller stays on its m and CPU meanwhile, and what it reads is read meanwhile. */
static inline struct g *stay(void)
{
	struct g *g = getg();

	g->locks++;
	atomic_signal_fence(memory_order_seq_cst);
	return g;
}
static inline void move_on(struct g *g)
{
	atomic_signal_fence(memory_order_seq_cst);
	g->locks--;
}

/* The caller's m holds its CPU's p. */
static inline bool holds_p(void)
{
	struct g *g = stay();
	bool holds = g->m->p == this_p();

	move_on(g);
	return holds;
}

/* The g0 of the caller's m is where it was made: no call's own stack, and no other m's. */
static inline bool g0_is_own(void)
{
	struct g *g = stay();
	const struct m *m = g->m;
	bool own = m == &m0 ? m->g0.hi == fixed_stacks[0].hi
			    : m->g0.lo == m->g0.stack->lo && m->g0.hi == (uintptr_t)m && m->g0.tcb.sp <= (void *)m;

	move_on(g);
	return own;
}

/* The turn that runs ends in ns nanoseconds, which are instructions in most runs. */
static inline void end_turn_in(int64_t ns)
{
	uintptr_t irq = arch_irq_disable();
	struct p *p = this_p();

	p->turn_end = socle_now() + ns;
	timers_changed(p);
	arch_irq_restore(irq);
}

/* And who waits has waited for all of it. */
static inline void end_turn_soon(void)
{
	end_turn_in(5000);
	this_p()->turn = this_p()->until_global;
}

/* The caller is alone. */
static inline bool no_timers(void)
{
	for (const struct p *p = ps; p < ps + socle_ncpu(); p++)
		if (p->timers != NULL)
			return false;
	return true;
}

/* Free frames and stacks in use. It is chance how many m's are kept for later, and how deep their foreign calls went; and
 * how many stacks there were at once, of which each slot keeps a page. So those frames count as free. */
struct left {
	size_t frames, stacks;
};

static inline struct left what_is_left(void)
{
	struct left left = {0};
	struct socle_stack_info info;

	free_dead_ms();
	stacks_flush();
	left.frames = vm_frames_free() + stack_slots();
	for (const struct stack *s = stack_next(NULL); s != NULL; s = stack_next(s)) {
		left.stacks += s->kind != STACK_G0;
		if (s->kind == STACK_G0 && socle_stack_query((const void *)s->lo, &info) == 0)
			left.frames += info.backed / PAGE_SIZE;
		left.frames--;
	}
	return left;
}

/* A leak loses something in every round; chance (a slot that was never used, with new page tables) does not, so it gets
 * some more. Their checks do not count. */
static inline void repeatedly(void (*test)(void))
{
	struct left before, after = {0};
	bool frames_kept = false, stacks_kept = false;
	unsigned passed = 0;

	for (int i = 0; i < 20 && !(frames_kept && stacks_kept); i++) {
		before = after;
		test();
		after = what_is_left();
		if (i > 3)
			checks_passed = passed;
		passed = checks_passed;
		frames_kept |= i >= 3 && after.frames >= before.frames;
		stacks_kept |= i >= 3 && after.stacks <= before.stacks;
	}
	CHECK(frames_kept);
	CHECK(stacks_kept);
}

#endif
