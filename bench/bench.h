/*
 * What the benchmarks share. Each is a function that does its operation n times and returns the instructions that
 * this took, the loop around it taken off. They are counted by the guest's own clock: under QEMU's icount (tools/run
 * --icount) it goes by instructions, and every run gives the same numbers. Elsewhere it counts cycles, or time.
 */
#ifndef BENCH_H
#define BENCH_H

#include "runtime/runtime.h"
#include "socle.h"

/* Counts down, so that every loop costs the same few instructions, which loop_cost() knows. */
#define REPEAT(n) for (unsigned left_ = (n); left_ > 0; left_--)

uint64_t instructions(void);	     /* since the machine was started */
uint64_t loop_cost(unsigned n);	     /* of REPEAT(n) around nothing */
void start(socle_fn fn, void *arg);  /* socle_go() that must not fail */
void wait_for_others(size_t stacks); /* yields until no more than so many stacks are in use */

uint64_t bench_yield(unsigned n);
uint64_t bench_spawn(unsigned n);
uint64_t bench_timer(unsigned n);
uint64_t bench_preempt(unsigned n);
uint64_t bench_parked_small(unsigned n);   /* bytes, not instructions */
uint64_t bench_parked_default(unsigned n); /* the same */

uint64_t bench_hop(unsigned n);
uint64_t bench_buffered(unsigned n);
uint64_t bench_select(unsigned n);

uint64_t bench_mutex(unsigned n);
uint64_t bench_mutex_handed(unsigned n);
uint64_t bench_semaphore(unsigned n);

uint64_t bench_touch(unsigned n);
uint64_t bench_grow_64k(unsigned n);
uint64_t bench_grow_1m(unsigned n);

uint64_t bench_foreign(unsigned n);
uint64_t bench_leaf(unsigned n);
uint64_t bench_callback(unsigned n);
uint64_t bench_round(unsigned n);
uint64_t bench_round_64k(unsigned n);
uint64_t bench_fault(unsigned n);
uint64_t bench_attach(unsigned n);

void bench_smp(void); /* the boot option smp: prints operations in real time, not instructions */

/* ---- foreign/routines.c, compiled as a vendor would ---- */

struct callbacks {
	socle_fn fn;
	unsigned n;
	uint64_t taken; /* by foreign_thread(), the loop included */
	socle_fn done;	/* which calls this back at its end, for itself */
};

void foreign_empty(void *arg);
void foreign_callback(void *fn);	 /* the address of a socle_fn */
void foreign_callback_64k(void *fn);	 /* the same, under a frame of 64 KiB */
void foreign_callbacks(void *callbacks); /* n of them in a loop */
void foreign_thread(void *callbacks);
void foreign_read_null(void *arg);

#endif
