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

/* Both pair with add()'s release: of an entry; of what it holds, so hi is read before lo. */
static struct fiber *first(void) { return atomic_load_explicit(&fibers.all, memory_order_acquire); }
static uintptr_t hi_of(const struct fiber *f) { return atomic_load_explicit(&f->hi, memory_order_acquire); }

struct fiber *fiber_find(uintptr_t address)
{
	for (struct fiber *f = first(); f != NULL; f = f->next)
		if (address < hi_of(f) && address >= f->lo)
			return f;
	return NULL;
}

static struct fiber *in_use(struct fiber *f)
{
	while (f != NULL && hi_of(f) == 0)
		f = f->next;
	return f;
}

struct fiber *fiber_next(const struct fiber *f) { return in_use(f != NULL ? f->next : first()); }
struct bounds fiber_bounds(const struct fiber *f) { return (struct bounds){f->lo, hi_of(f)}; }

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
		if (lo < hi_of(f) && f->lo < hi)
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
		f->lo = lo;
		atomic_store_explicit(&f->hi, hi, memory_order_release); /* with 0 the entry holds nothing */
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

/* Some of it is a stack of ours, or would be. */
static bool is_ours(uintptr_t lo, uintptr_t hi)
{
	for (const struct fixed_stack *f = fixed_stacks; f->name != NULL; f++)
		if (lo < f->hi && f->guard < hi)
			return true;
	return lo < ARENA_HI && ARENA_LO < hi;
}

int socle_foreign_stack_add(void *lo, size_t size)
{
	uintptr_t base = (uintptr_t)lo;
	struct fiber *new;
	int error;

	if (lo == NULL || size < SMALLEST || base + size < base || is_ours(base, base + size))
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
	if (f == NULL || f->lo != (uintptr_t)lo)
		error = ENOENT;
	else if (atomic_load_explicit(&f->callbacks, memory_order_relaxed) > 0 || (sp >= f->lo && sp < hi_of(f)))
		error = EBUSY;
	else
		atomic_store_explicit(&f->hi, 0, memory_order_relaxed); /* who still sees it is wrong to be on it */
	unlock(&fibers.lock);
	return error == 0 ? 0 : fail(error);
}

#pragma clang attribute pop
