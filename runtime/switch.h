/*
 * Giving up the CPU. Mostly that is to switch straight to the next goroutine of the own p's queue: the scheduler is
 * passed through, on g0 (proc.c), only where there is more to think about.
 *
 * Nobody may resume a goroutine before its context is saved and its stack left. It cannot say so itself, nor need the
 * next one say it: arch_switch() does, by a store of one word in between. For who yields that is the tail of the queue
 * it is already in, for who parks its status. Until then ready() waits for it.
 */
#ifndef SOCLE_SWITCH_H
#define SOCLE_SWITCH_H

#include "runtime/runq.h"
#include "runtime/runtime.h"

void yield_on_g0(struct tcb *old);
void park_on_g0(struct tcb *old);
void put_locked(struct p *p, struct g *g);

static ALWAYS_INLINE void make_current(struct m *m, struct g *g)
{
	g->m = m;
	g->status = G_RUNNING;
	m->current = g;
}

/* NULL: there is none, or it is time to look elsewhere. */
static ALWAYS_INLINE struct g *take_from_ring(struct p *p)
{
	if ((int)--p->until_global >= 0) /* one instruction tells */
		return run_queue_try_get(&p->queue);
	p->until_global = 0;
	return NULL;
}

/* Taken from the queue, and current but for the stack. NULL: g0 is to find out who is next. After it there is room for one
 * in the ring. */
static ALWAYS_INLINE struct g *take_next(struct m *m, struct p *p, bool yields)
{
	struct g *next;

	if (p->due || m->locked_g != NULL)
		return NULL;
	if (yields ? __builtin_expect(!has_next(&p->queue), true) : !has_next(&p->queue)) {
		next = take_from_ring(p);
	} else {
		if (yields && own_ring_full(&p->queue))
			return NULL;
		next = run_queue_get_next(&p->queue);
		p->inherited++; /* its turn is the caller's */
	}
	if (next == NULL)
		return NULL;
	if (next->locked_m != NULL) {
		put_locked(p, next);
		return NULL;
	}
	make_current(m, next);
	return next;
}

/* Until ready(g); unlocks. Inlined: the wait is the caller's, also in tracebacks. */
static ALWAYS_INLINE void park(struct spin_lock *release, const char *why, const void *on)
{
	struct g *g = getg(), *next;
	struct m *m = g->m;

	g->waiting_for = why;
	g->waiting_on = on;
	g->locks--;
	ASSERT(g->locks == 0, "park: a lock is held besides the one to release");
	spin_unlock(release);
	next = take_next(m, m->p, false);
	if (next != NULL)
		arch_switch(&g->tcb, &next->tcb, (unsigned *)&g->status, G_WAITING);
	else
		arch_mcall(&m->g0.tcb, park_on_g0);
}

#endif
