/*
 * make bench: one line for each benchmark, `bench: NAME TOTAL OPERATIONS`, from which tools/bench makes its table.
 *
 * The counter is the time stamp counter, or ARM's cycle counter: under icount both go by one an instruction, which is
 * looked at first.
 *
 * Rejected: counting from outside (a QEMU plugin sees instructions, not where an operation begins and ends); ARM's
 * generic timer, which counts each sixteenth.
 */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"

#define CALIBRATION 100000

#ifdef __arm__

/* 32 bits, enough for all benchmarks together. */
uint64_t instructions(void)
{
	uint32_t count;

	__asm__ volatile("isb\n\tmrc p15, 0, %0, c9, c13, 0" : "=r"(count) : : "memory"); /* PMCCNTR */
	return count;
}

/* Of the generic timer: the board has no firmware, so it starts from 0 a few instructions before the image, and counts
 * 62.5 MHz. Rejected: to start PMCCNTR at the entry, in every image. */
static uint64_t since_entry(void)
{
	uint64_t count;

	__asm__ volatile("isb\n\tmrrc p15, 1, %Q0, %R0, c14" : "=r"(count) : : "memory"); /* CNTVCT */
	return count * 16;
}

static void start_counter(void)
{
	__asm__ volatile("mcr p15, 0, %0, c9, c12, 1" : : "r"(1u << 31));     /* PMCNTENSET: the cycle counter */
	__asm__ volatile("mcr p15, 0, %0, c9, c12, 0" : : "r"(1u << 2 | 1u)); /* PMCR: from 0 on, each cycle */
}

#else

extern uint64_t boot_tsc; /* start.S */

uint64_t instructions(void) { return __builtin_ia32_rdtsc(); }
static uint64_t since_entry(void) { return instructions() - boot_tsc; }
static void start_counter(void) {}

#endif

/* Two instructions each time round, on all three. */
static void counted_loop(unsigned n)
{
#ifdef __arm__
	__asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+r"(n) : : "cc");
#else
	__asm__ volatile("1: decl %0\n\tjnz 1b" : "+r"(n) : : "cc");
#endif
}

static void check_counter(void)
{
	uint64_t start = instructions();

	counted_loop(CALIBRATION);
	start = instructions() - start;
	if (start < 2 * CALIBRATION || start > 2 * CALIBRATION + 10)
		fatal("bench: %d instructions are counted as %u: run it with --icount", 2 * CALIBRATION,
		      (unsigned)start);
}

uint64_t loop_cost(unsigned n)
{
	uint64_t start = instructions();

	REPEAT(n)
	__asm__ volatile("");
	return instructions() - start;
}

void start(socle_fn fn, void *arg)
{
	if (socle_go(fn, arg) < 0)
		fatal("bench: no memory for a goroutine");
}

void wait_for_others(size_t stacks)
{
	while (stacks_in_use() > stacks)
		socle_yield();
}

/* Memory first: later it would find stacks that others have left. The timer last: see there. */
static const struct {
	const char *name;
	uint64_t (*run)(unsigned n);
	unsigned n;
} benchmarks[] = {
	{"parked-8k", bench_parked_small, 4096},
	{"parked", bench_parked_default, 4096},
	{"yield", bench_yield, 20000},
	{"hop", bench_hop, 20000},
	{"buffered", bench_buffered, 20000},
	{"select", bench_select, 20000},
	{"mutex", bench_mutex, 20000},
	{"mutex-handed", bench_mutex_handed, 20000},
	{"semaphore", bench_semaphore, 20000},
	{"spawn", bench_spawn, 10000},
	{"preempt", bench_preempt, 32},
	{"touch", bench_touch, 5120},
	{"grow-64k", bench_grow_64k, 20},
	{"grow-1m", bench_grow_1m, 20},
	{"foreign", bench_foreign, 10000},
	{"leaf", bench_leaf, 10000},
	{"callback", bench_callback, 10000},
	{"round", bench_round, 10000},
	{"round-64k", bench_round_64k, 10000},
	{"attach", bench_attach, 1000},
	{"fault", bench_fault, 1000},
	{"timer", bench_timer, 1001},
};

int main(int argc, char **argv)
{
	uint64_t at_main = since_entry();

	if (argc > 1 && strcmp(argv[1], "smp") == 0) {
		bench_smp();
		return 0;
	}
	start_counter();
	check_counter();
	printf("bench: boot %llu 1\n", (unsigned long long)at_main);
	for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
		uint64_t total = benchmarks[i].run(benchmarks[i].n);

		printf("bench: %s %llu %u\n", benchmarks[i].name, (unsigned long long)total, benchmarks[i].n);
	}
	return 0;
}
