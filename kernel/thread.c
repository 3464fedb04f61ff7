/*
 * Threads: what the kernel schedules. A thread is a system stack (its control block, the g0 of an m) and a place
 * in the CPU's run queue; it runs until it parks or yields. Who wants threads to share the CPU by time lets a tick
 * make them yield. A wake-up that comes before the park is not lost: it makes the park return at once.
 *
 * A thread switches only while its own system stack is current. The control block's sp is then in use already
 * (it is where goroutine code comes back to), so it is kept aside for the time that the thread is away.
 */
#include "kernel/kernel.h"

static struct {
	struct thread *current;
	struct thread *head, *tail; /* ready to run, in order */
	unsigned switches;
} cpu;

struct thread *thread_current(void) { return cpu.current; }

static void enqueue(struct thread *t)
{
	t->next = NULL;
	if (cpu.head == NULL)
		cpu.head = t;
	else
		cpu.tail->next = t;
	cpu.tail = t;
}

static void enqueue_first(struct thread *t)
{
	t->next = cpu.head;
	if (cpu.head == NULL)
		cpu.tail = t;
	cpu.head = t;
}

static struct thread *dequeue(void)
{
	struct thread *t = cpu.head;

	if (t != NULL)
		cpu.head = t->next;
	return t;
}

static void switch_to(struct thread *next)
{
	struct thread *self = cpu.current;
	void *outer_sp = self->tcb->sp;

	if (next == self)
		return;
	cpu.current = next;
	cpu.switches++;
	arch_switch(self->tcb, next->tcb);
	self->tcb->sp = outer_sp;
}

void thread_adopt(struct thread *t, struct tcb *tcb)
{
	*t = (struct thread){.tcb = tcb};
	cpu.current = t;
}

/* The switch that brings a thread here for the first time has interrupts masked. */
static void begin(void *arg)
{
	struct thread *t = arg;

	arch_irq_restore(t->irq);
	t->fn(t->arg);
}

void thread_start(struct thread *t, struct tcb *tcb, void *stack_hi, void (*fn)(void *), void *arg)
{
	*t = (struct thread){.tcb = tcb, .fn = fn, .arg = arg, .irq = arch_irq_disable()};
	arch_init_context(tcb, stack_hi, begin, t);
	enqueue(t);
	arch_irq_restore(t->irq);
}

void thread_park(void)
{
	struct thread *self = cpu.current, *next;
	uintptr_t irq = arch_irq_disable();

	ASSERT(arch_tcb() == self->tcb, "thread_park: not on the thread's system stack");
	self->parked = true;
	while (!self->wakeup && (next = dequeue()) == NULL) {
		runtime_idle();
		arch_idle();
	}
	if (!self->wakeup)
		switch_to(next);
	self->parked = self->wakeup = false;
	arch_irq_restore(irq);
}

void thread_yield(void)
{
	uintptr_t irq = arch_irq_disable();
	struct thread *next = dequeue();

	if (next != NULL) {
		enqueue(cpu.current);
		switch_to(next);
	}
	arch_irq_restore(irq);
}

bool thread_others_ready(void) { return cpu.head != NULL; }
unsigned thread_switches(void) { return cpu.switches; }

static void wake(struct thread *t, void (*put)(struct thread *))
{
	uintptr_t irq = arch_irq_disable();

	ASSERT(!t->wakeup, "thread_ready: the thread was woken already");
	t->wakeup = true;
	if (t->parked && t != cpu.current)
		put(t);
	arch_irq_restore(irq);
}

void thread_ready(struct thread *t) { wake(t, enqueue); }
void thread_ready_first(struct thread *t) { wake(t, enqueue_first); }
