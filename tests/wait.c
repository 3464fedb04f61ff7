/* Queues of waiters: against a plain model; waiters of races that are lost are passed over. */
#include <stdlib.h>
#include <string.h>

#include "runtime/wait.h"
#include "tests/goroutines.h"

enum { MANY = 20 };
static struct socle_waiters q;
static struct waiter waiters[MANY];
static struct waiter *model[MANY]; /* the same queue, in an array */
static int n;

static void model_remove(int i) { memmove(&model[i], &model[i + 1], (size_t)(--n - i) * sizeof model[0]); }

static void put(struct waiter *w, bool first)
{
	memset(w, 0x55, sizeof *w); /* what put_waiter() does not set is not to be relied on */
	w->race = NULL;
	if (first) {
		put_waiter_first(&q, w);
		memmove(&model[1], &model[0], (size_t)n * sizeof model[0]);
		model[0] = w;
	} else {
		put_waiter(&q, w);
		model[n] = w;
	}
	n++;
}

static int place_of(const struct waiter *w)
{
	for (int i = 0; i < n; i++)
		if (model[i] == w)
			return i;
	return -1;
}

static bool same(void)
{
	const struct waiter *w = q.head;

	for (int i = 0; i < n; i++, w = w->next)
		if (w != model[i] || (i > 0 && w->prev != model[i - 1]) || (i == n - 1 && q.tail != w))
			return false;
	return w == NULL;
}

static void test_against_model(void)
{
	int wrong = 0;

	srand(1);
	for (int i = 0; i < 100000; i++) {
		struct waiter *w = &waiters[rand() % MANY];
		int place = place_of(w);

		if (rand() % 4 == 0) {
			wrong += take_waiter(&q) != (n > 0 ? model[0] : NULL);
			if (n > 0)
				model_remove(0);
		} else if (place < 0) {
			put(w, rand() % 3 == 0);
		} else {
			remove_waiter(&q, w);
			model_remove(place);
		}
		wrong += !same() || has_waiter(&q) != (n > 0);
	}
	CHECK(wrong == 0, "100,000 changes");
}

/* One race with waiters in two queues, plain ones around them. */
static void test_races(void)
{
	struct race race = {0};
	struct socle_waiters a = {0}, b = {0};
	struct waiter racing = {.race = &race}, w[4] = {racing, racing, {0}, racing};

	put_waiter(&a, &w[0]);
	put_waiter(&a, &w[2]);
	put_waiter(&b, &w[1]);
	put_waiter(&b, &w[3]);
	CHECK(has_waiter(&a) && has_waiter(&b), "both can wake it");
	CHECK(take_waiter(&b) == &w[1] && race.winner == &w[1], "the first of b wins");
	CHECK(!has_waiter(&b) && b.head == NULL, "its other waiter in b is void, and gone");
	CHECK(w[3].race == NULL && w[0].race == &race, "one was taken out, one not yet");
	CHECK(take_waiter(&a) == &w[2], "in a the plain one is next");
	CHECK(w[0].race == NULL && a.head == NULL, "the void one before it is gone");
	CHECK(take_waiter(&a) == NULL && take_waiter(&b) == NULL, "both are empty");
}

int main(void)
{
	static struct goroutine self;

	become(&self);
	test_against_model();
	test_races();
	return end_checks();
}
