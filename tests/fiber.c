/*
 * The list of foreign code's own stacks: what is refused; and several CPUs that add, find and remove theirs, while another
 * walks the list as a handler would. A CPU's stacks lie in a region of its own, with gaps where there is never any.
 */
#include <errno.h>
#include <string.h>

#include "tests/goroutines.h"

enum { CPUS = 4, EACH = 6, ROUNDS = 300000 };
#define REGION ((uintptr_t)1 << 20)
#define SIZE (REGION / 16)
#define BASE ((uintptr_t)1 << 40)

struct fixed_stack fixed_stacks[] = {{"boot", 0, BASE - 2 * REGION, BASE - REGION, BASE - REGION / 2}, {0}};
void arch_set_tcb(struct tcb *tcb) { current_tcb = tcb; }
void move_g0(struct g *g, struct crossing *c, struct bounds to) { fatal("move_g0(%p, %p, %lx)", g, c, to.lo); }
void leave_crossing(struct g *g) { fatal("leave_crossing(%p)", g); }

static int add(uintptr_t lo, size_t size) { return socle_foreign_stack_add((void *)lo, size) == 0 ? 0 : errno; }
static int take_away(uintptr_t lo) { return socle_foreign_stack_remove((void *)lo) == 0 ? 0 : errno; }

static void test_refused(void)
{
	CHECK(add(0, SIZE) == EINVAL && add(BASE, 4096) == EINVAL && add(BASE, SIZE_MAX) == EINVAL, "absurd");
	CHECK(add(ARENA_LO + SIZE, SIZE) == EINVAL && add(ARENA_LO - SIZE, 2 * SIZE) == EINVAL, "Socle's stacks");
	CHECK(add(BASE - REGION, SIZE) == EINVAL && add(BASE - 3 * REGION, 2 * REGION) == EINVAL, "and guards");
	CHECK(add(BASE, SIZE) == 0 && add(BASE, SIZE) == EEXIST && add(BASE + SIZE - 1, SIZE) == EEXIST,
	      "there already");
	CHECK(fiber_find(BASE) != NULL && fiber_find(BASE + SIZE - 1) != NULL && fiber_find(BASE + SIZE) == NULL,
	      "found");
	fiber_find(BASE)->callbacks++;
	CHECK(take_away(BASE) == EBUSY && take_away(BASE + 8) == ENOENT, "in a callback, or none");
	fiber_find(BASE)->callbacks--;
	CHECK(take_away(BASE) == 0 && take_away(BASE) == ENOENT && fiber_find(BASE) == NULL, "gone");
	CHECK(fiber_next(NULL) == NULL, "and not in the list");
}

/* ---- Several CPUs ---- */

static atomic_uint wrong, found_none;
static atomic_int working;

/* Stacks at even places of the region; 2 i + 1 is a gap, and what is added at i has a size that depends on i. */
static uintptr_t place(uintptr_t cpu, unsigned i) { return BASE + cpu * REGION + 2 * i * SIZE; }
static size_t size_at(unsigned i) { return SIZE - i * 4096; }

static void adds_and_removes(void *arg)
{
	uintptr_t cpu = (uintptr_t)arg;
	bool there[EACH] = {false};

	for (unsigned skip = (unsigned)cpu * 100; skip > 0; skip--)
		random_number();
	for (int n = 0; n < ROUNDS; n++) {
		unsigned i = random_number() % EACH;
		uintptr_t lo = place(cpu, i);
		struct fiber *f = fiber_find(lo + random_number() % size_at(i));

		wrong += (f != NULL) != there[i];
		wrong += f != NULL && (fiber_bounds(f).lo != lo || fiber_bounds(f).hi != lo + size_at(i));
		wrong += there[i] ? take_away(lo) != 0 : add(lo, size_at(i)) != 0;
		there[i] = !there[i];
	}
	for (unsigned i = 0; i < EACH; i++)
		wrong += there[i] && take_away(place(cpu, i)) != 0;
	working--;
}

/* No address of a gap is ever found, whatever the entries are changed to meanwhile. */
static void looks(void *unused)
{
	(void)unused;
	while (working > 0) {
		unsigned i = random_number() % EACH;
		uintptr_t gap = place(random_number() % CPUS, i) + size_at(i) + random_number() % SIZE;

		found_none++;
		wrong += fiber_find(gap) != NULL;
		for (struct fiber *f = fiber_next(NULL); f != NULL; f = fiber_next(f))
			wrong += fiber_holds(f, BASE - 1);
	}
}

static void test_together(void)
{
	static struct goroutine workers[CPUS], looker;

	working = CPUS;
	start(&looker, looks, NULL);
	for (uintptr_t cpu = 0; cpu < CPUS; cpu++)
		start(&workers[cpu], adds_and_removes, (void *)cpu);
	for (int cpu = 0; cpu < CPUS; cpu++)
		join(&workers[cpu]);
	join(&looker);
	CHECK(wrong == 0 && found_none > 0, "each finds its own, and nobody what is not there");
	CHECK(fiber_next(NULL) == NULL, "all are gone");
}

int main(void)
{
	static struct goroutine self;

	become(&self);
	test_refused();
	test_together();
	return end_checks();
}
