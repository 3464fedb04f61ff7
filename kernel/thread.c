/*
 * Threads: what the kernel schedules. A thread is a system stack (its control block, the g0 of an m) and a place
 * in the run queue of a CPU; it runs until it parks or yields. Who wants threads to share the CPU by time lets a tick
 * make them yield. A wake-up that comes before the park is not lost: it puts the thread back into a queue at once.
 *
 * A thread runs on the CPU that whoever woke it last has named, so a queue is taken from by its own CPU only; others
 * put there, and interrupt. A CPU without a thread waits on a stack of its own, for that of the thread which parked
 * last may be wanted on another CPU. For the same reason that thread counts as parked only when it has left its stack:
 * the one that comes next says so, in arrive(). A wake-up in between is kept, and arrive() puts it in its queue.
 *
 * A thread switches only while its own system stack is current. The control block's sp is then in use already
 * (it is where goroutine code comes back to), so it is kept aside for the time that the thread is away.
 *
 * Rejected: to wait until the thread has left its stack, in the waker (as Linux does) or in who takes it from the queue:
 * two CPUs, each of which is to go on with the thread that the other is about to leave, would wait for ever.
 */
#include "kernel/kernel.h"
#include "kernel/lock.h"

/* Of a thread. Whoever makes it PARKED or takes it from there owns it. */
enum { RUNNING /* or in a queue */, PARKED, WOKEN /* before it was parked */ };

static struct cpu {
	_Alignas(128) struct spin_lock lock; /* of the queue and `asleep`: */
	struct thread *_Atomic head;	     /* ready to run, in order; without the lock one can only guess: relaxed */
	struct thread *tail;
	bool asleep;		/* nothing in the queue, nothing to do until an interrupt */
	struct thread *current; /* the rest is this CPU's own. NULL: it waits */
	struct thread *left;	/* parks, and has just left its stack */
	struct tcb idle;	/* the stack that it waits on */
	unsigned switches;
} cpus[MAX_CPUS];

/* CPUs that are not asleep: in the low bits. Above, how often one has woken up: see thread_all_asleep(). */
enum { AWAKE = 1, WAKES = 0x100 };
static atomic_uint awake;

static struct cpu *this_cpu(void) { return &cpus[arch_cpu()]; }
struct thread *thread_current(void) { return this_cpu()->current; }

/* ---- Queues. Interrupts masked ---- */

static struct thread *head_of(struct cpu *c) { return atomic_load_explicit(&c->head, memory_order_relaxed); }
static void set_head(struct cpu *c, struct thread *t) { atomic_store_explicit(&c->head, t, memory_order_relaxed); }

/* Wakes the CPU up, if it is another: should this one be asleep, an interrupt is being handled. */
static NOINLINE void enqueue(struct thread *t, unsigned cpu, bool first)
{
	struct cpu *c = &cpus[cpu];

	spin_lock_masked(&c->lock);
	if (first) {
		t->next = head_of(c);
		set_head(c, t);
		if (t->next == NULL)
			c->tail = t;
	} else {
		t->next = NULL;
		if (head_of(c) == NULL)
			set_head(c, t);
		else
			c->tail->next = t;
		c->tail = t;
	}
	if (c->asleep)
		atomic_fetch_add_explicit(&awake, WAKES + AWAKE, memory_order_release); /* see thread_all_asleep() */
	c->asleep = false;
	spin_unlock(&c->lock);
	if (c != this_cpu())
		arch_interrupt(cpu);
}

/* c->lock held. */
static struct thread *take(struct cpu *c)
{
	struct thread *t = head_of(c);

	if (t != NULL)
		set_head(c, t->next);
	return t;
}

static struct thread *dequeue(struct cpu *c)
{
	struct thread *t;

	spin_lock_masked(&c->lock);
	t = take(c);
	spin_unlock(&c->lock);
	return t;
}

/* The last CPU that falls asleep says so. */
static struct thread *dequeue_or_sleep(struct cpu *c)
{
	unsigned now = AWAKE;
	struct thread *t;

	spin_lock_masked(&c->lock);
	t = take(c);
	if (t == NULL && !c->asleep) {
		c->asleep = true;
		/* Pairs with itself: the last that falls asleep sees what the others have done. */
		now = atomic_fetch_sub_explicit(&awake, AWAKE, memory_order_acq_rel) - AWAKE;
	}
	spin_unlock(&c->lock);
	if (now % WAKES == 0)
		runtime_idle(now);
	return t;
}

/* Acquire: pairs with whoever wakes a CPU, after it has given that something to do. */
bool thread_all_asleep(unsigned now) { return atomic_load_explicit(&awake, memory_order_acquire) == now; }

/* ---- Switching. Interrupts masked ---- */

/* On a stack that was switched to: whoever was here before is off its own. Release: all that it has done. */
static NOINLINE struct cpu *arrive(void)
{
	struct cpu *c = this_cpu();
	struct thread *t = c->left;
	unsigned running = RUNNING;

	c->left = NULL;
	if (t == NULL || atomic_compare_exchange_strong_explicit(&t->state, &running, PARKED, memory_order_release,
								 memory_order_acquire))
		return c;
	atomic_store_explicit(&t->state, RUNNING, memory_order_relaxed);
	t->cpu = t->wake_cpu;
	enqueue(t, t->cpu, false);
	return c;
}

/* On the idle stack, or on a new CPU's boot stack. */
static _Noreturn void wait_for_thread(struct tcb *unused)
{
	struct cpu *c = arrive();
	struct thread *t;

	(void)unused;
	while ((t = dequeue_or_sleep(c)) == NULL)
		arch_idle();
	c->current = t;
	arch_resume(t->tcb);
}

/* To the next in the queue, if that is NULL. */
static NOINLINE void switch_to(struct cpu *c, struct thread *next)
{
	struct thread *self = c->current;
	void *outer_sp = self->tcb->sp;

	if (next == NULL)
		next = dequeue(c);
	c->current = next;
	if (next != NULL) {
		arch_switch(self->tcb, next->tcb, &c->switches, c->switches + 1);
	} else {
		c->switches++;
		arch_mcall(&c->idle, wait_for_thread);
	}
	self->tcb->sp = outer_sp;
	arrive();
}

/* ---- Beginning ---- */

static NOINLINE struct cpu *begin_cpu(void)
{
	struct cpu *c = this_cpu();

	c->idle.sp = (void *)cpu_idle_stack(arch_cpu());
	atomic_fetch_add_explicit(&awake, AWAKE, memory_order_relaxed);
	return c;
}

void thread_adopt(struct thread *t, struct tcb *tcb)
{
	*t = (struct thread){.tcb = tcb, .cpu = arch_cpu()};
	begin_cpu()->current = t;
}

void thread_wait_for_first(void)
{
	arch_set_tcb(&begin_cpu()->idle);
	wait_for_thread(NULL);
}

/* The switch that brings a thread here for the first time has interrupts masked. */
static void begin(void *arg)
{
	struct thread *t = arg;

	arrive();
	arch_irq_restore(t->irq);
	t->fn(t->arg);
}

void thread_start(struct thread *t, unsigned cpu, struct tcb *tcb, void *stack_hi, void (*fn)(void *), void *arg)
{
	*t = (struct thread){.tcb = tcb, .fn = fn, .arg = arg, .cpu = cpu, .irq = arch_irq_disable()};
	arch_init_context(tcb, stack_hi, begin, t);
	enqueue(t, cpu, false);
	arch_irq_restore(t->irq);
}

/* ---- Parking and waking ---- */

/* True: it was parked, and is the caller's. Otherwise it wakes when it has left its stack. Release: what the thread is to
 * find when it wakes. Acquire: what it did before it parked. */
static inline bool wake(struct thread *t, unsigned cpu)
{
	unsigned state;

	t->wake_cpu = cpu;
	state = atomic_exchange_explicit(&t->state, WOKEN, memory_order_acq_rel);
	ASSERT(state != WOKEN, "thread_ready: the thread was woken already");
	if (state != PARKED)
		return false;
	t->cpu = cpu;
	atomic_store_explicit(&t->state, RUNNING, memory_order_relaxed);
	return true;
}

void thread_park(void)
{
	uintptr_t irq = arch_irq_disable();
	struct cpu *c = this_cpu();
	struct thread *self = c->current;

	ASSERT(arch_tcb() == self->tcb, "thread_park: not on the thread's system stack");
	c->left = self; /* woken or not: arrive() sees to it */
	switch_to(c, NULL);
	arch_irq_restore(irq);
}

void thread_park_for(struct thread *next)
{
	uintptr_t irq = arch_irq_disable();
	struct cpu *c = this_cpu();

	c->left = c->current;
	switch_to(c, wake(next, c->left->cpu) ? next : NULL);
	arch_irq_restore(irq);
}

bool thread_parked(const struct thread *t) { return atomic_load_explicit(&t->state, memory_order_acquire) == PARKED; }

void thread_yield(void)
{
	uintptr_t irq = arch_irq_disable();
	struct cpu *c = this_cpu();
	struct thread *next = dequeue(c);

	if (next != NULL) {
		enqueue(c->current, c->current->cpu, false); /* nobody else takes it from there */
		switch_to(c, next);
	}
	arch_irq_restore(irq);
}

static void ready(struct thread *t, unsigned cpu, bool first)
{
	uintptr_t irq = arch_irq_disable();

	if (wake(t, cpu))
		enqueue(t, cpu, first);
	arch_irq_restore(irq);
}

void thread_ready(struct thread *t) { ready(t, t->cpu, false); }
void thread_ready_on(struct thread *t, unsigned cpu) { ready(t, cpu, false); }
void thread_ready_first(struct thread *t) { ready(t, t->cpu, true); }

bool thread_others_ready(void) { return head_of(this_cpu()) != NULL; }
unsigned thread_switches(void) { return this_cpu()->switches; }
