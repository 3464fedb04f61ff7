/*
 * What several CPUs do together: each load runs for half a second of real time, with so many goroutines for each CPU,
 * and prints a line `bench: NAME OPERATIONS MICROSECONDS`. tools/bench runs this (the boot option smp) with 1, 2 and 4
 * CPUs and compares. Each goroutine counts for itself, so that the counting is not what they wait for.
 *
 * Rejected: a number of operations instead of a time (a load that scales badly would hold up the rest; and the last
 * goroutine would be measured, which works alone while the other CPUs have nothing to do).
 */
#include <stdio.h>

#include "bench/bench.h"

#define TIME 500000000ll
#define ROUNDS 20000 /* of a loop: 20 to 80 us under TCG */

static volatile bool stop;
static atomic_uint operations;
static struct socle_waitgroup workers;

static void compute(void) { REPEAT(ROUNDS) __asm__ volatile(""); }

/* At the end of each worker. */
static void done(unsigned n)
{
	atomic_fetch_add_explicit(&operations, n, memory_order_relaxed);
	socle_waitgroup_done(&workers);
}

/* The yardstick: nothing is shared, and nobody waits. */
static void computer(void *unused)
{
	unsigned n = 0;

	(void)unused;
	for (; !stop; n++)
		compute();
	done(n);
}

static void nothing(void *arg) { (void)arg; }

/* As bench_spawn(): a hundred, and while this one yields they run and end, here or where they were stolen to. */
static void spawner(void *unused)
{
	unsigned n = 0;

	(void)unused;
	for (; !stop; n += 100) {
		REPEAT(100)
		start(nothing, NULL);
		socle_yield();
	}
	done(n);
}

static void echo(void *chans)
{
	socle_chan **chan = chans;
	uintptr_t word;

	while (socle_chan_recv(chan[0], &word) == 0)
		socle_chan_send(chan[1], &word);
	socle_chan_close(chan[1]);
}

/* Each is one of a pair, and starts the other. */
static void sender(void *unused)
{
	socle_chan *chan[2] = {socle_chan_make(sizeof(uintptr_t), 0), socle_chan_make(sizeof(uintptr_t), 0)};
	uintptr_t word = 0;
	unsigned n = 0;

	(void)unused;
	start(echo, chan);
	for (; !stop; n += 2) {
		socle_chan_send(chan[0], &word);
		socle_chan_recv(chan[1], &word);
	}
	socle_chan_close(chan[0]);
	socle_chan_recv(chan[1], NULL); /* until it is closed */
	socle_chan_free(chan[0]);
	socle_chan_free(chan[1]);
	done(n);
}

static void caller(void *unused)
{
	unsigned n = 0;

	(void)unused;
	for (; !stop; n++)
		socle_foreign_call(foreign_empty, NULL);
	done(n);
}

static void called_back(void *unused)
{
	unsigned n = 0;

	(void)unused;
	for (; !stop; n++)
		socle_foreign_call(foreign_callback, (void *)nothing);
	done(n);
}

static void task(void *batch)
{
	compute();
	socle_waitgroup_done(batch);
}

/* Alone: what it starts is all in the queue of one CPU, which holds 256, and is computed there unless it is stolen. */
static void only_spawner(void *unused)
{
	struct socle_waitgroup batch = {0};
	unsigned n = 0;

	(void)unused;
	for (; !stop; n += 200) {
		socle_waitgroup_add(&batch, 200);
		REPEAT(200)
		start(task, &batch);
		socle_waitgroup_wait(&batch);
	}
	done(n);
}

static const struct {
	const char *name;
	socle_fn worker;
	unsigned each; /* on each CPU; 0: one for all */
} loads[] = {
	{"compute", computer, 2}, {"spawn", spawner, 1},	{"pairs", sender, 4},
	{"foreign", caller, 4},	  {"callback", called_back, 4}, {"steal", only_spawner, 0},
};

/* Returns how long it took, in us, from the first start to the last end. */
static unsigned run(socle_fn worker, unsigned n)
{
	int64_t from = socle_now();

	stop = false;
	operations = 0;
	socle_waitgroup_add(&workers, (int)n);
	REPEAT(n)
	start(worker, NULL);
	socle_sleep(TIME);
	stop = true;
	socle_waitgroup_wait(&workers);
	return (unsigned)((socle_now() - from) / 1000);
}

void bench_smp(void)
{
	for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
		unsigned each = loads[i].each, us = run(loads[i].worker, each == 0 ? 1 : each * (unsigned)socle_ncpu());

		printf("bench: %s %u %u\n", loads[i].name, operations, us);
	}
}
