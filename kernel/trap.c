/*
 * Traps: what the port saw is offered to the runtime (a stack to grow, a panic to raise); what the runtime does
 * not take ends the image with a report. A report prints without locks or memory; a trap inside one prints two
 * lines; a trap inside those prints nothing and ends the image all the same.
 *
 * The image is ended by one CPU, the first that begins to, and it stops the others before it says a word.
 */
#include "kernel/kernel.h"
#include "kernel/lock.h"

#pragma clang attribute push(__attribute__((minsize)), apply_to = function) /* none of it is in a hurry */

#define STOP_TIME 1000000000ll

atomic_uint kernel_ending;
static atomic_uint stopped; /* a bit for each that does nothing any more: it may be told more than once */
static int reporting;	    /* how many reports have begun: that CPU's */

void kernel_stop(void)
{
	arch_irq_disable();
	/* Release: the report reads what this CPU leaves. Pairs with all_stopped(). */
	atomic_fetch_or_explicit(&stopped, 1u << arch_cpu(), memory_order_release);
	arch_stop();
}

bool kernel_is_ending(void) { return atomic_load_explicit(&kernel_ending, memory_order_relaxed) == arch_cpu() + 1; }

/* A bit for each CPU that runs, but this one, which may be about to come and not counted yet. */
static unsigned others(void) { return ((1u << cpu_count()) - 1) & ~(1u << arch_cpu()); }
static bool all_stopped(unsigned cpus) { return (atomic_load_explicit(&stopped, memory_order_acquire) & cpus) == cpus; }

static void stop_others(void)
{
	int64_t end = clock_now() + STOP_TIME;

	arch_stop_others();
	while (!all_stopped(others()) && clock_now() < end)
		arch_pause();
}

/* Of several CPUs one comes out of this, to end the image; again, if need be. */
static void end_alone(void)
{
	unsigned none = 0;

	arch_irq_disable();
	kernel_poll_stop();
	if (kernel_is_ending())
		return;
	if (!atomic_compare_exchange_strong_explicit(&kernel_ending, &none, arch_cpu() + 1, memory_order_relaxed,
						     memory_order_relaxed))
		kernel_stop();
	if (others() != 0)
		stop_others();
}

void kernel_exit(int status)
{
	end_alone();
	console_printf("socle: exit status %d\n", status & 0xff);
	uart_flush();
	machine_exit(status & 0xff);
}

static void begin_report(void)
{
	end_alone();
	switch (reporting++) {
	case 0: return;
	case 1: console_printf("\nsocle: failed again while reporting\n"); break;
	default: machine_exit(2);
	}
	kernel_exit(2);
}

static const char *access_words(const struct trap *t)
{
	if (t->access & ACCESS_EXEC)
		return "executing";
	return t->access & ACCESS_WRITE ? "writing" : "reading";
}

static void print_trap(const struct trap *t)
{
	size_t offset;
	const char *function = symbol_name(t->pc, &offset);

	console_printf("\nsocle: %s", t->name);
	if (t->kind == TRAP_MEMORY)
		console_printf(" %s %p (%s)", access_words(t), (void *)t->addr,
			       t->access & ACCESS_PRESENT ? "not permitted" : "nothing is mapped there");
	console_printf("\n  in %s+0x%zx (pc %p), handled on the %s stack", function, offset, (void *)t->pc, t->stack);
	if (arch_cpu() > 0)
		console_printf(" of CPU %u", arch_cpu());
	console_printf("\n");
}

void kernel_trap(struct trap *t)
{
	if ((atomic_load_explicit(&kernel_ending, memory_order_relaxed) == 0 || !kernel_is_ending()) &&
	    t->kind != TRAP_FATAL && runtime_fault(t))
		return;
	begin_report();
	if (t->why_fatal != NULL)
		console_printf("\nsocle: %s: this cannot be contained\n", t->why_fatal);
	print_trap(t);
	runtime_report(t, t->pc, t->sp, t->fp);
	kernel_exit(2);
}

void kernel_nested_trap(struct trap *t)
{
	size_t offset;
	const char *function = symbol_name(t->pc, &offset);

	end_alone();
	if (reporting++ > 1)
		machine_exit(2);
	console_printf("\nsocle: a fault inside the fault handler: %s in %s+0x%zx (pc %p, address %p)\n", t->name,
		       function, offset, (void *)t->pc, (void *)t->addr);
	kernel_exit(2);
}

void kernel_tick(struct trap *t) { runtime_tick(t); }
void kernel_interrupt(struct trap *t) { runtime_interrupt(t); }

static _Noreturn void fatal_report(uintptr_t pc, uintptr_t sp, uintptr_t fp, const char *format, va_list args)
{
	begin_report();
	console_printf("\nsocle: fatal: ");
	console_vprintf(format, args);
	console_printf("\n");
	runtime_report(NULL, pc, sp, fp);
	kernel_exit(2);
}

void fatal_at(uintptr_t pc, uintptr_t sp, uintptr_t fp, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fatal_report(pc, sp, fp, format, args);
}

void fatal(const char *format, ...)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	va_list args;

	va_start(args, format);
	fatal_report(0, frame, frame, format, args);
}

#pragma clang attribute pop
