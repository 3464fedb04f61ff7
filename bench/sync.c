/* Mutexes and semaphores. */
#include "bench/bench.h"

uint64_t bench_mutex(unsigned n)
{
	struct socle_mutex mutex = {0};
	uint64_t from = instructions();

	REPEAT(n)
	{
		socle_mutex_lock(&mutex);
		socle_mutex_unlock(&mutex);
	}
	return instructions() - from - loop_cost(n);
}

struct contention {
	struct socle_mutex mutex;
	unsigned n;
};

/* Each yields while it holds the mutex, so the other comes to wait for it, and afterwards, so the other gets it. */
static void contend(void *arg)
{
	struct contention *c = arg;

	REPEAT(c->n)
	{
		socle_mutex_lock(&c->mutex);
		socle_yield();
		socle_mutex_unlock(&c->mutex);
		socle_yield();
	}
}

/* From one to the other, the wait and its switch included. The two yields that make the other wait are taken off. */
uint64_t bench_mutex_handed(unsigned n)
{
	struct contention c = {.n = n / 2};
	size_t stacks = stacks_in_use();
	uint64_t from, taken;

	start(contend, &c);
	from = instructions();
	contend(&c);
	taken = instructions() - from;
	wait_for_others(stacks);
	return taken - bench_yield(2 * n) - loop_cost(n);
}

struct passing {
	struct socle_sem there, back;
	unsigned n;
};

static void pass_back(void *arg)
{
	struct passing *p = arg;

	REPEAT(p->n)
	{
		socle_sem_wait(&p->there);
		socle_sem_post(&p->back);
	}
}

/* Two posts, two waits, two switches. */
uint64_t bench_semaphore(unsigned n)
{
	struct passing p = {.n = n};
	size_t stacks = stacks_in_use();
	uint64_t from, taken;

	socle_sem_init(&p.there, 0);
	socle_sem_init(&p.back, 0);
	start(pass_back, &p);
	from = instructions();
	REPEAT(n)
	{
		socle_sem_post(&p.there);
		socle_sem_wait(&p.back);
	}
	taken = instructions() - from;
	wait_for_others(stacks);
	return taken - 2 * loop_cost(n);
}
