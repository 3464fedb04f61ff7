/*
 * Who has nothing to run, and who wakes whom. A p is idle when its m is parked with it; one more may be looking for work,
 * spinning, so that CPUs are not woken and put to sleep again for each goroutine that is readied. Neither must miss the
 * last one:
 *
 *	ready()                       find_elsewhere()
 *	  put it in the queue           nobody spins now
 *	  anyone idle?                  this p is idle
 *	  nobody spinning?              anyone in a queue?
 *	  wake one, it spins            sleep
 *
 * All of these are sequentially consistent, so either the left side finds somebody idle, and nobody spinning, or the
 * right side finds the goroutine. (Go's proc.c, "Worker thread parking/unparking".) tests/models/idle.pml
 *
 * Who yields does neither, for it is slow, although between two of its instructions it is in no queue: whoever goes to
 * sleep then misses it. So a tick that finds somebody waiting looks, too, whether a p is idle.
 * Not on an idle CPU, which counts as asleep: between taking another's p and waking its m it would be the only one that knows,
 * and the other CPU would find all asleep: a deadlock that is none.
 */
#include "runtime/runq.h"
#include "runtime/runtime.h"

/* On g0, from its saved SP on, some frames deep; or short, as ready() is. */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

#define ROUNDS 32 /* of looking, before a p sleeps: each as long as it takes to ask all */

_Alignas(64) atomic_uint idle_ps;
static atomic_uint spinning; /* 0 or 1 */

/* ---- Waking ---- */

static bool take_idle(struct p *p)
{
	return atomic_fetch_and_explicit(&idle_ps, ~(1u << p->id), memory_order_seq_cst) >> p->id & 1;
}

/* p was taken. First in line: a sleeper waits for no turns of threads that compute. */
static void wake(struct p *p) { thread_ready_first(&p->idle_m->thread); }

bool wake_idle_m(struct p *p)
{
	bool taken = take_idle(p);

	if (taken)
		wake(p);
	return taken;
}

/* Who waits for more than that has time. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

static unsigned idle_ids(void) { return atomic_load_explicit(&idle_ps, memory_order_seq_cst); }

/* One at a time spins. False: another does. */
static bool take_spinning(void)
{
	unsigned none = 0;

	return atomic_compare_exchange_strong_explicit(&spinning, &none, 1, memory_order_seq_cst, memory_order_seq_cst);
}

static void leave_spinning(void)
{
	unsigned was = atomic_exchange_explicit(&spinning, 0, memory_order_seq_cst);

	ASSERT(was == 1, "two p's spin");
}

static bool wake_spinning(unsigned id)
{
	struct p *p = &ps[id];

	chaos_stall();
	if (!take_idle(p))
		return false;
	p->spinning = true;
	chaos_stall();
	wake(p);
	return true;
}

/* Unless one looks for work anyway. If all have been woken otherwise, it looks again: one may be idle since, and another
 * CPU, with work for it, may have left it to us. */
void wake_one(void)
{
	unsigned ids;

	while (idle_ids() != 0 && take_spinning()) {
		while ((ids = idle_ids()) != 0)
			if (wake_spinning((unsigned)__builtin_ctz(ids)))
				return;
		leave_spinning();
	}
}

void look_for_p(struct p *p)
{
	if (!p->ticking)
		start_turn(p);
	if (any_idle())
		wake_one();
}

/* ---- Looking ---- */

static NOINLINE bool anyone_runnable_anywhere(void)
{
	for (struct p *p = ps; p < ps + cpu_count(); p++)
		if (!run_queue_empty(&p->queue))
			return true;
	return !global_queue_empty();
}

/* Whom a goroutine has just readied it will mostly make room for at once: such are left to it for a while. */
static NOINLINE struct g *steal(struct p *p, bool even_next)
{
	unsigned n = cpu_count(), first = p->random += 0x9e3779b9;
	struct g *g;

	for (unsigned i = 0; i < n; i++) {
		struct p *victim = &ps[(first + i) % n];

		if (victim == p)
			continue;
		g = run_queue_steal(&victim->queue, &p->queue);
		if (g == NULL && even_next && has_next(&victim->queue))
			g = run_queue_get_next(&victim->queue);
		if (g == NULL)
			continue;
		if (!run_queue_empty(&p->queue))
			look_for_p(p); /* the others wait behind g now */
		return g;
	}
	return NULL;
}

static struct g *look_everywhere(struct p *p, bool even_next)
{
	struct g *g = run_queue_get(&p->queue);

	if (g == NULL)
		g = global_queue_get();
	return g != NULL ? g : steal(p, even_next);
}

/* Whoever put a goroutine in a queue meanwhile has left it to us to see to it. */
static void stop_spinning(struct p *p)
{
	p->spinning = false;
	leave_spinning();
	chaos_stall();
	if (anyone_runnable_anywhere())
		wake_one();
}

static NOINLINE struct g *spin(struct p *p)
{
	struct g *g = NULL;

	for (int i = 0; i < ROUNDS && !p->due && (g = look_everywhere(p, i == ROUNDS - 1)) == NULL; i++)
		arch_pause();
	chaos_stall();
	stop_spinning(p);
	return g;
}

/* ---- Sleeping ---- */

/* Nothing to run, but other threads may have. With interrupts masked, so that a tick comes before or finds p idle. Who
 * has found it idle since wakes it up, and that is waited for. */
static void wait_for_work(struct m *m, struct p *p)
{
	uintptr_t irq = arch_irq_disable();

	p->idle_m = m;
	chaos_stall();
	atomic_fetch_or_explicit(&idle_ps, 1u << p->id, memory_order_seq_cst);
	chaos_stall();
	if (!(p->due || anyone_runnable_anywhere()) || !take_idle(p))
		thread_park();
	arch_irq_restore(irq);
}

struct g *find_elsewhere(struct m *m)
{
	struct p *p = m->p;
	struct g *g;

	if (!own_ring_empty(&p->queue))
		return NULL; /* steal() asks for it to be empty */
	if (cpu_count() > 1) {
		p->spinning = take_spinning();
		g = p->spinning ? spin(p) : steal(p, true);
		if (g != NULL)
			return g;
	}
	wait_for_work(m, p);
	return p->spinning ? spin(p) : NULL;
}

/* ---- Nobody can ever run again ---- */

static void deadlock(void)
{
	int waiting = 0, threads = 0;

	for (struct g *g = all_gs(); g != NULL; g = g->all) {
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
		if (atomic_load_explicit(&p->next_timer, memory_order_acquire) != INT64_MAX || p->due & TIMERS_DUE)
			return;
	if (thread_all_asleep(now))
		deadlock();
}

#pragma clang attribute pop
#pragma clang attribute pop
