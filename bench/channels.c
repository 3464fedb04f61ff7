/* Channels, with elements of a word. */
#include "bench/bench.h"

struct pair {
	socle_chan *there, *back;
	unsigned n;
};

static void answer(void *arg)
{
	struct pair *p = arg;
	uintptr_t word;

	REPEAT(p->n)
	{
		socle_chan_recv(p->there, &word);
		socle_chan_send(p->back, &word);
	}
}

/* Two goroutines, there and back: each hop is a send, a receive that waited for it, and the switch between them. */
uint64_t bench_hop(unsigned n)
{
	struct pair p = {socle_chan_make(sizeof(uintptr_t), 0), socle_chan_make(sizeof(uintptr_t), 0), n / 2};
	size_t stacks = stacks_in_use();
	uintptr_t word = 0;
	uint64_t from, taken;

	start(answer, &p);
	socle_yield(); /* the other waits now, and from here on it is always a receiver that waits */
	from = instructions();
	REPEAT(p.n)
	{
		socle_chan_send(p.there, &word);
		socle_chan_recv(p.back, &word);
	}
	taken = instructions() - from;
	wait_for_others(stacks);
	socle_chan_free(p.there);
	socle_chan_free(p.back);
	return taken - loop_cost(n);
}

static void drain(void *arg)
{
	struct pair *p = arg;
	uintptr_t word;

	REPEAT(p->n)
	socle_chan_recv(p->there, &word);
	socle_chan_close(p->back);
}

/* One goroutine sends, another receives, through 64 places: each runs until it has to wait for the other. */
uint64_t bench_buffered(unsigned n)
{
	struct pair p = {socle_chan_make(sizeof(uintptr_t), 64), socle_chan_make(0, 0), n};
	size_t stacks = stacks_in_use();
	uintptr_t word = 0;
	uint64_t from, taken;

	start(drain, &p);
	from = instructions();
	REPEAT(n)
	socle_chan_send(p.there, &word);
	socle_chan_recv(p.back, NULL);
	taken = instructions() - from;
	wait_for_others(stacks);
	socle_chan_free(p.there);
	socle_chan_free(p.back);
	return taken - loop_cost(2 * n);
}

#define CASES 4

struct selector {
	socle_chan **in, **out; /* four each */
	unsigned n;
};

static void wait_for_any(socle_chan **in, uintptr_t *word)
{
	struct socle_case cases[CASES];

	for (int i = 0; i < CASES; i++)
		cases[i] = (struct socle_case){.op = SOCLE_RECV, .chan = in[i], .elem = word};
	socle_select(cases, CASES, SOCLE_FOREVER);
}

static void answer_any(void *arg)
{
	struct selector *s = arg;
	uintptr_t word;

	REPEAT(s->n)
	{
		wait_for_any(s->in, &word);
		socle_chan_send(s->out[left_ % CASES], &word);
	}
}

/* As a hop, but each receives by a select over four channels, and is sent to on each in turn. */
uint64_t bench_select(unsigned n)
{
	socle_chan *chan[2][CASES];
	struct selector s = {chan[0], chan[1], n / 2};
	size_t stacks = stacks_in_use();
	uintptr_t word = 0;
	uint64_t from, taken;

	for (int i = 0; i < 2 * CASES; i++)
		chan[i / CASES][i % CASES] = socle_chan_make(sizeof word, 0);
	start(answer_any, &s);
	socle_yield(); /* the other waits now, and from here on it is always a receiver that waits */
	from = instructions();
	REPEAT(s.n)
	{
		socle_chan_send(s.in[left_ % CASES], &word);
		wait_for_any(s.out, &word);
	}
	taken = instructions() - from;
	wait_for_others(stacks);
	for (int i = 0; i < 2 * CASES; i++)
		socle_chan_free(chan[i / CASES][i % CASES]);
	return taken - loop_cost(n);
}
