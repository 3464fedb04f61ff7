/* Foreign calls and callbacks. */
#include "bench/bench.h"

static void empty_callback(void *arg) { (void)arg; }

static uint64_t calls(unsigned n, socle_fn foreign, void *arg)
{
	uint64_t from = instructions();

	REPEAT(n)
	socle_foreign_call(foreign, arg);
	return instructions() - from - loop_cost(n);
}

uint64_t bench_foreign(unsigned n) { return calls(n, foreign_empty, NULL); }

uint64_t bench_leaf(unsigned n)
{
	static const struct socle_foreign_attr attr = {.flags = SOCLE_NOCALLBACK};
	uint64_t from = instructions();

	REPEAT(n)
	socle_foreign_call_attr(&attr, foreign_empty, NULL);
	return instructions() - from - loop_cost(n);
}

uint64_t bench_round(unsigned n) { return calls(n, foreign_callback, (void *)empty_callback); }
uint64_t bench_round_64k(unsigned n) { return calls(n, foreign_callback_64k, (void *)empty_callback); }
uint64_t bench_fault(unsigned n) { return calls(n, foreign_read_null, NULL); }

/* Many in one foreign call, which is not counted. */
uint64_t bench_callback(unsigned n)
{
	struct callbacks c = {.fn = empty_callback, .n = n};
	uint64_t from = instructions(), taken;

	socle_foreign_call(foreign_callbacks, &c);
	taken = instructions() - from;
	return taken - loop_cost(n);
}

static struct socle_sem thread_done;

static void post(void *unused)
{
	(void)unused;
	socle_sem_post(&thread_done);
}

/* The same from a foreign thread, while no goroutine wants to run. */
uint64_t bench_attach(unsigned n)
{
	struct callbacks c = {.fn = empty_callback, .n = n, .done = post};

	if (socle_foreign_thread(NULL, foreign_thread, &c) < 0)
		fatal("bench: no memory for a thread");
	socle_sem_wait(&thread_done);
	return c.taken - loop_cost(n);
}
