/*
 * Host threads as goroutines, each on a CPU of its own, under the real locks, queues, timers, channels and sync. park_on_g0()
 * and ready() stand for proc.c: the order of what they do is the same, a semaphore of the host's is the context.
 */
#ifndef GOROUTINES_H
#define GOROUTINES_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "runtime/runtime.h"
#include "runtime/switch.h"
#include "tests/check.h"
#include "tests/host.h"

struct goroutine {
	struct g g; /* first: what the runtime knows of it */
	struct m m;
	unsigned cpu;
	sem_t context;
	pthread_t thread;
	void (*fn)(void *);
	void *arg;
};

struct p ps[MAX_CPUS];

bool chaos_started = true;

void chaos_stall_now(void)
{
	static _Thread_local unsigned n;

	if (n++ % 16 == 0)
		sched_yield();
}

void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old))
{
	(void)to;
	fn(current_tcb);
}

void park_on_g0(struct tcb *old)
{
	struct goroutine *self = (struct goroutine *)old;

	chaos_stall();
	__atomic_store_n(&self->g.status, G_WAITING, __ATOMIC_RELEASE);
	while (sem_wait(&self->context) != 0)
		;
	self->g.status = G_RUNNING;
}

void end_turn_if_due(struct g *g) { (void)g; } /* the host sees to that */
void stop_waiting(struct g *g) { fatal("stop_waiting(%p): nobody is run first here", (void *)g); }
void ready(struct g *g)
{
	enum g_status was = G_WAITING;

	while (!__atomic_compare_exchange_n(&g->status, &was, G_RUNNABLE, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		ASSERT(was == G_RUNNING || was == G_WAITING, "ready: the goroutine does not wait");
		was = G_WAITING;
		sched_yield();
	}
	sem_post(&((struct goroutine *)g)->context);
}

void ready_last(struct g *g) { ready(g); }

/* until_global is 0 */
void put_locked(struct p *p, struct g *g) { fatal("put_locked(%p, %p)", (void *)p, (void *)g); }
void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value)
{
	fatal("arch_switch(%p, %p, %p, %u)", (void *)from, (void *)to, (void *)word, value);
}

/* ---- What time.c and sync.c ask of the rest ---- */

int64_t clock_now(void) { return host_clock(); }
void timers_changed(struct p *p) { (void)p; } /* nobody waits for the hardware: see run_timers() */
void timers_done(struct p *p) { (void)p; }
void socle_yield(void) { sched_yield(); }
void socle_cleanup_push(struct socle_cleanup *c, socle_fn fn, void *arg) { *c = (struct socle_cleanup){fn, arg, NULL}; }
void socle_cleanup_pop(struct socle_cleanup *c, int execute)
{
	if (execute)
		c->fn(c->arg);
}

/* ---- Starting them, and waiting for their end ---- */

/* The calling thread runs it from here on. */
static inline void become(struct goroutine *self)
{
	current_tcb = &self->g.tcb;
	self->g.m = &self->m;
	current_cpu = self->cpu;
	self->m.p = this_p();
	self->g.status = G_RUNNING;
}

static inline void *start_goroutine(void *arg)
{
	struct goroutine *self = arg;

	become(self);
	self->fn(self->arg);
	CHECK(self->g.locks == 0, "no lock is left held");
	return NULL;
}

static inline void start(struct goroutine *g, void (*fn)(void *), void *arg)
{
	static unsigned cpus;

	*g = (struct goroutine){.cpu = cpus++ % MAX_CPUS, .fn = fn, .arg = arg};
	sem_init(&g->context, 0, 0);
	pthread_create(&g->thread, NULL, start_goroutine, g);
}

static inline void join(struct goroutine *g)
{
	pthread_join(g->thread, NULL);
	sem_destroy(&g->context);
}

#endif
