/* The timers of a p, a pairing heap: see heap.c. */
#ifndef SOCLE_HEAP_H
#define SOCLE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lies on the stack of the goroutine that waits, which never moves: waiting allocates nothing. */
struct timer {
	int64_t deadline;
	struct g *g;
	void (*fire)(struct timer *t); /* what it does instead of waking g, timers_lock held; NULL: it wakes g */
	struct race *race;	       /* who else may wake g; NULL: only the timer does */
	struct p *p; /* in whose heap it was put, of the CPU that it was set on. The rest is under p->timers_lock: */
	bool queued;
	struct timer *child, *sibling;
	struct timer *prev; /* the left sibling, or the parent of a first child. Of the root: undefined */
};

/* Each returns the heap that results; NULL is the empty one. */
struct timer *heap_insert(struct timer *heap, struct timer *t);
struct timer *heap_remove(struct timer *heap, struct timer *t); /* t is in it, anywhere; the first is the heap itself */

#endif
