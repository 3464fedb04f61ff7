/*
 * Several CPUs, below the scheduler: each is there once, interrupts the others and is interrupted by them, and memory
 * is right for all. The other CPUs wait here for a job, a function that all of them run at once, the first with them.
 * With an argument the image ends as it should not: `guard STACK` touches the guard of that stack of the last CPU,
 * `overflow` runs out of its boot stack, `fatal`, `trap` and `masked` have all CPUs fail, or print, at the same time.
 */
#include <string.h>

#include "qemu-tests/check.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

#define ROUNDS                              \
	(cpu_count() < 8 ? 48 / cpu_count() \
			 : 3) /* QEMU has fewer CPUs than it makes: each round waits for all to have had a turn */
#define PAGES 40	      /* more than a batch */
#define REGION (CPU_STACKS_LO + 0x800000) /* nobody's; 1 MiB for each CPU */

static atomic_uint here[MAX_CPUS], wrong, done, job_number;
static void (*_Atomic job)(unsigned cpu);
static uintptr_t irq_on; /* for arch_irq_restore() */

static void wrong_if(bool condition)
{
	if (condition)
		wrong++;
}

static void wait_for_job(unsigned number)
{
	arch_irq_disable();
	while (job_number != number)
		arch_idle();
	arch_irq_restore(irq_on);
}

void runtime_start_cpu(unsigned cpu)
{
	here[cpu]++;
	wrong_if(cpu != arch_cpu());
	for (unsigned number = 1;; number++) {
		wait_for_job(number);
		job(cpu);
		done++;
	}
}

static void run_on_all(void (*fn)(unsigned cpu))
{
	done = 0;
	job = fn;
	job_number++;
	for (unsigned cpu = 1; cpu < cpu_count(); cpu++)
		arch_interrupt(cpu);
	fn(0);
	while (done != cpu_count() - 1)
		arch_pause();
}

/* All of them go on together. */
static void meet(void)
{
	static atomic_uint came;
	unsigned n = cpu_count(), turn = came++ / n;

	while (came / n == turn)
		arch_pause();
}

/* ---- Interrupts ---- */

static atomic_uint asked[MAX_CPUS][MAX_CPUS], counted[MAX_CPUS][MAX_CPUS];

void runtime_interrupt(struct trap *t)
{
	unsigned me = arch_cpu();
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	bool on_own_stack = false;

	wrong_if(t->pc == 0 || t->sp == 0);
	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++)
		on_own_stack |= s->cpu == me && strcmp(s->name, "irq") == 0 && here >= s->lo && here < s->hi;
	wrong_if(!on_own_stack);
	for (unsigned from = 0; from < MAX_CPUS; from++)
		if (atomic_exchange(&asked[from][me], 0))
			counted[from][me]++;
}

static void interrupt_each(unsigned cpu)
{
	for (unsigned round = 0, rounds = ROUNDS; round < rounds; round++)
		for (unsigned to = 0; to < cpu_count(); to++) {
			asked[cpu][to] = 1;
			arch_interrupt(to);
			while (asked[cpu][to])
				arch_pause();
		}
}

static void test_interrupts(void)
{
	unsigned bad = 0, n = cpu_count();

	memset(counted, 0, sizeof counted);
	run_on_all(interrupt_each);
	for (unsigned from = 0; from < MAX_CPUS; from++)
		for (unsigned to = 0; to < MAX_CPUS; to++)
			bad += counted[from][to] != (from < n && to < n ? ROUNDS : 0);
	CHECK(bad == 0);
}

/* ---- Time ---- */

/* From CPU to CPU it never goes back. */
static void see_time_pass(unsigned cpu)
{
	static atomic_uint turn;
	static int64_t last; /* whose turn it is */
	unsigned n = cpu_count();

	meet();
	for (unsigned round = 0, rounds = ROUNDS; round < rounds; round++) {
		while (turn % n != cpu)
			arch_pause();
		wrong_if(clock_now() < last);
		last = clock_now();
		turn++;
	}
}

/* ---- Memory ---- */

static volatile unsigned *region(unsigned cpu) { return (volatile unsigned *)(REGION + cpu * 0x100000ul); }

/* One page, another frame each round. Nobody's TLB may still have the last one when it is read again. */
static void see_remapped(unsigned cpu)
{
	static uint64_t frames[2];
	volatile unsigned *page = region(0);

	if (cpu == 0) {
		for (int i = 0; i < 2; i++) {
			vm_back((uintptr_t)page, (uintptr_t)page + PAGE_SIZE, false);
			*page = (unsigned)i;
			frames[i] = arch_unmap((uintptr_t)page);
		}
		arch_shootdown((uintptr_t)page, (uintptr_t)page + PAGE_SIZE);
	}
	for (unsigned round = 0, rounds = ROUNDS; round < rounds; round++) {
		uintptr_t irq;

		if (cpu == 0)
			wrong_if(arch_map((uintptr_t)page, frames[round % 2], MAP_WRITE) < 0);
		meet();
		irq = arch_irq_disable();
		for (int i = 0; i < 1000; i++)
			wrong_if(*page != round % 2);
		arch_irq_restore(irq);
		meet();
		if (cpu == round % cpu_count())
			arch_unmap((uintptr_t)page);
		meet();
		if (cpu == (round + 1) % cpu_count()) /* a thread may be on another CPU by now */
			arch_shootdown((uintptr_t)page, (uintptr_t)page + PAGE_SIZE);
		meet();
	}
	if (cpu == 0) {
		arch_map((uintptr_t)page, frames[0], MAP_WRITE);
		vm_release((uintptr_t)page, (uintptr_t)page + PAGE_SIZE);
		arch_map((uintptr_t)page, frames[1], MAP_WRITE);
		vm_release((uintptr_t)page, (uintptr_t)page + PAGE_SIZE);
	}
}

/* Frames come and go on all CPUs at once. None is in two hands, none is lost, and shootdowns meet each other. */
static void use_memory(unsigned cpu)
{
	uintptr_t lo = (uintptr_t)region(cpu);

	for (unsigned round = 0, rounds = ROUNDS; round < rounds; round++) {
		unsigned pages = 1 + (round * 7 + cpu) % PAGES;

		wrong_if(vm_back(lo, lo + pages * PAGE_SIZE, false) < 0);
		for (unsigned i = 0; i < pages; i++) {
			volatile unsigned *page = (volatile unsigned *)(lo + i * PAGE_SIZE);

			wrong_if(page[1] != 0 || page[PAGE_SIZE / 4 - 1] != 0);
			page[1] = page[PAGE_SIZE / 4 - 1] = cpu * 100 + round + 1;
		}
		for (unsigned i = 0; i < pages; i++) {
			volatile unsigned *page = (volatile unsigned *)(lo + i * PAGE_SIZE);

			wrong_if(page[1] != cpu * 100 + round + 1);
			wrong_if(page[PAGE_SIZE / 4 - 1] != cpu * 100 + round + 1);
		}
		vm_release(lo, lo + pages * PAGE_SIZE);
	}
}

/* Stacks grow by faults on all CPUs at once, each its own and then all the same one. */
static struct stack *stacks[MAX_CPUS + 1];

static void grow(struct stack *s)
{
	for (uintptr_t at = s->hi - 64; at > s->lo; at -= PAGE_SIZE / 2) {
		wrong_if(*(volatile unsigned *)at != 0);
	}
}

static void grow_stacks(unsigned cpu)
{
	meet();
	grow(stacks[cpu]);
	meet();
	grow(stacks[MAX_CPUS]);
}

static void test_memory(void)
{
	run_on_all(see_remapped);
	CHECK(wrong == 0);
	run_on_all(use_memory);
	CHECK(wrong == 0);
	for (int i = 0; i <= MAX_CPUS; i++)
		stacks[i] = stack_alloc(0x40000, STACK_FOREIGN);
	run_on_all(grow_stacks);
	CHECK(wrong == 0);
	for (int i = 0; i <= MAX_CPUS; i++)
		stack_free(stacks[i]);
}

static void test_stacks(void)
{
	unsigned bad = 0, seen = 0;

	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++, seen++) {
		for (uintptr_t page = s->guard; page < s->hi; page += PAGE_SIZE)
			bad += vm_present(page) != (page >= s->lo);
		bad += s->lo - s->guard < PAGE_SIZE;
	}
	CHECK(bad == 0);
#define COUNT(name, bytes) +1
	CHECK(seen == cpu_count() * (FIXED_STACKS(COUNT)));
}

/* ---- How it ends otherwise ---- */

static const char *victim;

static unsigned overflow(unsigned depth)
{
	volatile char frame[200];

	frame[0] = (char)depth;
	return depth == ~0u ? 0 : overflow(depth + 1) + (unsigned)frame[0];
}

static void touch_guard(unsigned cpu)
{
	if (cpu != cpu_count() - 1)
		for (;;)
			arch_pause();
	if (strcmp(victim, "overflow") == 0)
		overflow(0);
	for (const struct fixed_stack *s = fixed_stacks; s->name != NULL; s++)
		if (s->cpu == cpu && strcmp(s->name, victim) == 0)
			*(volatile char *)(s->lo - 1) = 0;
}

static void fail(unsigned cpu)
{
	meet();
	if (strcmp(victim, "trap") == 0)
		__builtin_trap();
	fatal("this is CPU %u", cpu);
}

/* One fails, the others print without end, interrupts masked. */
static void fail_among_masked(unsigned cpu)
{
	arch_irq_disable();
	meet();
	for (int i = 0; cpu != 1 || i < 10; i++)
		console_printf("a line of CPU %u, whole\n", cpu);
	fatal("this is CPU %u", cpu);
}

/* The first fails, the others write past the console's lock, where they would be told to stop: interrupts masked, on x86,
 * where that is possible. */
static void fail_among_writers(unsigned cpu)
{
	static atomic_uint written;

	arch_irq_disable();
	meet();
	while (cpu != 0 || written < 100) {
		if (cpu != 0) {
			uart_putc((char)('A' + cpu));
			written++;
		}
		arch_pause();
	}
	fatal("this is CPU %u", cpu);
}

static void (*how(const char *word))(unsigned)
{
	if (strcmp(word, "writers") == 0)
		return fail_among_writers;
	if (strcmp(word, "fatal") == 0 || strcmp(word, "trap") == 0)
		return fail;
	return strcmp(word, "masked") == 0 ? fail_among_masked : touch_guard;
}

#pragma clang attribute pop

static void test(void)
{
	test_interrupts();
	run_on_all(see_time_pass);
	CHECK(wrong == 0);
	test_memory();
	test_stacks();
}

int main(int argc, char **argv)
{
	unsigned n = cpu_count(), there = 0;

	irq_on = arch_irq_disable();
	arch_irq_restore(irq_on);
	victim = argv[argc - 1];
	if (argc > 1)
		run_on_all(how(victim));
	for (unsigned cpu = 1; cpu < n; cpu++)
		there += here[cpu] == 1;
	printf("CPUs: %u\n", n);
	CHECK(there == n - 1);
	repeatedly(test);
	CHECK(wrong == 0);
	return finish();
}
