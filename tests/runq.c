/* Run queues: against a plain model; and with an owner and thieves at once, each on a thread of the host. */
#include "runtime/runq.h"
#include "tests/goroutines.h"

#define MANY 600 /* more than fit in a ring */

static unsigned cpus; /* test_share() leaves it at 4 */
unsigned cpu_count(void) { return cpus; }

static struct g gs[MANY];
static struct run_queue ring;

/* ---- one thread ---- */

/* From just below the largest number: head and tail wrap. */
static void test_ring_against_model(void)
{
	struct g *model[RUN_QUEUE];
	unsigned n = 0, wrong = 0;

	ring.head = ring.tail = -1000u;
	for (unsigned i = 0; i < 100000; i++) {
		struct g *g = &gs[i % MANY], *expected = n > 0 ? model[0] : NULL;

		if (random_number() % 100 < (i / 1000 % 2 ? 70 : 30)) { /* full at times, empty at times */
			wrong += run_queue_put(&ring, g, memory_order_release) != (n < RUN_QUEUE);
			if (n < RUN_QUEUE)
				model[n++] = g;
		} else {
			wrong += run_queue_get(&ring) != expected;
			for (unsigned k = 1; k < n; k++)
				model[k - 1] = model[k];
			n -= n > 0;
		}
		wrong += run_queue_empty(&ring) != (n == 0);
	}
	CHECK(wrong == 0, "the ring: first in, first out, 256 of them");
	while (run_queue_get(&ring) != NULL)
		;
}

/* Before the ring, for one; who was there is told. The queue is empty when both are. */
static void test_next(void)
{
	CHECK(!has_next(&ring) && run_queue_get_next(&ring) == NULL, "nobody comes next");
	CHECK(run_queue_put_next(&ring, &gs[0]) == NULL && has_next(&ring), "somebody does");
	CHECK(!run_queue_empty(&ring) && run_queue_get(&ring) == NULL, "who is not in the ring, but in the queue");
	CHECK(run_queue_put_next(&ring, &gs[1]) == &gs[0], "another comes before");
	CHECK(run_queue_get_next(&ring) == &gs[1] && run_queue_empty(&ring), "and goes");
	for (unsigned i = 0; i < RUN_QUEUE; i++) {
		CHECK(!own_ring_full(&ring), "there is room");
		run_queue_put(&ring, &gs[i], memory_order_release);
	}
	CHECK(own_ring_full(&ring) && !run_queue_put(&ring, &gs[RUN_QUEUE], memory_order_release), "no more");
	CHECK(run_queue_get(&ring) == &gs[0] && !own_ring_full(&ring), "but for one again");
	while (run_queue_get(&ring) != NULL)
		;
}

/* Of n the older half, rounded up, in their order: the first to run, the others into the own ring. */
static void test_steal(void)
{
	static struct run_queue own;
	unsigned wrong = 0;

	for (unsigned n = 0; n <= RUN_QUEUE; n++) {
		struct g *first;

		for (unsigned i = 0; i < n; i++)
			run_queue_put(&ring, &gs[i], memory_order_release);
		first = run_queue_steal(&ring, &own);
		wrong += first != (n > 0 ? &gs[0] : NULL);
		for (unsigned i = 1; i < (n + 1) / 2; i++)
			wrong += run_queue_get(&own) != &gs[i];
		wrong += !run_queue_empty(&own);
		for (unsigned i = (n + 1) / 2; i < n; i++)
			wrong += run_queue_get(&ring) != &gs[i];
		wrong += !run_queue_empty(&ring);
	}
	CHECK(wrong == 0, "half is stolen");
}

static void test_global_against_model(void)
{
	unsigned in = 0, out = 0, wrong = 0;

	for (unsigned i = 0; i < 100000; i++) {
		if (random_number() % 2 && in - out < MANY)
			global_queue_put(&gs[in++ % MANY]);
		else if (in != out)
			wrong += global_queue_get() != &gs[out++ % MANY];
		else
			wrong += global_queue_get() != NULL;
		wrong += global_queue_empty() != (in == out);
	}
	while (global_queue_get() != NULL)
		;
	CHECK(wrong == 0, "the global queue: first in, first out");
}

/* Of n the CPU's share, rounded up, at most half a ring, in their order. */
static void test_share(void)
{
	static struct run_queue own;
	unsigned wrong = 0;

	for (cpus = 1; cpus <= 3; cpus++)
		for (unsigned n = 0; n <= 2 * RUN_QUEUE; n = n * 3 / 2 + 1) {
			unsigned share = (n + cpus - 1) / cpus, next = 0;

			if (share > RUN_QUEUE / 2)
				share = RUN_QUEUE / 2;
			for (unsigned i = 0; i < n; i++)
				global_queue_put(&gs[i]);
			global_queue_share(&own);
			for (; next < share; next++)
				wrong += run_queue_get(&own) != &gs[next];
			wrong += !run_queue_empty(&own);
			for (; next < n; next++)
				wrong += global_queue_get() != &gs[next];
			wrong += !global_queue_empty();
		}
	CHECK(wrong == 0, "a share is taken");
}

/* ---- several ---- */

#define ROUNDS 300000
#define THIEVES 2

static atomic_bool over;
static atomic_uint taken, stolen_gs, stolen_nexts, wrong_contents, largest_loot;
static unsigned yields_to_next, moved; /* the owner's */

/* Whoever has taken a g has it alone, and sees what was written before it was put. */
static void take(struct g *g)
{
	wrong_contents += g->arg != (void *)(g->id * 3);
	g->callbacks++;
	taken++;
}

/* What is taken goes back to the owner through the global queue. */
static void give_back(struct g *g)
{
	take(g);
	stolen_gs++;
	global_queue_put(g);
}

/* Half of what the owner has, or the other thief, into a ring of its own. */
static struct run_queue stolen[THIEVES];

static void steals(void *own)
{
	struct run_queue *mine = own, *other = &stolen[mine == stolen];
	struct g *g;

	for (bool last = false; !last;) {
		last = over;
		if (random_number() % 2 && has_next(&ring) && (g = run_queue_get_next(&ring)) != NULL) {
			stolen_nexts++;
			give_back(g);
		}
		while ((g = run_queue_steal(random_number() % 4 ? &ring : other, mine)) != NULL) {
			unsigned leave = random_number() % 8; /* for the other, who may be faster */

			largest_loot =
				mine->tail - mine->head + 1 > largest_loot ? mine->tail - mine->head + 1 : largest_loot;
			do
				give_back(g);
			while (mine->tail - mine->head > leave && (g = run_queue_get(mine)) != NULL);
			while (!run_queue_empty(mine) && (g = run_queue_get(mine)) != NULL)
				give_back(g);
		}
		sched_yield();
	}
}

/* One that is free: from the global queue, or taken from the own. Others may move there. */
static struct g *owner_get(unsigned *put)
{
	struct g *g;

	for (;;) {
		if (own_ring_empty(&ring) && random_number() % 2) {
			unsigned tail = ring.tail;

			global_queue_share(&ring);
			*put += ring.tail - tail;
			moved += ring.tail - tail;
		}
		if ((g = global_queue_get()) != NULL)
			return g;
		if ((random_number() % 2 && (g = run_queue_get_next(&ring)) != NULL) ||
		    (g = run_queue_get(&ring)) != NULL) {
			take(g);
			return g;
		}
	}
}

/* As socle_yield(): for who comes next, if there is room for one more, or else for the first in the ring. */
static bool change_places(struct g *g)
{
	struct g *next = NULL;

	if (has_next(&ring) && !own_ring_full(&ring)) {
		next = run_queue_get_next(&ring);
		yields_to_next += next != NULL;
	}
	if (next == NULL)
		next = run_queue_try_get(&ring);
	if (next == NULL)
		return false;
	take(next);
	global_queue_put(next);
	atomic_store_explicit(&ring.tail, run_queue_put_later(&ring, g), memory_order_release);
	return true;
}

/* Who was there goes into the ring, or is free again. */
static void put_first(struct g *g)
{
	struct g *before = run_queue_put_next(&ring, g);

	if (before != NULL && !run_queue_put(&ring, before, memory_order_seq_cst)) {
		take(before);
		global_queue_put(before);
	}
}

static void owns(void *unused)
{
	unsigned put = 0;

	(void)unused;
	for (int i = 0; i < MANY; i++)
		global_queue_put(&gs[i]);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		struct g *g = owner_get(&put);

		if (i % 256 == 0)
			sched_yield(); /* on a busy host the thieves would come too late */
		g->id = i;
		g->arg = (void *)(g->id * 3);
		if (i % 5 == 0) {
			put_first(g);
			put++;
			continue;
		}
		if ((i % 3 == 0 && change_places(g)) ||
		    run_queue_put(&ring, g, i % 2 ? memory_order_release : memory_order_seq_cst)) {
			put++;
			continue;
		}
		global_queue_put(g);
		sched_yield();
	}
	for (struct g *g; (g = run_queue_get(&ring)) != NULL || (g = run_queue_get_next(&ring)) != NULL;) {
		take(g);
		global_queue_put(g);
	}
	over = true;
	taken -= put;
}

static void test_thieves(void)
{
	struct goroutine owner, thieves[THIEVES];
	unsigned counted = 0, free = 0, lost = 0;

	start(&owner, owns, NULL);
	for (int i = 0; i < THIEVES; i++)
		start(&thieves[i], steals, &stolen[i]);
	join(&owner);
	for (int i = 0; i < THIEVES; i++)
		join(&thieves[i]);
	for (struct g *g; (g = global_queue_get()) != NULL; free++)
		g->id = 0;
	for (int i = 0; i < MANY; i++)
		lost += gs[i].id != 0;
	CHECK(free == MANY && lost == 0, "all are there in the end, each once");
	CHECK(taken == 0, "each is taken once");
	CHECK(wrong_contents == 0, "as it was put");
	for (int i = 0; i < MANY; i++)
		counted += gs[i].callbacks;
	CHECK(largest_loot <= RUN_QUEUE / 2, "thieves take half at most");
	CHECK(stolen_gs > ROUNDS / 1000, "the thieves have some");
	CHECK(stolen_nexts > ROUNDS / 10000, "and some who were to come next");
	CHECK(moved > ROUNDS / 1000, "some have moved there from the global queue");
	CHECK(yields_to_next > ROUNDS / 100, "the owner yields to such a one too");
	CHECK(counted > ROUNDS / 2 && run_queue_empty(&ring), "by one at a time; none is left");
}

int main(void)
{
	static struct goroutine self;

	become(&self);
	test_ring_against_model();
	test_next();
	test_steal();
	test_global_against_model();
	test_share();
	test_thieves();
	return end_checks();
}
