/*
 * Host threads as CPUs: the part of a port that proc.c, m.c, idle.c, thread.c and preempt.c stand on. A context is a host
 * thread that waits for a semaphore, and tcb->sp points to it; whoever resumes it gives it the CPU, by its number. What a
 * port runs on another stack, at its saved SP, runs on a thread of a pool here, and a stack that is abandoned is a thread
 * that goes back there. So what TSan sees as ordered is what follows on one CPU, and what the code itself orders.
 *
 * Interrupts come in where they are unmasked, and while a CPU idles. They find everything to be the runtime's own code: so
 * no goroutine is preempted.
 */
#ifndef CPUS_H
#define CPUS_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <string.h>

#include "runtime/runtime.h"
#include "tests/check.h"
#include "tests/host.h"

enum { CPUS = 4 };
unsigned cpu_count(void) { return CPUS; }
uintptr_t cpu_idle_stack(unsigned cpu) { return (uintptr_t)cpu + 1; } /* nothing is there */
int64_t clock_now(void) { return host_clock(); }

/* ---- The pool ---- */

struct job {
	struct tcb *tcb; /* current while it runs */
	unsigned cpu;
	void (*fn)(void *);
	void *arg;
	struct context *back; /* that goes on when fn returns; NULL: it does not */
};

struct context {
	sem_t resumed;
	unsigned cpu;
	bool abandoned;
	struct job start; /* fn not NULL: it is new, no thread waits */
};

static struct worker {
	sem_t wanted;
	struct job job;
	jmp_buf pool;
	struct worker *next;
} * free_workers;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct worker *self;

static void wait_on(sem_t *s)
{
	while (sem_wait(s) != 0)
		;
}

static void resume(struct context *c, unsigned cpu);

static void *work(void *arg)
{
	self = arg;
	if (setjmp(self->pool) != 0) {
		pthread_mutex_lock(&pool_lock);
		self->next = free_workers;
		free_workers = self;
		pthread_mutex_unlock(&pool_lock);
	}
	for (;;) {
		wait_on(&self->wanted);
		current_tcb = self->job.tcb;
		current_cpu = self->job.cpu;
		self->job.fn(self->job.arg);
		resume(self->job.back, current_cpu);
		longjmp(self->pool, 1);
	}
}

static void run(struct job job)
{
	struct worker *w;
	pthread_t thread;

	pthread_mutex_lock(&pool_lock);
	w = free_workers;
	if (w != NULL)
		free_workers = w->next;
	pthread_mutex_unlock(&pool_lock);
	if (w == NULL) {
		w = calloc(1, sizeof *w);
		sem_init(&w->wanted, 0, 0);
		if (pthread_create(&thread, NULL, work, w) != 0)
			fatal("the host has no further thread");
		pthread_detach(thread);
	}
	w->job = job;
	sem_post(&w->wanted);
}

/* ---- Contexts ---- */

static void resume(struct context *c, unsigned cpu)
{
	struct job start = c->start;

	if (start.fn != NULL) {
		start.cpu = cpu;
		free(c);
		run(start);
		return;
	}
	c->cpu = cpu;
	sem_post(&c->resumed);
}

/* Until it is resumed, on whichever CPU. */
static void wait_in(struct context *c, struct tcb *tcb)
{
	bool abandoned;

	wait_on(&c->resumed);
	abandoned = c->abandoned;
	current_cpu = c->cpu;
	current_tcb = tcb;
	sem_destroy(&c->resumed);
	if (abandoned)
		longjmp(self->pool, 1);
}

static void save(struct context *c, struct tcb *tcb)
{
	memset(c, 0, sizeof *c);
	sem_init(&c->resumed, 0, 0);
	tcb->sp = c;
}

/* Its stack is freed. */
static void abandon(struct tcb *tcb)
{
	struct context *c = tcb->sp;

	c->abandoned = true;
	sem_post(&c->resumed);
}

void arch_set_tcb(struct tcb *tcb) { current_tcb = tcb; }

void arch_init_context(struct tcb *tcb, void *top, void (*fn)(void *), void *arg)
{
	struct context *c = calloc(1, sizeof *c);

	(void)top;
	c->start = (struct job){.tcb = tcb, .fn = fn, .arg = arg};
	tcb->sp = c;
}

void arch_switch(struct tcb *from, struct tcb *to, unsigned *word, unsigned value)
{
	struct context c, *next = to->sp;
	unsigned cpu = current_cpu;

	save(&c, from);
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	resume(next, cpu);
	wait_in(&c, from);
}

void arch_resume(struct tcb *to)
{
	resume(to->sp, current_cpu);
	longjmp(self->pool, 1);
}

void arch_mcall(struct tcb *to, void (*fn)(struct tcb *old))
{
	struct tcb *old = current_tcb;
	struct context c;

	save(&c, old);
	run((struct job){to, current_cpu, (void (*)(void *))fn, old, NULL});
	wait_in(&c, old);
}

void arch_call_on(struct tcb *to, void (*fn)(void *), void *arg)
{
	struct tcb *old = current_tcb;
	struct context c;

	save(&c, old);
	run((struct job){to, current_cpu, fn, arg, &c});
	wait_in(&c, old);
}

/* ---- Interrupts, timers ---- */

__asm__(".globl core_text_start, core_text_end\ncore_text_start:\n\tnop\ncore_text_end:");

static struct {
	_Alignas(64) bool masked; /* of whatever runs on that CPU */
	int64_t deadline;
	atomic_bool interrupted;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
} cpus[CPUS];

void timer_set(int64_t deadline) { cpus[current_cpu].deadline = deadline; }

void arch_interrupt(unsigned cpu)
{
	atomic_store_explicit(&cpus[cpu].interrupted, true, memory_order_release);
	pthread_mutex_lock(&cpus[cpu].lock);
	pthread_cond_signal(&cpus[cpu].wanted);
	pthread_mutex_unlock(&cpus[cpu].lock);
}

static bool handle_interrupts(void)
{
	unsigned cpu = current_cpu;
	struct trap t = {.tcb = current_tcb, .pc = (uintptr_t)core_text_start};
	bool any = atomic_exchange_explicit(&cpus[cpu].interrupted, false, memory_order_acquire);

	cpus[cpu].masked = true;
	if (any)
		runtime_interrupt(&t);
	if (clock_now() >= cpus[cpu].deadline) {
		cpus[cpu].deadline = INT64_MAX;
		runtime_tick(&t);
		any = true;
	}
	cpus[cpu].masked = false;
	return any;
}

uintptr_t arch_irq_disable(void)
{
	bool was = cpus[current_cpu].masked;

	cpus[current_cpu].masked = true;
	return was;
}

void arch_irq_restore(uintptr_t masked)
{
	cpus[current_cpu].masked = masked;
	if (!masked)
		handle_interrupts();
}

void arch_idle(void)
{
	unsigned cpu = current_cpu;
	int64_t deadline = cpus[cpu].deadline;
	struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};

	pthread_mutex_lock(&cpus[cpu].lock);
	while (!atomic_load_explicit(&cpus[cpu].interrupted, memory_order_acquire) && clock_now() < deadline)
		if (deadline == INT64_MAX)
			pthread_cond_wait(&cpus[cpu].wanted, &cpus[cpu].lock);
		else
			pthread_cond_timedwait(&cpus[cpu].wanted, &cpus[cpu].lock, &until);
	pthread_mutex_unlock(&cpus[cpu].lock);
	handle_interrupts();
	cpus[cpu].masked = true;
}

/* ---- Stacks: only what lies at their end ---- */

struct slot {
	struct stack stack;
	union {
		struct g g;
		struct m m;
	} owner;
};

static pthread_mutex_t stacks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stack *free_stacks[STACK_KINDS];

struct stack *stack_alloc(size_t size, enum stack_kind kind)
{
	struct stack *s;
	struct slot *slot;

	(void)size;
	pthread_mutex_lock(&stacks_lock);
	s = free_stacks[kind];
	if (s != NULL)
		free_stacks[kind] = s->next_free;
	pthread_mutex_unlock(&stacks_lock);
	if (s != NULL)
		return s;
	slot = calloc(1, sizeof *slot);
	slot->stack = (struct stack){.kind = kind, .hi = (uintptr_t)&slot->owner};
	return &slot->stack;
}

/* No m is looked at once it is freed. */
void stack_free(struct stack *s)
{
	abandon((struct tcb *)s->hi);
	if (s->kind == STACK_G0)
		memset((void *)s->hi, 0xdd, sizeof(struct m));
	pthread_mutex_lock(&stacks_lock);
	s->next_free = free_stacks[s->kind];
	free_stacks[s->kind] = s;
	pthread_mutex_unlock(&stacks_lock);
}

/* ---- What is asked for, and not needed ---- */

atomic_uint kernel_ending;
void kernel_stop(void) { abort(); }
struct bounds current_bounds(const struct g *g, uintptr_t sp) { return (struct bounds){sp, sp + (g == NULL)}; }
void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	fatal("arch_redirect(%p, %lx, %p, %p)", (void *)t, sp, (void *)fn, arg);
}
struct fiber *fiber_find(uintptr_t address)
{
	(void)address;
	return NULL;
}
bool vm_read(void *to, uintptr_t from, size_t size) { fatal("vm_read(%p, %lx, %zu)", to, from, size); }
enum stack_fault stack_fault(const struct g *g, uintptr_t address, bool emergency)
{
	fatal("stack_fault(%p, %lx, %d)", (const void *)g, address, emergency);
}
void enter_fiber(struct m *m, struct crossing *c, struct fiber *f) { fatal("enter_fiber(%p, %p, %p)", m, c, f); }
void leave_fiber(struct m *m) { fatal("leave_fiber(%p)", m); }
void reent_free(struct g *g) { fatal("reent_free(%p)", g); }
size_t (*_Atomic stacks_reclaim)(void);
size_t stacks_release_if_room(void) { return 0; }
void leave_tries(struct g *g) { fatal("leave_tries(%p)", g); }
bool cannot_exit(const struct g *g) { return g->callbacks > 0; }
size_t frames_free(void) { return 1 << 20; }
void socle_cleanup_push(struct socle_cleanup *c, socle_fn fn, void *arg) { *c = (struct socle_cleanup){fn, arg, NULL}; }
void socle_cleanup_pop(struct socle_cleanup *c, int execute) { fatal("socle_cleanup_pop(%p, %d)", c, execute); }
void console_printf(const char *format, ...) { fatal("%s", format); }

/* ---- Starting ---- */

static sem_t ended;

static void start_cpu(void *unused)
{
	(void)unused;
	thread_wait_for_first();
}

static void start_scheduler(void *fn)
{
	static const struct socle_go_attr attr = {.name = "main"};

	thread_adopt(&m0.thread, &m0.g0.tcb);
	for (unsigned cpu = 1; cpu < CPUS; cpu++)
		run((struct job){NULL, cpu, start_cpu, NULL, NULL});
	start_ps();
	go(&attr, (socle_fn)fn, NULL);
	schedule();
}

/* fn as the main goroutine; this ends when that calls end(). */
static inline void run_main(socle_fn fn)
{
	pthread_condattr_t monotonic;

	sem_init(&ended, 0, 0);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		cpus[cpu].masked = cpu != 0;
		cpus[cpu].deadline = INT64_MAX;
		pthread_mutex_init(&cpus[cpu].lock, NULL);
		pthread_cond_init(&cpus[cpu].wanted, &monotonic);
	}
	m0.g0.m = &m0;
	m0.p = ps;
	ps[0].turn_end = INT64_MAX;
	atomic_init(&ps[0].next_timer, INT64_MAX);
	run((struct job){&m0.g0.tcb, 0, start_scheduler, (void *)fn, NULL});
	wait_on(&ended);
}

static inline void end(void) { sem_post(&ended); }

#endif
