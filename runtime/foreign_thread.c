/*
 * Foreign threads: threads that foreign code starts, with a stack of their own, and that run foreign code. Each is an m
 * whose g0 is the thread's stack and which never looks for goroutines. It has no p, so the goroutines do not know of it:
 * threads share the CPU by time, which the tick sees to while more than one is ready (preempt.c).
 *
 * m.current is what the C library, the tick and reports ask for whom an m works. Here it is `own`, a g without a stack
 * for goroutine code. A callback finds that no p is there, off its usual path, and comes here. It attaches: takes a new
 * goroutine, and lines up for a p as an m does whose foreign call took long (get_p_back); whoever holds the p gives it
 * and waits. From there on all is as in a goroutine's foreign call: fn may block, call foreign code, panic. After it
 * the p goes to another m and the goroutine away. So the price of a callback is two switches of threads.
 *
 * Rejected: to keep the p until a tick takes it (every usual callback would have to ask for whom it is); to keep the
 * goroutine for the next callback (a thread that computes for long would hold a stack for nothing).
 */
#include <errno.h>

#include "runtime/runtime.h"

_Static_assert(offsetof(struct foreign_thread, m) == 0, "an m is cast to its thread");

static atomic_uint attached;

unsigned foreign_threads_attached(void) { return atomic_load_explicit(&attached, memory_order_relaxed); }

/* Others may be ready beside the caller: the tick is to see that they get their turn. On another CPU it sees by itself. */
static SOCLE_UNCHECKED void share_cpu(struct p *p)
{
	if (!p->ticking && thread_others_ready())
		start_turn(p);
}

/* ---- Callbacks ---- */

/* errno and the rest of the C library's state are the thread's, in its callbacks too. */
static int attach(struct m *m)
{
	struct foreign_thread *t = (struct foreign_thread *)m;
	static const struct socle_go_attr attr = {.name = "foreign thread"};
	struct g *g = new_g(&attr, NULL, NULL);

	if (g == NULL)
		return -1;
	atomic_fetch_add_explicit(&attached, 1, memory_order_relaxed); /* it orders nothing */
	g->id = t->own.id;
	g->reent = t->own.reent;
	g->m = &t->m;
	g->tcb.sp = (void *)g->hi;
	t->m.current = g;
	get_p_back(&t->m); /* callback() would find that too, 40 instructions later */
	return 0;
}

static void detach(struct m *m)
{
	struct foreign_thread *t = (struct foreign_thread *)m;
	struct g *g = m->current;
	struct p *p = t->m.p;

	g->reent = NULL;
	g->status = G_DEAD;
	t->m.current = &t->own;
	t->m.p = NULL;
	stack_free(g->stack); /* g with it */
	if (!hand_off(p))
		fatal("no memory for a further thread's g0: a foreign thread's callback has returned, and the goroutines need one");
	share_cpu(p);
	atomic_fetch_sub_explicit(&attached, 1, memory_order_relaxed);
}

/* ---- Waiting ---- */

/* The others must not wait for the p of one that waits in foreign code. */
static void give_up_p(struct m *m)
{
	struct p *p = m->p;

	lose_p(m); /* first: a turn may end while a new m is made, and would hand it over too */
	if (!hand_off(p))
		fatal("no memory for a further thread's g0: foreign code waits, and the goroutines need one");
}

void foreign_park(const char *why, const void *on)
{
	struct m *m = getg()->m;
	struct g *g = m->current;
	enum g_status was = G_WAITING;

	if (m->p != NULL)
		give_up_p(m);
	g->waiting_for = why;
	g->waiting_on = on;
	__atomic_store_n(&g->status, G_WAITING, __ATOMIC_RELEASE); /* from here on trim() may find its stack */
	chaos_stall();
	thread_park();
	while (!__atomic_compare_exchange_n(&g->status, &was, G_RUNNING, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		arch_pause(); /* trimmed at this moment */
		was = G_WAITING;
	}
}

SOCLE_UNCHECKED void foreign_ready(struct thread *t)
{
	thread_ready(t);
	share_cpu(this_p());
}

/* ---- Beginning and end ---- */

static void begin(void *arg)
{
	struct foreign_thread *t = arg;

	t->m.g0.tcb.sp = (void *)t->m.g0.hi; /* all that runs here is below */
	t->fn(t->arg);
	foreign_thread_exit();
}

/* t lies in its stack, where another may have been: its place among all goroutines stays. */
static void init(struct foreign_thread *t, struct stack *s, socle_fn fn, void *arg)
{
	struct g *others = t->own.all;
	bool new = t->own.stack == NULL;
	unsigned long id = new_id();

	*t = (struct foreign_thread){
		.m.g0 = {.tcb = {.stack_limit = s->lo + G0_SLACK, .system = &t->m.g0.tcb},
			 .lo = s->lo,
			 .hi = s->hi,
			 .name = "foreign thread",
			 .stack = s},
		.m.current = &t->own,
		.m.id = (unsigned)id,
		.m.attach = attach,
		.m.detach = detach,
		.own = {.tcb.system = &t->m.g0.tcb,
			.name = "foreign thread",
			.id = id,
			.stack = s,
			.all = others,
			.status = G_RUNNING},
		.fn = fn,
		.arg = arg,
	};
	reent_of(&t->own);
	if (new)
		enlist_g(&t->own, s);
}

/* Round robin: who computes for long is not asked about. */
static unsigned next_cpu(void)
{
	static atomic_uint last;

	return (atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + arch_cpu() + 1) % cpu_count();
}

int socle_foreign_thread(const struct socle_foreign_attr *attr, socle_fn fn, void *arg)
{
	size_t size = attr != NULL && attr->stack_size != 0 ? attr->stack_size : FOREIGN_THREAD_STACK;
	struct foreign_thread *t;
	struct stack *s;

	if (fn == NULL || size < FOREIGN_THREAD_STACK_MIN) {
		errno = EINVAL;
		return -1;
	}
	stacks_will_end();
	s = stack_alloc(size, STACK_THREAD);
	if (s == NULL)
		return -1;
	t = (struct foreign_thread *)s->hi;
	init(t, s, fn, arg);
	thread_start(&t->m.thread, next_cpu(), &t->m.g0.tcb, (void *)s->hi, begin, t);
	share_cpu(this_p());
	return 0;
}

void foreign_thread_exit(void)
{
	struct m *m = getg()->m;
	struct g *own = m->current;

	if (own == NULL || !is_foreign_thread(own))
		fatal("a foreign thread is ended by a goroutine, or from a callback that has not returned");
	if (own->local != NULL)
		own->local->end(own);
	m->current = NULL; /* what the C library does from here on is nobody's */
	own->status = G_DEAD;
	if (own->reent != NULL)
		reent_free(own);
	free_dead_ms(); /* so one at most is left on each CPU, the last that ended there */
	bury(m);
	thread_park();
	__builtin_unreachable();
}
