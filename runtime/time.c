/*
 * Sleeping, and deadlines of what else waits. The timers of a p are in a heap (heap.c), each on its owner's stack; the
 * hardware is set for the earliest one alone, so where nobody waits for time there is no tick. Cancelling leaves the
 * hardware as it is: a tick too many costs less than setting it each time.
 */
#include <errno.h>

#include "runtime/runtime.h"
#include "runtime/switch.h"
#include "runtime/wait.h"

/* Takes the first timer out, which is due. The goroutine to make ready, NULL when something else wakes it. */
static struct g *fire_first(struct p *p)
{
	struct timer *t = p->timers;
	struct g *g = t->g;

	p->timers = heap_remove(t, t);
	t->queued = false;
	if (t->fire != NULL) {
		t->fire(t);
		return NULL;
	}
	return t->race == NULL || race_win(t->race, t) ? g : NULL;
}

/* p->timers_lock held. Handlers look at that, for the heap may change under their hands: the first timer may lie on a stack
 * that another CPU has just freed. Release: see runtime_idle(). */
static void note_first(struct p *p)
{
	atomic_store_explicit(&p->next_timer, p->timers != NULL ? p->timers->deadline : INT64_MAX,
			      memory_order_release);
}

/* Each timer is done with before the lock is let go: timer_cancel() waits for it, and then the timer may be gone. */
SOCLE_UNCHECKED struct g *timers_run(struct p *p, bool first)
{
	int64_t now = clock_now();
	struct g *g, *run = NULL;

	lock(&p->timers_lock);
	while (p->timers != NULL && p->timers->deadline <= now)
		if ((g = fire_first(p)) != NULL) {
			chaos_stall();
			if (first) {
				stop_waiting(run = g);
				first = false;
			} else
				ready_last(g);
		}
	note_first(p);
	timers_done(p);
	unlock(&p->timers_lock);
	return run;
}

/* p->timers_lock held. */
static void insert(struct p *p, struct timer *t)
{
	t->p = p;
	t->queued = true;
	if (t->deadline < 0)
		t->deadline = 0; /* differences of times do not overflow */
	p->timers = heap_insert(p->timers, t);
	if (p->timers == t) {
		note_first(p);
		timers_changed(p);
	}
}

void timer_arm(struct timer *t)
{
	struct p *p = this_p();

	lock(&p->timers_lock);
	insert(p, t);
	unlock(&p->timers_lock);
}

/* Unchecked, as is leave_queue(): no panic may come in between when the wait is over. */
SOCLE_UNCHECKED void timer_cancel(struct timer *t)
{
	struct p *p = t->p;

	chaos_stall();
	lock(&p->timers_lock);
	if (t->queued) {
		p->timers = heap_remove(p->timers, t);
		note_first(p);
	}
	unlock(&p->timers_lock);
}

SOCLE_UNCHECKED int64_t socle_now(void) { return clock_now(); }

int socle_sleep(int64_t ns)
{
	struct timer t = {.g = getg()};
	struct p *p;
	int64_t now;

	if (require_goroutine() < 0)
		return -1;
	if (ns <= 0) {
		socle_yield();
		return 0;
	}
	now = clock_now();
	t.deadline = ns < INT64_MAX - now ? now + ns : INT64_MAX - 1; /* a time, if a late one: no deadlock */
	p = t.g->m->p;
	lock_first(&p->timers_lock);
	insert(p, &t);
	park(&p->timers_lock, "sleeping", &t);
	return 0;
}
