/*
 * Sleeping. A timer lies on its sleeper's stack, and the timers of a p form a pairing heap through them: inserting is
 * one comparison, nothing is allocated, and a million of them need no array. The hardware is set for the earliest
 * one alone; where nobody sleeps there is no tick.
 *
 * Source: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap" (1986); merging in two passes.
 */
#include <errno.h>

#include "runtime/runtime.h"

static struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *first = a, *second = b;

	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	if (b->deadline < a->deadline) {
		first = b;
		second = a;
	}
	second->sibling = first->child;
	first->child = second;
	return first;
}

/* Pairs from left to right, then melds the pairs from right to left: no recursion, stacks are small. */
static struct timer *meld_children(struct timer *child)
{
	struct timer *pairs = NULL, *heap = NULL;

	while (child != NULL) {
		struct timer *a = child, *b = a->sibling;

		child = b != NULL ? b->sibling : NULL;
		a->sibling = NULL;
		if (b != NULL)
			b->sibling = NULL;
		a = meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct timer *next = pairs->sibling;

		pairs->sibling = NULL;
		heap = meld(heap, pairs);
		pairs = next;
	}
	return heap;
}

void timers_run(struct p *p)
{
	int64_t now = clock_now();

	p->timers_due = false;
	while (p->timers != NULL && p->timers->deadline <= now) {
		struct timer *t = p->timers;

		p->timers = meld_children(t->child);
		ready(t->g); /* t lies on the stack of g: not to be touched from here on */
	}
	timers_changed(p);
}

int64_t socle_now(void) { return clock_now(); }

int socle_sleep(int64_t ns)
{
	struct timer t = {.g = getg()};
	struct p *p;
	int64_t now;

	if (require_goroutine() < 0)
		return -1;
	if (ns <= 0) {
		socle_yield();
		return 0;
	}
	now = clock_now();
	t.deadline = ns < INT64_MAX - now ? now + ns : INT64_MAX;
	p = t.g->m->p;
	p->timers = meld(p->timers, &t);
	if (p->timers == &t)
		timers_changed(p);
	park(NULL, "sleeping", &t);
	return 0;
}
