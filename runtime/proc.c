/*
 * The scheduler: g's, m's and p's, as in Go's proc.c.
 *
 * A g gives up the CPU by calling a function on its m's g0 (arch_mcall: its context stays on its own stack); that
 * function queues the g or leaves it to whoever will ready it, then schedule() picks the next and resumes it. So the
 * scheduler never has a context of its own to save: it starts afresh at g0's saved SP every time. While a goroutine
 * is in a callback that SP lies below the foreign frames, and everything works as before, just lower on g0.
 *
 * A goroutine in a callback is locked to its m, whose g0 holds its foreign frames. When it blocks, the m hands its p
 * to another m and parks; when it is runnable again, the m that picks it hands its p over and parks in turn.
 *
 * Rejected: switching straight from g to g (the old g must not be picked up by another CPU before its context is
 * saved, so somebody must act after the switch anyway; on g0 that is simply the next line); one scheduler loop with
 * a context on g0, as in xv6 (a callback would need a second one below the foreign frames).
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/runq.h"
#include "runtime/runtime.h"

#define DEFAULT_STACK ((size_t)(sizeof(void *) == 8 ? 256 : 64) << 10)
#define G0_STACK ((size_t)256 << 10)
#define IDLE_MS 4 /* kept for the next callback that blocks; further ones are freed */

_Static_assert(offsetof(struct g, m) == offsetof(struct tcb, system), "one and the same");
_Static_assert(offsetof(struct g, call_ended) == offsetof(struct tcb, ended), "one and the same");
_Static_assert(offsetof(struct g, tcb) == 0 && offsetof(struct m, g0) == 0, "known to assembly");

struct m m0 = {.g0 = {.m = &m0, .name = "g0"}, .p = ps};
struct p ps[MAX_CPUS]; /* all zero until runtime_init_g0(), lest the queues take room in the image */

static struct {
	struct spin_lock lock;
	struct m *idle; /* parked, without a p */
	unsigned idles;
	struct m *dead; /* parked for good: their stacks are to be freed by another m */
	struct g *all_gs;
	atomic_ulong last_id;
	atomic_uint last_m;
} sched;

/*
 * Who has nothing to run. A p is idle when its m is parked with it; one more may be looking for work, spinning, so that
 * CPUs are not woken and put to sleep again for each goroutine that is readied. Neither must miss the last one:
 *
 *	ready()                       find_elsewhere(), idle()
 *	  put it in the queue           spinning = 0
 *	  anyone idle?                  idle
 *	  nobody spinning?              anyone in a queue?
 *	  wake one, it spins            sleep
 *
 * Each of the four on the left and right is sequentially consistent, so either the left one finds somebody idle, and
 * nobody spinning, or the right one finds the goroutine. (Go's proc.c, "Worker thread parking/unparking".)
 */
static struct {
	_Alignas(64) atomic_uint ps; /* a bit for each idle p. Who clears it wakes p->idle_m */
	atomic_uint spinning;	     /* 0 or 1 */
} idle;

/* For reports, on any stack. */
SOCLE_UNCHECKED struct g *all_gs(void) { return sched.all_gs; }
int socle_ncpu(void) { return (int)cpu_count(); }

/* ---- Waking a p ---- */

static SOCLE_UNCHECKED bool take_idle(struct p *p)
{
	return atomic_fetch_and_explicit(&idle.ps, ~(1u << p->id), memory_order_seq_cst) >> p->id & 1;
}

/* p was taken. First in line: a sleeper waits for no turns of threads that compute. */
static SOCLE_UNCHECKED void wake(struct p *p) { thread_ready_first(&p->idle_m->thread); }

SOCLE_UNCHECKED bool wake_idle_m(struct p *p)
{
	bool taken = take_idle(p);

	if (taken)
		wake(p);
	return taken;
}

/* Some p, unless one looks for work anyway. */
static SOCLE_UNCHECKED NOINLINE void wake_one(void)
{
	unsigned none = 0, ids = atomic_load_explicit(&idle.ps, memory_order_seq_cst);
	struct p *p;

	if (ids == 0 || !atomic_compare_exchange_strong_explicit(&idle.spinning, &none, 1, memory_order_seq_cst,
								 memory_order_seq_cst))
		return;
	do {
		p = &ps[__builtin_ctz(ids)];
		if (take_idle(p)) {
			p->spinning = true;
			wake(p);
			return;
		}
		ids = atomic_load_explicit(&idle.ps, memory_order_seq_cst);
	} while (ids != 0);
	atomic_store_explicit(&idle.spinning, 0, memory_order_seq_cst);
}

static ALWAYS_INLINE void wake_another(void)
{
	if (atomic_load_explicit(&idle.ps, memory_order_seq_cst) != 0)
		wake_one();
}

/* ---- Run queues ---- */

SOCLE_UNCHECKED bool anyone_runnable(const struct p *p) { return !run_queue_empty(&p->queue) || !global_queue_empty(); }

static bool anyone_runnable_anywhere(void)
{
	for (struct p *p = ps; p < ps + cpu_count(); p++)
		if (!run_queue_empty(&p->queue))
			return true;
	return !global_queue_empty();
}

/* For a goroutine in the global queue. */
static void look_for_p(struct p *p)
{
	if (!p->ticking)
		start_turn(p);
	wake_another();
}

static NOINLINE void put_globally(struct g *g, struct p *p)
{
	global_queue_put(g);
	look_for_p(p);
}

/* Whoever runs, or will run before g, has a turn of limited length from now on. */
static ALWAYS_INLINE void enqueue(struct p *p, struct g *g, memory_order order)
{
	if (!run_queue_put(&p->queue, g, order))
		put_globally(g, p);
	else if (!p->ticking)
		start_turn(p);
}

/* g could not run before: another CPU may. Nothing is left to do after a call. */
static ALWAYS_INLINE void enqueue_new(struct p *p, struct g *g)
{
	enqueue(p, g, memory_order_seq_cst);
	wake_another();
}

/* Unchecked, like socle_yield(): short, on the path of every switch, and within the slack of a caller that
 * was checked. */
SOCLE_UNCHECKED void ready(struct g *g)
{
	ASSERT(g->status == G_WAITING, "ready: the goroutine does not wait");
	g->status = G_RUNNABLE;
	enqueue_new(getg()->m->p, g);
}

/* ---- m's ---- */

static void m_start(void *arg)
{
	struct m *m = arg;

	m->g0.tcb.sp =
		(void *)m->g0.hi; /* the scheduler starts afresh here each time: this frame is not needed again */
	m->p = m->next_p;
	schedule();
}

/* With p. False: no memory. */
static bool start_new_m(struct p *p)
{
	struct stack *s = stack_alloc(G0_STACK, STACK_G0);
	struct m *m;

	if (s == NULL)
		return false;
	m = (struct m *)s->hi;
	*m = (struct m){
		.g0 = {.tcb = {.stack_limit = s->lo + G0_SLACK, .system = &m->g0.tcb},
		       .lo = s->lo,
		       .hi = s->hi,
		       .name = "g0",
		       .stack = s},
		.next_p = p,
		.id = atomic_fetch_add_explicit(&sched.last_m, 1, memory_order_relaxed) + 1,
	};
	thread_start(&m->thread, p->id, &m->g0.tcb, (void *)s->hi, m_start, m);
	return true;
}

bool hand_off(struct p *p)
{
	struct m *m;

	lock(&sched.lock);
	m = sched.idle;
	if (m != NULL) {
		sched.idle = m->next;
		sched.idles--;
	}
	unlock(&sched.lock);
	if (m == NULL)
		return start_new_m(p);
	m->next_p = p;
	thread_ready_on(&m->thread, p->id);
	return true;
}

/* Parks the thread of m until somebody hands it a p: then it is on the CPU of that. */
static void park_m(struct m *m)
{
	m->p = NULL;
	thread_park();
	m->p = m->next_p;
	m->next_p = NULL;
}

/* The goroutine that m is locked to cannot run yet: others may, on another m. */
static NOINLINE void stop_locked_m(struct m *m)
{
	if (!hand_off(m->p))
		fatal("no memory for a further thread's g0: a goroutine blocked in a callback, and the others need one");
	park_m(m);
	ASSERT(m->locked_g->status == G_RUNNABLE, "a locked m was woken before its goroutine could run");
}

/* Those that another CPU is about to leave stay for the next time. */
void free_dead_ms(void)
{
	struct m *m, *freed = NULL, **link;

	lock(&sched.lock);
	for (link = &sched.dead; (m = *link) != NULL;) {
		if (!thread_parked(&m->thread)) {
			link = &m->next;
			continue;
		}
		*link = m->next;
		m->next = freed;
		freed = m;
	}
	unlock(&sched.lock);
	m = freed;
	while (m != NULL) {
		struct m *next = m->next;

		stack_free(m->g0.stack); /* m with it */
		m = next;
	}
}

void bury(struct m *m)
{
	lock(&sched.lock);
	m->next = sched.dead;
	sched.dead = m;
	unlock(&sched.lock);
}

/* An m that parks without a p is kept for later, or dies when enough are kept. m0's stack is the image's: it stays. */
static void retire(struct m *m)
{
	lock(&sched.lock);
	if (sched.idles < IDLE_MS || m == &m0) {
		m->next = sched.idle;
		sched.idle = m;
		sched.idles++;
	} else {
		m->next = sched.dead;
		sched.dead = m;
	}
	unlock(&sched.lock);
}

/* g can run, but only on its own m: that gets our p, and we wait for another. */
static NOINLINE void start_locked_m(struct m *m, struct g *g)
{
	struct m *other = g->locked_m;

	free_dead_ms();
	retire(m);
	other->next_p = m->p;
	thread_ready_on(&other->thread, m->p->id);
	park_m(m);
}

/* ---- Picking ---- */

static void deadlock(void)
{
	int waiting = 0, threads = 0;

	for (struct g *g = sched.all_gs; g != NULL; g = g->all) {
		waiting += g->status != G_DEAD;
		threads += g->status != G_DEAD && is_foreign_thread(g);
	}
	if (waiting == 0)
		fatal("no goroutines are left, and main did not return: it called socle_exit()");
	fatal("all goroutines%s are asleep - deadlock!", threads > 0 ? " and foreign threads" : "");
}

/* No thread can run, and no tick will come. If one has come, and gone, since we looked, not all are asleep since then. */
void runtime_idle(unsigned now)
{
	for (struct p *p = ps; p < ps + cpu_count(); p++)
		if (atomic_load_explicit(&p->next_timer, memory_order_acquire) != INT64_MAX || p->due)
			return;
	if (thread_all_asleep(now))
		deadlock();
}

/* Nothing to run, but other threads may have. With interrupts masked, so that a tick comes before or finds p idle. Who
 * has found it idle since wakes it up, and that is waited for. */
static void wait_for_work(struct m *m, struct p *p)
{
	uintptr_t irq = arch_irq_disable();

	p->idle_m = m;
	atomic_fetch_or_explicit(&idle.ps, 1u << p->id, memory_order_seq_cst);
	if (!(p->due || anyone_runnable_anywhere()) || !take_idle(p))
		thread_park();
	arch_irq_restore(irq);
}

/* Every 61st time, so that a busy local queue does not keep the global one waiting for ever; under chaos each time, and
 * then who is first in the local queue may become last. */
static NOINLINE struct g *look_globally(struct p *p)
{
	struct g *g;

	p->until_global = chaos_random() == 0 ? 60 : 0;
	if (chaos_random() & 1 && (g = run_queue_get(&p->queue, memory_order_relaxed)) != NULL)
		enqueue_new(p, g);
	return global_queue_get();
}

/* Threads share the CPU by time. On g0. */
static void yield_thread(void)
{
	if (!thread_others_ready())
		return;
	start_turn(this_p());
	wake_another(); /* the goroutines that wait here can run elsewhere meanwhile */
	thread_yield();
}

static NOINLINE void serve_tick(struct p *p)
{
	uintptr_t irq = arch_irq_disable();
	unsigned due = p->due;

	p->due = 0;
	arch_irq_restore(irq);
	if (due & TIMERS_DUE)
		timers_run(p);
	if (due & THREADS_DUE)
		yield_thread();
}

/* ---- Other CPUs' work ---- */

#define ROUNDS 32 /* of looking, before a p sleeps: each as long as it takes to ask all */

static struct g *steal(struct p *p)
{
	unsigned n = cpu_count(), first = p->random += 0x9e3779b9;
	struct g *g;

	for (unsigned i = 0; i < n; i++) {
		struct p *victim = &ps[(first + i) % n];

		if (victim != p && (g = run_queue_steal(&victim->queue, &p->queue)) != NULL)
			return g;
	}
	return NULL;
}

static struct g *look_everywhere(struct p *p)
{
	struct g *g = run_queue_get(&p->queue, memory_order_relaxed);

	if (g == NULL)
		g = global_queue_get();
	return g != NULL ? g : steal(p);
}

/* Whoever put a goroutine in a queue meanwhile has left it to us to see to it. */
static void stop_spinning(struct p *p)
{
	p->spinning = false;
	atomic_store_explicit(&idle.spinning, 0, memory_order_seq_cst);
	if (anyone_runnable_anywhere())
		wake_another();
}

static bool start_spinning(struct p *p)
{
	unsigned none = 0;

	return p->spinning = cpu_count() > 1 &&
			     atomic_compare_exchange_strong_explicit(&idle.spinning, &none, 1, memory_order_seq_cst,
								     memory_order_seq_cst);
}

static struct g *spin(struct p *p)
{
	struct g *g = NULL;

	for (int i = 0; i < ROUNDS && !p->due && (g = look_everywhere(p)) == NULL; i++)
		arch_pause();
	stop_spinning(p);
	return g;
}

/* NULL: look again, there is something to be done. */
static NOINLINE struct g *find_elsewhere(struct m *m)
{
	struct p *p = m->p;
	struct g *g = NULL;

	if (start_spinning(p))
		g = spin(p);
	else if (cpu_count() > 1)
		g = steal(p);
	if (g != NULL)
		return g;
	wait_for_work(m, p);
	return p->spinning ? spin(p) : NULL;
}

static ALWAYS_INLINE struct g *find_runnable(struct m *m)
{
	struct p *p = m->p;
	struct g *g;

	for (;;) {
		if (p->due)
			serve_tick(p);
		if (p->until_global-- == 0 && (g = look_globally(p)) != NULL)
			return g;
		if ((g = run_queue_get(&p->queue, memory_order_relaxed)) != NULL)
			return g;
		if ((g = global_queue_get()) != NULL)
			return g;
		if ((g = find_elsewhere(m)) != NULL)
			return g;
	}
}

static ALWAYS_INLINE _Noreturn void execute(struct m *m, struct g *g)
{
	g->m = m;
	g->status = G_RUNNING;
	m->current = g;
	arch_resume(&g->tcb);
}

static ALWAYS_INLINE _Noreturn void schedule_m(struct m *m)
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
	struct spin_lock *release = g->release;
	struct m *m = g->m;

	g->locks--;
	ASSERT(g->locks == 0, "park: a lock is held besides the one to release");
	m->current = NULL;
	g->status = G_WAITING;
	atomic_store_explicit(&release->held, 0, memory_order_release); /* as unlock(): from here on g is another's */
	schedule_m(m);
}

static SOCLE_UNCHECKED void yield_on_g0(struct tcb *old)
{
	struct g *g = (struct g *)old;
	struct m *m = g->m;

	m->current = NULL;
	g->status = G_RUNNABLE;
	enqueue(m->p, g, memory_order_release);
	schedule_m(m);
}

SOCLE_UNCHECKED void socle_yield(void)
{
	struct g *g = getg();

	if (on_g0(g))
		fatal("socle_yield: called from foreign code; only a callback may yield");
	arch_mcall(&g->m->g0.tcb, yield_on_g0);
}

/* ---- Turns ---- */

/* On g0, below the frames of a foreign routine that others wait for. Out of memory, they wait on. */
static void end_foreign_turn(struct m *m)
{
	m->g0.locks++; /* not interrupted again meanwhile */
	if (m->p != NULL && (m->p->due & TIMERS_DUE || anyone_runnable(m->p)) && hand_off(m->p))
		lose_p(m);
	yield_thread();
	m->g0.locks--;
}

/* Called between two instructions of the code whose turn is over (preempt.c). */
SOCLE_UNCHECKED void end_turn(void *unused)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct g *g = getg();
	struct fiber *f = NULL;
	struct crossing c;

	(void)unused;
	if (!on_g0(g)) {
		g->m->p->until_global = 0; /* who waits there has waited for a turn */
		arch_mcall(&g->m->g0.tcb, yield_on_g0);
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

/* The m lines up as its goroutine, which for the time is locked to it: whoever picks that hands its p over. */
void get_p_back(void *arg)
{
	struct m *m = arg;
	struct g *g = m->current;

	g->locked_m = m;
	g->status = G_RUNNABLE;
	global_queue_put(g);
	if (!wake_idle_m(this_p())) /* whose m is here, if it can be had */
		look_for_p(this_p());
	park_m(m);
	g->status = G_RUNNING;
	if (g->callbacks == 0)
		g->locked_m = NULL;
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
	if (g->callbacks > 0)
		fatal("socle_exit: called inside a callback: the foreign frames under it could never return");
	if (g->cleanups != NULL)
		run_cleanups(g, NULL);
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
	g->all = sched.all_gs;
	sched.all_gs = g;
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
	g->id = new_id();
	g->name = attr->name;
	g->fn = fn;
	g->arg = arg;
	g->try = NULL;
	g->panicking = false;
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
	arch_init_context(&g->tcb, (void *)g->hi, g_start, g);
	enqueue_new(getg()->m->p, g);
	return 0;
}

int socle_go_attr(const struct socle_go_attr *attr, socle_fn fn, void *arg)
{
	if (require_goroutine() < 0)
		return -1;
	if (fn == NULL) {
		errno = EINVAL;
		return -1;
	}
	return go(attr, fn, arg);
}

int socle_go(socle_fn fn, void *arg)
{
	static const struct socle_go_attr defaults;

	return socle_go_attr(&defaults, fn, arg);
}

SOCLE_UNCHECKED unsigned long socle_id(void)
{
	struct g *g = getg();

	return on_g0(g) && g->m->current != NULL ? g->m->current->id : g->id;
}

/* ---- Other CPUs ---- */

SOCLE_UNCHECKED __attribute__((weak)) void runtime_start_cpu(unsigned cpu)
{
	(void)cpu;
	thread_wait_for_first();
}

void start_ps(void)
{
	for (unsigned cpu = 1; cpu < cpu_count(); cpu++) {
		ps[cpu].id = cpu;
		ps[cpu].turn_end = INT64_MAX;
		ps[cpu].next_timer = INT64_MAX;
		if (!start_new_m(&ps[cpu]))
			console_printf("socle: no memory for the g0 of CPU %u: no goroutine will run there\n", cpu);
	}
}
