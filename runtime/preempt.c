/*
 * Preemption. While a goroutine or a foreign routine runs and others wait for the CPU, a tick ends its turn: the
 * interrupt handler lets the interrupted code call end_turn(), with every register saved on the interrupted stack
 * (arch_redirect), and that yields like any other call. Nobody waiting, no tick: the one timer serves the sleepers and
 * the end of the turn.
 *
 * The runtime and the kernel (whose code lies together) are not interrupted so, nor the C library while it holds a
 * lock, nor where the stack has no room for the registers. The next tick tries again, soon.
 *
 * Rejected: setting stackguard so that the next prologue yields, as Go did first (a loop without calls has none).
 */
#include "runtime/runq.h"
#include "runtime/runtime.h"

#define TURN 10000000 /* 10 ms, Go's */
#define RETRY 100000
#define MAX_RETRIES 3 /* then one of the last frames is worth it; under chaos they are as far apart as they get */

/* The boot option chaos=SEED: turns of random, short length, and the scheduler picks at random. A failure under it is
 * repeated by the same seed where time is counted in instructions (icount). */
static uint32_t chaos[MAX_CPUS];
bool chaos_started;

/* What end_turn() needs of the interrupted stack. A goroutine's may be taken from the slack: so checked code is preempted
 * wherever it is, and also unchecked code of little depth below it. On g0 the end of a turn may have to start a thread, and
 * for its stack to take back what the CPUs keep. */
#define ROOM (REDIRECT_GAP + REDIRECT_ROOM + 512)
#define ROOM_ON_G0 (G0_SLACK + ROOM + 1024)
#define SMALL_FRAME 272 /* and a call: compared without its size */
_Static_assert(ROOM + SMALL_FRAME <= STACK_SLACK, "a loop at the end of its stack would never be preempted");

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

void chaos_start(uint32_t seed)
{
	chaos_started = true;
	for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++)
		chaos[cpu] = (seed + cpu * 2654435769u) | (cpu > 0);
}

/* Marsaglia's xorshift. 0 while there is no chaos. */
uint32_t chaos_random(void)
{
	uint32_t *x = &chaos[arch_cpu()];

	*x ^= *x << 13;
	*x ^= *x >> 17;
	return *x ^= *x << 5;
}

/* Mostly a moment, sometimes long enough for a whole switch. Where QEMU has one thread for all CPUs, the next one goes on
 * meanwhile. */
void chaos_stall_now(void)
{
	uint32_t r = chaos_random();

	for (uint32_t n = r % (1u << (r >> 29)); n > 0; n--)
		arch_pause();
}

static unsigned length(unsigned usual) { return !chaos_started ? usual : 2000 + chaos_random() % 100000; }

/* Never in step with a loop that is in the runtime most of the time: a few low bits of the clock, spread. Under chaos later
 * each time: QEMU's icount lets another CPU run up to the next deadline, and it must get on. */
static unsigned retry_after(const struct p *p, int64_t now)
{
	return chaos_started ? length(0) << p->retries : RETRY + ((uint32_t)now * 2654435769u >> 16);
}

static int64_t next_timer(struct p *p) { return atomic_load_explicit(&p->next_timer, memory_order_relaxed); }

static void set_timer(struct p *p)
{
	int64_t deadline = p->turn_end, timer = next_timer(p);

	if (timer < deadline && !(p->due & TIMERS_DUE))
		deadline = timer;
	timer_set(deadline);
}

void timers_changed(struct p *p)
{
	uintptr_t irq = arch_irq_disable(); /* the handler sets it too */

	set_timer(p);
	arch_irq_restore(irq);
}

/* Until now who started a turn did not set the hardware for the timers, whose time had come. */
void timers_done(struct p *p)
{
	uintptr_t irq = arch_irq_disable();

	p->due &= (uint8_t)~TIMERS_DUE;
	set_timer(p);
	arch_irq_restore(irq);
}

/* With interrupts masked: on 32 bits turn_end takes two stores, and the handler writes it too. */
void start_turn(struct p *p)
{
	uintptr_t irq = arch_irq_disable();

	p->ticking = true;
	p->turn = p->until_global;
	p->thread_turn = thread_switches();
	p->turn_end = clock_now() + length(TURN);
	set_timer(p);
	arch_irq_restore(irq);
}

/* What the redirect saves would be lost if it faulted for want of memory. If the code stays there, one of the last frames
 * is worth it: else it would keep the CPU for good. */
static bool is_backed(const struct g *g, uintptr_t sp)
{
	uintptr_t lowest = sp - REDIRECT_GAP - REDIRECT_ROOM;
	char byte;

	return lowest / PAGE_SIZE == sp / PAGE_SIZE || vm_read(&byte, lowest, 1) ||
	       stack_fault(g, lowest, this_p()->retries == MAX_RETRIES) != STACK_OUT_OF_MEMORY;
}

static bool may_interrupt(const struct trap *t, const struct g *g)
{
	struct bounds b = current_bounds(g, t->sp);
	size_t room = on_g0(g) ? ROOM_ON_G0 : ROOM;

	return g->locks == 0 && g->m->current->libc_locks == 0 && !in_core(t->pc) && t->sp > b.lo + room &&
	       t->sp <= b.hi && is_backed(g, t->sp);
}

static bool no_thread_runs(const struct trap *t) { return t->tcb->system == NULL; }
static bool holds_p(const struct trap *t) { return !no_thread_runs(t) && ((const struct g *)t->tcb)->m->p != NULL; }

/* Perhaps one goroutine was taken from the queue, and the other is not in it yet: see socle_yield(). */
static bool switching(const struct trap *t) { return in_core(t->pc) && !no_thread_runs(t); }

/* Notes in p->due whether somebody has waited for all of a turn. Otherwise, when to look again, if at all: the turn that
 * runs has only begun. */
static void look_at_turn(const struct trap *t, struct p *p, int64_t now)
{
	bool goroutines, threads;
	uint8_t still_due;

	if (now < p->turn_end)
		return;
	goroutines = anyone_runnable(p);
	if (goroutines && any_idle() && !no_thread_runs(t))
		wake_one(); /* idle.c says who else may have been missed, and what an idle CPU must not do */
	threads = thread_others_ready();
	still_due = TIMERS_DUE | (threads ? THREADS_DUE : 0);
	if (p->due & ~still_due) /* nobody has seen that, nor need see it any more */
		p->due &= still_due;
	p->ticking = goroutines || threads || switching(t);
	if (threads && p->thread_turn == thread_switches())
		p->due |= THREADS_DUE;
	if (goroutines && p->turn == p->until_global && holds_p(t))
		p->due |= TURN_DUE;
	if (p->due & (TURN_DUE | THREADS_DUE))
		return;
	p->turn = p->until_global;
	p->thread_turn = thread_switches();
	p->turn_end = p->ticking ? now + length(TURN) : INT64_MAX;
}

/* If somebody has waited long enough for what runs here. In the scheduler, or before an m that was woken runs, it may be
 * too late for them to see `due`: so the tick looks again, until somebody has. */
static void preempt(struct trap *t, struct p *p, int64_t now)
{
	const struct g *g = (const struct g *)t->tcb;
	int64_t retry;

	look_at_turn(t, p, now);
	if (p->due) {
		if (!no_thread_runs(t) && g->m->current != NULL && may_interrupt(t, g)) {
			arch_redirect(t, t->sp - REDIRECT_GAP, end_turn, NULL);
			if (!has_next(&p->queue) && global_queue_empty())
				p->due &= (uint8_t)~TURN_DUE; /* a yield is all that it takes */
			p->preempted++;
			p->turn = NEXT_TURN;
			p->retries = 0;
		} else {
			now = clock_now(); /* this may have taken long, and who is interrupted must get on */
			p->retries += p->retries < MAX_RETRIES;
		}
		p->ticking = true;
		/* A time in the past would fire again at once, for ever. And a tick for a timer makes no turn longer. */
		retry = now + retry_after(p, now);
		if (p->turn_end <= now || p->turn_end > retry)
			p->turn_end = retry;
	}
	set_timer(p);
}

void runtime_tick(struct trap *t)
{
	struct p *p = this_p();
	int64_t now = clock_now();

	if (next_timer(p) <= now) {
		p->due |= TIMERS_DUE;
		if (wake_idle_m(p) && no_thread_runs(t))
			return; /* it comes next, and sets the hardware when it has run the timers */
	}
	preempt(t, p, now);
}

/* Another CPU has readied a thread for this one. */
__attribute__((weak)) void runtime_interrupt(struct trap *t)
{
	if (!thread_others_ready() || no_thread_runs(t))
		return;
	this_p()->due |= THREADS_DUE;
	preempt(t, this_p(), clock_now());
}

#pragma clang attribute pop
