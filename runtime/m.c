/*
 * m's: the threads that run goroutines, and who holds which p. An m runs on the CPU of the p that it holds; who hands a p
 * over names the CPU, and the other's thread comes there, from wherever it has parked.
 *
 * A goroutine in a callback is locked to its m, whose g0 holds its foreign frames. When it blocks, the m hands its p to
 * another m and parks; when it is runnable again, the m that picks it hands its p over and parks in turn. An m whose
 * foreign call lost its p gets one back in the same way.
 */
#include "runtime/runq.h"
#include "runtime/runtime.h"

#define G0_STACK ((size_t)256 << 10)
#define IDLE_MS 4 /* kept for the next callback that blocks; further ones are freed */

_Static_assert(offsetof(struct m, g0) == 0, "known to assembly");

struct m m0; /* all zero until runtime_init_g0(), lest it take room in the image */

static struct {
	struct spin_lock lock; /* taken bare: nothing outside of the runtime is called */
	struct m *idle;	       /* parked, without a p */
	unsigned idles;
	struct m *dead; /* parked for good: their stacks are to be freed by another m */
	atomic_uint last_id;
} ms;

static void m_start(void *arg)
{
	struct m *m = arg;

	m->g0.tcb.sp =
		(void *)m->g0.hi; /* the scheduler starts afresh here each time: this frame is not needed again */
	m->p = m->next_p;
	schedule();
}

/* With p. False: no memory. */
static NOINLINE __attribute__((minsize)) bool start_new_m(struct p *p)
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
		.id = atomic_fetch_add_explicit(&ms.last_id, 1, memory_order_relaxed) + 1,
	};
	thread_start(&m->thread, p->id, &m->g0.tcb, (void *)s->hi, m_start, m);
	return true;
}

NOINLINE bool hand_off(struct p *p)
{
	struct m *m;

	spin_lock(&ms.lock);
	m = ms.idle;
	if (m != NULL) {
		ms.idle = m->next;
		ms.idles--;
	}
	spin_unlock(&ms.lock);
	if (m == NULL)
		return start_new_m(p);
	m->next_p = p;
	chaos_stall();
	thread_ready_on(&m->thread, p->id);
	return true;
}

/* The thread of m was parked until somebody handed it a p: it is on the CPU of that now. */
static void take_p(struct m *m)
{
	m->p = m->next_p;
	m->next_p = NULL;
}

static void park_m(struct m *m)
{
	m->p = NULL;
	thread_park();
	take_p(m);
}

/* The goroutine that m is locked to cannot run yet: others may, on another m. */
void stop_locked_m(struct m *m)
{
	if (!hand_off(m->p))
		fatal("no memory for a g0: a goroutine blocks in a callback");
	park_m(m);
	ASSERT(m->locked_g->status == G_RUNNABLE, "a locked m was woken before its goroutine could run");
}

/* ---- The idle and the dead. ms.lock held ---- */

/* Takes them out. Those that another CPU is about to leave stay for the next time. */
static NOINLINE struct m *take_dead(void)
{
	struct m *m, *taken = NULL, **link = &ms.dead;

	while ((m = *link) != NULL) {
		if (!thread_parked(&m->thread)) {
			link = &m->next;
			continue;
		}
		*link = m->next;
		m->next = taken;
		taken = m;
	}
	return taken;
}

static void put(struct m **list, struct m *m)
{
	m->next = *list;
	*list = m;
}

/* An m that parks without a p is kept for later, or dies when enough are kept. m0's stack is the image's: it stays. */
static void retire(struct m *m)
{
	if (ms.idles >= IDLE_MS && m != &m0) {
		put(&ms.dead, m);
		return;
	}
	put(&ms.idle, m);
	ms.idles++;
}

/* ---- From here on it is not ---- */

static NOINLINE void free_ms(struct m *m)
{
	while (m != NULL) {
		struct m *next = m->next;

		stack_free(m->g0.stack); /* m with it */
		m = next;
	}
}

void free_dead_ms(void)
{
	struct m *dead;

	spin_lock(&ms.lock);
	dead = take_dead();
	spin_unlock(&ms.lock);
	free_ms(dead);
}

void bury(struct m *m)
{
	spin_lock(&ms.lock);
	put(&ms.dead, m);
	spin_unlock(&ms.lock);
	chaos_stall();
}

/* g can run, but only on its own m: that gets our p, and we wait for another. */
void start_locked_m(struct m *m, struct g *g)
{
	struct m *other = g->locked_m, *dead;

	spin_lock(&ms.lock);
	dead = ms.dead != NULL ? take_dead() : NULL;
	retire(m);
	spin_unlock(&ms.lock);
	if (dead != NULL)
		free_ms(dead);
	other->next_p = m->p;
	m->p = NULL;
	thread_park_for(&other->thread);
	take_p(m);
}

/* The m lines up as its goroutine, which for the time is locked to it: whoever picks that hands its p over. */
void get_p_back(void *arg)
{
	struct m *m = arg;
	struct g *g = m->current;

	g->locked_m = m;
	g->status = G_RUNNABLE;
	global_queue_put(g);
	chaos_stall();
	if (!any_idle() || !wake_idle_m(this_p())) /* whose m is on this CPU too */
		look_for_p(this_p());
	park_m(m);
	g->status = G_RUNNING;
	if (g->callbacks == 0)
		g->locked_m = NULL;
}

/* ---- Other CPUs ---- */

SOCLE_UNCHECKED __attribute__((weak)) void runtime_start_cpu(unsigned cpu)
{
	(void)cpu;
	thread_wait_for_first();
}

__attribute__((minsize)) void start_ps(void)
{
	for (unsigned cpu = 1; cpu < cpu_count(); cpu++) {
		ps[cpu].id = cpu;
		ps[cpu].turn_end = INT64_MAX;
		atomic_init(&ps[cpu].next_timer, INT64_MAX);
		if (!start_new_m(&ps[cpu]))
			console_printf("socle: no memory for the g0 of CPU %u: no goroutine will run there\n", cpu);
	}
}
