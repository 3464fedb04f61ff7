/*
 * The scheduler of goroutines, as in Go's proc.c. Its m's: m.c. Waking and stealing: idle.c.
 *
 * A g that finds nobody to switch to at once (switch.h) calls a function on its m's g0 (arch_mcall: its context stays on
 * its own stack); that function queues the g or leaves it to whoever will ready it, then schedule() picks the next and
 * resumes it. So the scheduler never has a context of its own to save: it starts afresh at g0's saved SP every time.
 * While a goroutine is in a callback that SP lies below the foreign frames, and everything works as before, just lower
 * on g0.
 *
 * Rejected: one scheduler loop with a context on g0, as in xv6 (a callback would need a second one below the foreign
 * frames).
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/runq.h"
#include "runtime/runtime.h"
#include "runtime/switch.h"

#define YIELD_ROOM 256 /* as OPERATION_ROOM: mostly for the saved context alone */
#define DEFAULT_STACK ((size_t)(sizeof(void *) == 8 ? 256 : 64) << 10)

_Static_assert(offsetof(struct g, m) == offsetof(struct tcb, system), "one and the same");
_Static_assert(offsetof(struct g, call_ended) == offsetof(struct tcb, ended), "one and the same");
_Static_assert(offsetof(struct g, tcb) == 0, "known to assembly");

struct p ps[MAX_CPUS]; /* all zero until runtime_init_g0(), lest the queues take room in the image */

static struct {
	struct spin_lock lock;
	struct g *_Atomic all_gs; /* who goes through it without the lock finds each whole: release, acquire */
	atomic_ulong last_id;
} sched;

/* For reports, on any stack. */
SOCLE_UNCHECKED struct g *all_gs(void) { return atomic_load_explicit(&sched.all_gs, memory_order_acquire); }
SOCLE_UNCHECKED int socle_ncpu(void) { return (int)cpu_count(); }

/* ---- Run queues ---- */

SOCLE_UNCHECKED bool anyone_runnable(const struct p *p) { return !run_queue_empty(&p->queue) || !global_queue_empty(); }

/* Unchecked, as ready() is: what was made runnable must get into a queue. */
static SOCLE_UNCHECKED NOINLINE void put_globally(struct g *g, struct p *p)
{
	global_queue_put(g);
	look_for_p(p);
}

/* To be picked next, on g0. */
SOCLE_UNCHECKED NOINLINE void put_locked(struct p *p, struct g *g)
{
	global_queue_put(g);
	p->until_global = 0;
}

/* g goes behind those in the global queue, who came before: they come here. If g went there, soon all that yield would, for
 * good, and each switch go through the scheduler. */
static SOCLE_UNCHECKED NOINLINE __attribute__((minsize)) void line_up(struct p *p, struct g *g)
{
	global_queue_share(&p->queue);
	run_queue_put(&p->queue, g, memory_order_seq_cst); /* half a ring at most is in front */
	look_for_p(p);
}

/* g could run before. In this and the next nothing is left to do after a call. */
static ALWAYS_INLINE void enqueue(struct p *p, struct g *g)
{
	if (own_ring_empty(&p->queue) && !global_queue_empty())
		line_up(p, g);
	else if (!run_queue_put(&p->queue, g, memory_order_release))
		put_globally(g, p);
	else if (!p->ticking)
		start_turn(p);
}

/* g could not run before, so perhaps another CPU is to wake up for it. */
static ALWAYS_INLINE void enqueue_new(struct p *p, struct g *g)
{
	if (!run_queue_put(&p->queue, g, memory_order_seq_cst))
		put_globally(g, p);
	else if (!p->ticking || any_idle())
		look_for_p(p);
}

static SOCLE_UNCHECKED NOINLINE void put_last(struct p *p, struct g *g) { enqueue_new(p, g); }

/* The same, but g comes next. */
static ALWAYS_INLINE void enqueue_next(struct p *p, struct g *g)
{
	struct g *before = run_queue_put_next(&p->queue, g);

	if (before != NULL)
		put_last(p, before);
	else if (!p->ticking || any_idle())
		look_for_p(p);
}

/* The acquire pairs with the release of arch_switch(), park_on_g0() and trim(). */
static ALWAYS_INLINE bool make_runnable(struct g *g, enum g_status *was)
{
	return __atomic_compare_exchange_n(&g->status, was, G_RUNNABLE, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Another CPU may not have left the stack yet, or give it back for trim(). */
SOCLE_UNCHECKED NOINLINE __attribute__((minsize)) void stop_waiting(struct g *g)
{
	for (;;) {
		enum g_status was = G_WAITING;

		if (make_runnable(g, &was))
			return;
		ASSERT(was != G_RUNNABLE && was != G_DEAD, "ready: the goroutine does not wait");
		arch_pause();
	}
}

static SOCLE_UNCHECKED NOINLINE __attribute__((minsize)) void ready_later(struct g *g)
{
	stop_waiting(g);
	enqueue_next(getg()->m->p, g);
}

SOCLE_UNCHECKED __attribute__((minsize)) void ready_last(struct g *g)
{
	stop_waiting(g);
	put_last(getg()->m->p, g);
}

/* Unchecked, like socle_yield(): short, on the path of every switch, and within the slack of a caller that
 * was checked. */
SOCLE_UNCHECKED void ready(struct g *g)
{
	enum g_status was = G_WAITING;

	if (make_runnable(g, &was))
		enqueue_next(getg()->m->p, g);
	else
		ready_later(g);
}

/* ---- Picking ---- */

/* Every 61st time, so that a busy local queue does not keep the global one waiting for ever, and every other while there
 * is somebody. Under chaos often, and then who is first in the local queue may become last. */
static NOINLINE struct g *look_globally(struct p *p)
{
	struct g *g;

	p->until_global = chaos_started ? chaos_random() % 4 : global_queue_empty() ? 60 : 1;
	if (chaos_random() & 1 && (g = run_queue_get(&p->queue)) != NULL)
		put_last(p, g);
	return global_queue_get();
}

/* Threads share the CPU by time. On g0. */
static __attribute__((minsize)) void yield_thread(void)
{
	struct p *p = this_p();
	uintptr_t irq = arch_irq_disable();

	p->due &= (uint8_t)~THREADS_DUE; /* p's own m may be parked */
	arch_irq_restore(irq);
	if (!thread_others_ready())
		return;
	start_turn(p);
	p->thread_turn++; /* it begins with the next switch */
	if (!run_queue_empty(&p->queue) && any_idle())
		wake_one(); /* the goroutines that wait here can run elsewhere meanwhile */
	thread_yield();
}

static SOCLE_UNCHECKED NOINLINE struct g *take_runnext(struct p *p)
{
	p->inherited++; /* its turn is that of who has readied it */
	return run_queue_get_next(&p->queue);
}

/* To those that have waited for all of it. */
static SOCLE_UNCHECKED void pass_turn_on(struct p *p)
{
	struct g *g = run_queue_get_next(&p->queue);
	unsigned first = own_ring_empty(&p->queue) ? 0 : 1; /* in line, before the global queue */

	p->turn = NEXT_TURN;
	if (p->until_global > first && !global_queue_empty())
		p->until_global = first;
	if (g != NULL)
		put_last(p, g);
}

/* Returns whom to run at once: a sleeper whose time has come goes before those that compute, or it would be a turn of each
 * late. But not twice without one from the queues in between. */
static SOCLE_UNCHECKED NOINLINE __attribute__((minsize)) struct g *serve_tick(struct p *p)
{
	uintptr_t irq = arch_irq_disable();
	unsigned due = p->due, switches = p->inherited - p->until_global;
	struct g *g = NULL;

	p->due = due & TIMERS_DUE;
	arch_irq_restore(irq);
	if (due & TURN_DUE)
		pass_turn_on(p);
	if (due & TIMERS_DUE)
		g = timers_run(p, !(due & THREADS_DUE) && p->sleeper_at != switches); /* takes that back */
	if (due & THREADS_DUE)
		yield_thread();
	if (g == NULL)
		return NULL;
	p->sleeper_at = switches;
	if (!run_queue_empty(&p->queue))
		look_for_p(p); /* they wait behind g */
	return g;
}

static ALWAYS_INLINE struct g *find_runnable(struct m *m)
{
	struct p *p = m->p;
	struct g *g;

	for (;;) {
		if (p->due && (g = serve_tick(p)) != NULL)
			return g;
		if (has_next(&p->queue) && (g = take_runnext(p)) != NULL)
			return g;
		if (p->until_global-- == 0 && (g = look_globally(p)) != NULL)
			return g;
		if ((g = run_queue_try_get(&p->queue)) != NULL)
			return g;
		if ((g = global_queue_get()) != NULL)
			return g;
		if ((g = find_elsewhere(m)) != NULL)
			return g;
	}
}

static ALWAYS_INLINE _Noreturn void execute(struct m *m, struct g *g)
{
	make_current(m, g);
	arch_resume(&g->tcb);
}

static SOCLE_UNCHECKED NOINLINE _Noreturn void schedule_m(struct m *m)
{
	struct g *g;

	if (m->locked_g != NULL) {
		stop_locked_m(m);
		execute(m, m->locked_g);
	}
	while ((g = find_runnable(m))->locked_m != NULL)
		start_locked_m(m, g);
	execute(m, g);
}

void schedule(void) { schedule_m(getg()->m); }

/* ---- Giving up the CPU ---- */

/* What runs on g0 for that is unchecked where every switch passes: it starts at g0's saved SP, and socle_callback() has
 * seen to it that there is room for more below it than it takes. */

/* On g0, the context of g saved: from here on others may resume it. */
SOCLE_UNCHECKED void park_on_g0(struct tcb *old)
{
	struct g *g = (struct g *)old;
	struct m *m = g->m;

	m->current = NULL;
	__atomic_store_n(&g->status, G_WAITING, __ATOMIC_RELEASE); /* from here on g is another's */
	schedule_m(m);
}

SOCLE_UNCHECKED void yield_on_g0(struct tcb *old)
{
	struct g *g = (struct g *)old;
	struct m *m = g->m;

	m->current = NULL;
	g->status = G_RUNNABLE;
	enqueue(m->p, g);
	schedule_m(m);
}

SOCLE_UNCHECKED NOINLINE void socle_yield(void)
{
	struct g *g = getg(), *next;
	struct m *m = g->m;
	struct p *p;

	if (on_g0(g))
		fatal("socle_yield: called from foreign code; only a callback may yield");
	arch_touch_stack(YIELD_ROOM);
	p = m->p;
	next = take_next(m, p, true);
	if (next == NULL) {
		arch_mcall(&m->g0.tcb, yield_on_g0);
		return;
	}
	g->status = G_RUNNABLE;
	arch_switch(&g->tcb, &next->tcb, (unsigned *)&p->queue.tail, run_queue_put_later(&p->queue, g));
}

/* ---- Turns ---- */

/* On g0, below the frames of a foreign routine that others wait for. Out of memory, they wait on. */
static __attribute__((minsize)) void end_foreign_turn(struct m *m)
{
	int error = errno; /* of the code that is interrupted */

	m->g0.locks++; /* not interrupted again meanwhile */
	if (m->p != NULL && (m->p->due & TIMERS_DUE || anyone_runnable(m->p)) && hand_off(m->p))
		lose_p(m);
	yield_thread();
	m->g0.locks--;
	errno = error;
}

/* Called between two instructions of the code whose turn is over (preempt.c). */
SOCLE_UNCHECKED __attribute__((minsize)) void end_turn(void *unused)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct g *g = getg();
	struct fiber *f = NULL;
	struct crossing c;

	(void)unused;
	if (!on_g0(g)) {
		socle_yield();
		return;
	}
	if (sp < g->lo || sp >= g->hi)
		f = fiber_find(sp);
	if (f != NULL)
		enter_fiber(g->m, &c, f);
	end_foreign_turn(g->m);
	if (f != NULL)
		leave_fiber(g->m);
}

/* At the end of what is nearly all ours, or a handler's: no tick could end a loop of it. What ends has had frames where the
 * context goes now, so no page is touched for it, as socle_yield() would. */
SOCLE_UNCHECKED __attribute__((minsize)) void end_turn_if_due(struct g *g)
{
	struct m *m = g->m;
	unsigned due = m->p->due; /* for somebody who may have gone elsewhere since */

	if (due && g->libc_locks == 0 && (due & TIMERS_DUE || anyone_runnable(m->p) || thread_others_ready()))
		arch_mcall(&m->g0.tcb, yield_on_g0);
}

/* ---- The end of a goroutine ---- */

static void exit_on_g0(struct tcb *old)
{
	struct g *g = (struct g *)old;
	struct m *m = g->m;

	m->current = NULL;
	g->status = G_DEAD;
	if (g->reent != NULL)
		reent_free(g);
	stack_free(g->stack); /* g with it: it lies on the page that stays */
	schedule_m(m);
}

void socle_exit(void)
{
	struct g *g = getg();

	if (on_g0(g))
		fatal("socle_exit: called from foreign code");
	if ((g->callbacks | g->libc_locks) > 0 && cannot_exit(g))
		fatal("socle_exit: called inside a callback, or what the C library calls");
	if (g->cleanups != NULL || g->try != NULL)
		leave_tries(g);
	if (g->local != NULL)
		g->local->end(g);
	arch_mcall(&g->m->g0.tcb, exit_on_g0);
	__builtin_unreachable();
}

/* ---- Goroutines ---- */

static void g_start(void *arg)
{
	struct g *g = arg;

	g->fn(g->arg);
	socle_exit();
}

/* On a page that was never used, and is zero. */
NOINLINE void enlist_g(struct g *g, struct stack *s)
{
	g->stack = s;
	g->hi = s->hi;
	lock(&sched.lock);
	g->all = atomic_load_explicit(&sched.all_gs, memory_order_relaxed);
	atomic_store_explicit(&sched.all_gs, g, memory_order_release);
	unlock(&sched.lock);
}

/* Nobody else is at it: see one_at_a_time in stack.c. */
NOINLINE void unlist_gs(void)
{
	struct g *last = NULL, *g;

	lock(&sched.lock);
	for (g = all_gs(); g != NULL; g = g->all)
		if (!g->stack->released)
			last = g;
		else if (last != NULL)
			last->all = g->all;
		else
			atomic_store_explicit(&sched.all_gs, g->all, memory_order_relaxed);
	unlock(&sched.lock);
}

unsigned long new_id(void) { return atomic_fetch_add_explicit(&sched.last_id, 1, memory_order_relaxed) + 1; }

/* The stack may have served before. Then what its last goroutine may have left in g is set anew; the rest it has left
 * as it found it: zero. To clear all of g each time would be a third of the price of a goroutine. */
static struct g *init_g(struct stack *s, const struct socle_go_attr *attr, socle_fn fn, void *arg)
{
	struct g *g = (struct g *)s->hi;

	if (g->stack == NULL)
		enlist_g(g, s);
	g->tcb.stack_limit = s->lo + STACK_SLACK;
	g->lo = s->lo; /* an overflow moves it, and socle_exit() may be called before it is back */
	g->name = attr->name;
	g->fn = fn;
	g->arg = arg;
	g->try = NULL;
	g->panicking = g->exiting = false;
	g->status = G_RUNNABLE;
	return g;
}

struct g *new_g(const struct socle_go_attr *attr, socle_fn fn, void *arg)
{
	struct stack *s = stack_alloc(attr->stack_size != 0 ? attr->stack_size : DEFAULT_STACK, STACK_GOROUTINE);

	return s != NULL ? init_g(s, attr, fn, arg) : NULL;
}

int go(const struct socle_go_attr *attr, socle_fn fn, void *arg)
{
	struct g *g = new_g(attr, fn, arg);

	if (g == NULL)
		return -1;
	g->id = new_id();
	arch_init_context(&g->tcb, (void *)g->hi, g_start, g);
	enqueue_new(getg()->m->p, g);
	return 0;
}

static const struct socle_go_attr defaults;

int socle_go_attr(const struct socle_go_attr *attr, socle_fn fn, void *arg)
{
	if (require_goroutine() < 0)
		return -1;
	if (fn == NULL) {
		errno = EINVAL;
		return -1;
	}
	stacks_will_end();
	return go(attr != NULL ? attr : &defaults, fn, arg);
}

int socle_go(socle_fn fn, void *arg) { return socle_go_attr(NULL, fn, arg); }

SOCLE_UNCHECKED unsigned long socle_id(void)
{
	struct g *g = getg();

	return on_g0(g) && g->m->current != NULL ? g->m->current->id : g->id;
}
