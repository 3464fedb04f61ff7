/*
 * Preemption. While a goroutine runs and others wait for the CPU, a tick ends its turn: the interrupt handler lets the
 * interrupted code call preempted(), with every register saved on the goroutine's own stack (arch_redirect), and that
 * yields like any other call. Nobody waiting, no tick: the one timer serves the sleepers and the end of the turn.
 *
 * Only goroutine code is interrupted so: not g0, nor the runtime and the kernel (whose code lies together), nor the C
 * library while it holds a lock, nor where the stack has no room for the registers. The next tick tries again, soon.
 *
 * Rejected: setting stackguard so that the next prologue yields, as Go did first (a loop without calls has none).
 */
#include "runtime/runtime.h"

#define TURN 10000000ll /* 10 ms, Go's */
#define RETRY 1000000ll

/* The boot option chaos=SEED: turns of random, short length, and the scheduler picks at random. A failure under it is
 * repeated by the same seed where time is counted in instructions (icount). */
static uint32_t chaos;

/* What preempted() and the scheduler below it need of the goroutine's stack. */
#define ROOM (REDIRECT_GAP + REDIRECT_ROOM + 512)

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

void chaos_start(uint32_t seed) { chaos = seed; }

/* Marsaglia's xorshift. 0 while there is no chaos. */
uint32_t chaos_random(void)
{
	chaos ^= chaos << 13;
	chaos ^= chaos >> 17;
	return chaos ^= chaos << 5;
}

static int64_t length(int64_t usual) { return chaos == 0 ? usual : 2000 + chaos_random() % 100000; }

static void set_timer(struct p *p)
{
	int64_t deadline = p->turn_end;

	if (p->timers != NULL && !p->timers_due && p->timers->deadline < deadline)
		deadline = p->timers->deadline;
	timer_set(deadline);
}

void timers_changed(struct p *p)
{
	uintptr_t irq = arch_irq_disable(); /* the handler sets it too */

	set_timer(p);
	arch_irq_restore(irq);
}

/* With interrupts masked: on 32 bits turn_end takes two stores, and the handler writes it too. */
void start_turn(struct p *p)
{
	uintptr_t irq = arch_irq_disable();

	p->ticking = true;
	p->turn = p->until_global;
	p->turn_end = clock_now() + length(TURN);
	set_timer(p);
	arch_irq_restore(irq);
}

static bool may_preempt(const struct trap *t, const struct g *g)
{
	return !on_g0(g) && g->locks == 0 && g->libc_locks == 0 && !in_core(t->pc) &&
	       t->sp > g->lo + STACK_SLACK + ROOM && t->sp <= g->hi;
}

static void preempted(void *unused)
{
	(void)unused;
	socle_yield();
}

/* Whether somebody has waited for all of a turn. Otherwise notes when to look again, if at all. */
static bool turn_is_over(struct p *p, int64_t now)
{
	if (now < p->turn_end)
		return false;
	p->ticking = anyone_runnable(p);
	if (p->ticking && p->turn == p->until_global) {
		p->turn_end = now + length(RETRY); /* a time in the past would fire again at once, for ever */
		return true;
	}
	p->turn = p->until_global; /* another goroutine runs by now: its turn has only begun */
	p->turn_end = p->ticking ? now + length(TURN) : INT64_MAX;
	return false;
}

void runtime_tick(struct trap *t)
{
	const struct g *g = (const struct g *)t->tcb;
	struct p *p = &p0;
	int64_t now = clock_now();

	if (p->timers != NULL && p->timers->deadline <= now)
		p->timers_due = true;
	if ((turn_is_over(p, now) || p->timers_due) && g->m->current != NULL) {
		if (may_preempt(t, g)) {
			arch_redirect(t, t->sp - REDIRECT_GAP, preempted, NULL);
			p->preempted++;
		}
		p->ticking = true;
		p->turn_end = now + length(RETRY);
	}
	set_timer(p);
}

#pragma clang attribute pop
