/* The heap of timers: against a plain model, in random order, with removal from anywhere; and a million at once. */
#include <stdlib.h>

#include "runtime/heap.h"
#include "tests/check.h"

/* Every node is not before its parent, and back links lead to where the others come from. Counts the nodes. */
static size_t count_valid(const struct timer *parent)
{
	const struct timer *left = parent;
	size_t n = 1;

	for (const struct timer *t = parent->child; t != NULL; left = t, t = t->sibling) {
		if (t->prev != left || t->deadline < parent->deadline)
			return (size_t)-1000000;
		n += count_valid(t);
	}
	return n;
}

enum { MANY = 300 };

static int64_t model_earliest(const struct timer *timers)
{
	int64_t earliest = INT64_MAX;

	for (int i = 0; i < MANY; i++)
		if (timers[i].queued && timers[i].deadline < earliest)
			earliest = timers[i].deadline;
	return earliest;
}

/* Puts a timer in or takes it out, the first one or any. */
static struct timer *change(struct timer *heap, struct timer *timers, size_t *n)
{
	struct timer *t = &timers[random_number() % MANY];

	if (!t->queued) {
		t->deadline = random_number() % 1000 + (random_number() % 10 == 0 ? INT64_MAX - 2000 : 0);
		t->queued = true;
		(*n)++;
		return heap_insert(heap, t);
	}
	if (random_number() % 3 == 0)
		t = heap;
	t->queued = false;
	(*n)--;
	return heap_remove(heap, t);
}

static void test_against_model(void)
{
	static struct timer timers[MANY];
	struct timer *heap = NULL;
	size_t n = 0, wrong = 0;

	for (int i = 0; i < 30000 && wrong == 0; i++) {
		heap = change(heap, timers, &n);
		wrong += (heap != NULL ? count_valid(heap) : 0) != n;
		wrong += (heap != NULL ? heap->deadline : INT64_MAX) != model_earliest(timers);
	}
	CHECK(wrong == 0, "30,000 changes: valid, complete, the earliest first");
}

static void test_sorts(void)
{
	enum { MILLION = 1000000 };
	struct timer *timers = calloc(MILLION, sizeof *timers), *heap = NULL;
	int64_t last = 0;
	size_t n = 0, wrong = 0;

	for (size_t i = 0; i < MILLION; i++) {
		timers[i].deadline = random_number();
		heap = heap_insert(heap, &timers[i]);
	}
	for (size_t i = 0; i < MILLION; i += 3) /* as if cancelled */
		heap = heap_remove(heap, &timers[i]);
	for (; heap != NULL; n++) {
		wrong += heap->deadline < last;
		last = heap->deadline;
		heap = heap_remove(heap, heap);
	}
	CHECK(wrong == 0, "a million come out in order");
	CHECK(n == MILLION - (MILLION + 2) / 3, "all of them, but for those taken out");
	free(timers);
}

int main(void)
{
	test_against_model();
	if (checks_failed == 0) /* a broken heap may have no end */
		test_sorts();
	return end_checks();
}
