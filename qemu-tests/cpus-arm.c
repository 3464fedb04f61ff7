/*
 * What cpus.c does not ask: each CPU's own timer ends its sleep, a fault in a handler has a stack on each CPU, and an
 * interrupt stops a CPU that would never look.
 */
#include <string.h>

#include "qemu-tests/check.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

#define MILLISECOND 1000000

static void (*_Atomic work)(unsigned cpu); /* on all CPUs but the first, interrupts masked */
static void (*_Atomic in_handler)(void);
static atomic_uint rounds, done, in_time;

void runtime_interrupt(struct trap *t)
{
	(void)t;
	if (in_handler != NULL)
		in_handler();
}

void runtime_start_cpu(unsigned cpu)
{
	for (unsigned round = 1;; round++) {
		while (rounds < round)
			arch_idle();
		work(cpu);
		done++;
	}
}

static void run_on_others(void (*fn)(unsigned cpu))
{
	done = 0;
	work = fn;
	rounds++;
	for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
		arch_interrupt(cpu);
	while (done < cpu_count() - 1)
		arch_pause();
}

/* WFI ends when an interrupt is pending, though it is masked: the runtime knows of no timer but the first CPU's. */
static void sleep_by_timer(unsigned cpu)
{
	int64_t end = clock_now() + cpu * MILLISECOND;

	timer_set(end);
	while (clock_now() < end)
		__asm__ volatile("cpsid i\n\tdsb\n\twfi" : : : "memory");
	timer_set(INT64_MAX);
	in_time += clock_now() - end < 500 * MILLISECOND;
}

static unsigned overflow(unsigned depth)
{
	volatile char frame[200];

	frame[0] = (char)depth;
	return depth == ~0u ? 0 : overflow(depth + 1) + (unsigned)frame[0];
}

static void overflow_here(void) { overflow(0); }

static void overflow_in_handler(unsigned cpu)
{
	if (cpu != cpu_count() - 1)
		return;
	in_handler = overflow_here;
	arch_interrupt(cpu);
	arch_idle();
}

/* Past the console's lock, where it would be told to stop. */
static void write_for_ever(unsigned cpu)
{
	arch_irq_restore(0);
	for (done++;;)
		uart_putc((char)('A' + cpu));
}

static void test_timers(void)
{
	in_time = 0;
	run_on_others(sleep_by_timer);
	CHECK(in_time == cpu_count() - 1);
}

#pragma clang attribute pop

int main(int argc, char **argv)
{
	printf("CPUs: %u\n", cpu_count());
	if (argc > 1) {
		run_on_others(strcmp(argv[1], "nested") == 0 ? overflow_in_handler : write_for_ever);
		fatal("this is the first CPU");
	}
	repeatedly(test_timers);
	return finish();
}
