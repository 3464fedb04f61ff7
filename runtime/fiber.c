/*
 * Stacks that foreign code switches to by itself (fibers, coroutines), and has told us of: so their bounds are known,
 * and nothing about them is guessed. From such a stack a routine may call back; what the callback needs of g0 then
 * stands on the fiber's stack, below its frames, as it otherwise does on g0 itself: only the bounds change meanwhile.
 *
 * The list only grows, and an entry is filled before it is linked, so handlers walk it without a lock. A stack that is
 * removed leaves an empty entry behind, for the next that is added.
 *
 * Rejected: a stack of our own for each such callback (the fiber's has room, and one more switch would be in each
 * traceback); a search at every crossing (an m remembers the fiber that last called back).
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/runtime.h"

static struct {
	struct spin_lock lock;
	struct fiber *_Atomic all;
} fibers;

#define SMALLEST (2 * G0_SLACK) /* for a callback to be possible at all */

/* Foreign code calls all this, on stacks that no stackguard is set for; handlers call some of it. */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

/* All pair with add()'s releases: of an entry; of what it holds. */
static struct fiber *first(void) { return atomic_load_explicit(&fibers.all, memory_order_acquire); }
static uintptr_t lo_of(const struct fiber *f) { return atomic_load_explicit(&f->lo, memory_order_acquire); }
static uintptr_t hi_of(const struct fiber *f) { return atomic_load_explicit(&f->hi, memory_order_acquire); }

/* If hi is what it was, lo is of the same stack, not of one that the entry was given to meanwhile. */
bool fiber_holds(const struct fiber *f, uintptr_t address)
{
	uintptr_t hi = hi_of(f);

	return address < hi && address >= lo_of(f) && hi_of(f) == hi;
}

struct fiber *fiber_find(uintptr_t address)
{
	struct fiber *f = first();

	while (f != NULL && !fiber_holds(f, address))
		f = f->next;
	return f;
}

static struct fiber *in_use(struct fiber *f)
{
	while (f != NULL && hi_of(f) == 0)
		f = f->next;
	return f;
}

struct fiber *fiber_next(const struct fiber *f) { return in_use(f != NULL ? f->next : first()); }
struct bounds fiber_bounds(const struct fiber *f) { return (struct bounds){lo_of(f), hi_of(f)}; }

bool overlaps_our_stacks(uintptr_t lo, uintptr_t hi)
{
	for (const struct fixed_stack *f = fixed_stacks; f->name != NULL; f++)
		if (lo < f->hi && f->guard < hi)
			return true;
	return lo < ARENA_HI && ARENA_LO < hi;
}

/* Of the stack that SP should be on: g's, or that of a fiber, if g is a g0. */
struct bounds current_bounds(const struct g *g, uintptr_t sp)
{
	const struct fiber *f;

	if ((sp < g->lo || sp > g->hi) && on_g0(g) && (f = fiber_find(sp)) != NULL)
		return fiber_bounds(f);
	return (struct bounds){g->lo, g->hi};
}

/* From here to leave_fiber() the m's g0 is where SP is. */
void enter_fiber(struct m *m, struct crossing *c, struct fiber *f)
{
	atomic_fetch_add_explicit(&f->callbacks, 1, memory_order_relaxed);
	m->fiber = f;
	move_g0(m->current, c, fiber_bounds(f));
	c->stack = NULL;
	c->fiber = f;
	arch_set_tcb(&m->g0.tcb);
}

void leave_fiber(struct m *m)
{
	leave_crossing(m->current);
	arch_set_tcb(&m->g0.tcb);
}

/* ---- The list: fibers.lock held ---- */

static bool overlaps(uintptr_t lo, uintptr_t hi)
{
	for (struct fiber *f = first(); f != NULL; f = f->next)
		if (lo < hi_of(f) && lo_of(f) < hi)
			return true;
	return false;
}

static struct fiber *unused_entry(void)
{
	struct fiber *f = first();

	while (f != NULL && hi_of(f) != 0)
		f = f->next;
	return f;
}

/* Uses *new, and then sets it to NULL, if there is no unused entry. */
static int add(struct fiber **new, uintptr_t lo, uintptr_t hi)
{
	struct fiber *f = unused_entry();

	if (overlaps(lo, hi))
		return EEXIST;
	if (f != NULL) {
		atomic_store_explicit(&f->lo, lo, memory_order_release); /* after hi was 0: the entry holds nothing */
		atomic_store_explicit(&f->hi, hi, memory_order_release);
		return 0;
	}
	**new = (struct fiber){.lo = lo, .hi = hi, .next = first()};
	atomic_store_explicit(&fibers.all, *new, memory_order_release);
	*new = NULL;
	return 0;
}

/* ---- For foreign code and goroutines ---- */

static int fail(int error)
{
	errno = error;
	return -1;
}

int socle_foreign_stack_add(void *lo, size_t size)
{
	uintptr_t base = (uintptr_t)lo;
	struct fiber *new;
	int error;

	if (lo == NULL || size < SMALLEST || base + size < base || overlaps_our_stacks(base, base + size))
		return fail(EINVAL);
	new = malloc(sizeof *new);
	if (new == NULL)
		return fail(ENOMEM);
	lock(&fibers.lock);
	error = add(&new, base, base + size);
	unlock(&fibers.lock);
	free(new);
	return error == 0 ? 0 : fail(error);
}

int socle_foreign_stack_remove(void *lo)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct fiber *f;
	int error = 0;

	lock(&fibers.lock);
	f = fiber_find((uintptr_t)lo);
	if (f == NULL || lo_of(f) != (uintptr_t)lo)
		error = ENOENT;
	else if (atomic_load_explicit(&f->callbacks, memory_order_relaxed) > 0 || (sp >= lo_of(f) && sp < hi_of(f)))
		error = EBUSY;
	else
		atomic_store_explicit(&f->hi, 0, memory_order_relaxed); /* who still sees it is wrong to be on it */
	unlock(&fibers.lock);
	return error == 0 ? 0 : fail(error);
}

#pragma clang attribute pop
