/*
 * A pairing heap of timers, earliest first. The nodes are the timers themselves, on their owners' stacks: inserting is
 * one comparison, nothing is allocated, and a million of them need no array. A back link lets a timer be taken out
 * from the middle when what it limits has happened in time. No recursion: stacks are small.
 *
 * Source: Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap" (1986); merging in two passes.
 *
 * Rejected: a heap in an array, as in Go (grows by allocating, and a timer must know its index); leaving a timer that
 * is not needed any more until it fires (it would have to outlive the stack that it lies on).
 */
#include "runtime/heap.h"
#include "socle.h"

/* Neither is NULL. Out of line, being called in four places; unchecked, as is heap_remove(): they take a few words. */
static SOCLE_UNCHECKED __attribute__((noinline)) struct timer *meld(struct timer *a, struct timer *b)
{
	struct timer *first = a, *second = b;

	if (b->deadline < a->deadline) {
		first = b;
		second = a;
	}
	second->prev = first;
	second->sibling = first->child;
	if (first->child != NULL)
		first->child->prev = second;
	first->child = second;
	return first;
}

/* Pairs from left to right, then melds the pairs from right to left. */
static struct timer *meld_children(struct timer *child)
{
	struct timer *pairs = NULL, *heap = NULL;

	while (child != NULL) {
		struct timer *a = child, *b = a->sibling;

		child = b != NULL ? b->sibling : NULL;
		if (b != NULL)
			a = meld(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct timer *next = pairs->sibling;

		heap = heap != NULL ? meld(heap, pairs) : pairs;
		pairs = next;
	}
	return heap;
}

struct timer *heap_insert(struct timer *heap, struct timer *t)
{
	t->child = NULL;
	return heap != NULL ? meld(heap, t) : t;
}

SOCLE_UNCHECKED struct timer *heap_remove(struct timer *heap, struct timer *t)
{
	struct timer *rest = meld_children(t->child);

	if (t == heap)
		return rest;
	if (t->prev->child == t)
		t->prev->child = t->sibling;
	else
		t->prev->sibling = t->sibling;
	if (t->sibling != NULL)
		t->sibling->prev = t->prev;
	return rest != NULL ? meld(heap, rest) : heap;
}
