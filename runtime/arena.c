/*
 * The arena of stacks: slots of [guard][stack][owner][struct stack], by class (kind and power-of-two size). The guard
 * is absent page-table entries: it costs nothing. A stack never moves.
 *
 * Slots of a class lie in spans, which grow by doubling, and spans ascend in the arena, so that any address leads to
 * its slot by one binary search: only faults and reports do that, no call or switch.
 *
 * Slots are close together (guards of 64 KiB under goroutines) because a page of page tables serves 2 MiB: with 1 MiB
 * gaps every goroutine would cost a second page. The wide gaps are under the stacks that foreign code runs on.
 *
 * A stack that is free keeps its top page, and the g on it, for its class. When frames run out nearly all of these are given
 * back too; one in some hundreds is a holder, whose page has the addresses of the others' slots.
 */
#include <errno.h>

#include "runtime/arena.h"

#define SPANS 512
#define SPAN_MIN ((uintptr_t)2 << 20)
#define SPAN_MAX ((uintptr_t)(ARENA_HI - ARENA_LO) / 16)
#define GUARD_MAX ((uintptr_t)64 << 10)
#define WIDE_GUARD (sizeof(void *) == 8 ? (uintptr_t)1 << 20 : (uintptr_t)512 << 10)
#define KEPT_FOR_THREADS (SPAN_MAX / 4) /* so that goroutines leave addresses for the g0s that run them */
#define REFILL 64

struct span {
	uintptr_t lo, hi, next; /* slots at [lo, next) have been used */
	struct stack_class *class;
};

static struct {
	struct spin_lock lock;
	struct span span[SPANS];
	atomic_int spans; /* a span never moves: handlers search without the lock */
	size_t taken;	  /* stacks that the CPUs were given, less those that they have given back */
	size_t released;  /* slots that were used, and have no page any more */
} arena;

struct stack_class stack_classes[STACK_KINDS][STACK_SIZES];

static const size_t owner_size[STACK_KINDS] = {
	[STACK_GOROUTINE] = sizeof(struct g),
	[STACK_G0] = sizeof(struct m),
	[STACK_THREAD] = sizeof(struct foreign_thread),
};
_Static_assert(sizeof(struct foreign_thread) + sizeof(struct stack) + 1024 < PAGE_SIZE,
	       "the owner must leave room on the top page");

static struct stack *slot_stack(uintptr_t slot_end) { return (struct stack *)slot_end - 1; }

/* Not inlined where they are seldom: they would be a third of the code here. */
static SLOW void lock_arena(void) { lock(&arena.lock); }
static SLOW void unlock_arena(void) { unlock(&arena.lock); }

/* ---- arena.lock held ---- */

static void init_class(struct stack_class *c)
{
	unsigned place = (unsigned)(c - &stack_classes[0][0]);
	uintptr_t guard;

	c->kind = place / STACK_SIZES;
	c->size = (uintptr_t)1 << (place % STACK_SIZES + STACK_MIN_LOG2);
	guard = c->size < GUARD_MAX ? c->size : GUARD_MAX;
	c->slot = c->size + (c->kind == STACK_GOROUTINE ? guard : WIDE_GUARD);
	c->next_span = SPAN_MIN;
}

/* A new span: at least one slot, twice the last one's size, less where the arena is nearly full. */
static SLOW struct span *add_span(struct stack_class *c)
{
	int spans = atomic_load_explicit(&arena.spans, memory_order_relaxed);
	uintptr_t lo = spans == 0 ? ARENA_LO : arena.span[spans - 1].hi;
	uintptr_t size = c->next_span > c->slot ? c->next_span : c->slot;
	uintptr_t end = c->kind == STACK_GOROUTINE ? ARENA_HI - KEPT_FOR_THREADS : ARENA_HI;
	uintptr_t room = lo < end ? end - lo : 0;
	struct span *span = &arena.span[spans];

	if (size > room)
		size = room;
	if (size < c->slot || spans == SPANS)
		return NULL;
	*span = (struct span){lo, lo + size / c->slot * c->slot, lo, c};
	atomic_store_explicit(&arena.spans, spans + 1, memory_order_release); /* pairs with find_span() */
	if (c->next_span < SPAN_MAX)
		c->next_span *= 2;
	return span;
}

/* Where the next never-used slot of the class ends; 0: the arena is full. */
static uintptr_t new_slot(struct stack_class *c)
{
	struct span *span = c->span;

	if (span == NULL || span->next == span->hi)
		span = c->span = add_span(c);
	if (span == NULL)
		return 0;
	span->next += c->slot;
	return span->next;
}

/* On a holder's page. */
static uintptr_t *slots_of(const struct stack *holder) { return (uintptr_t *)((uintptr_t)(holder + 1) - PAGE_SIZE); }
static bool is_full(const struct stack *holder)
{
	return slots_of(holder) + holder->held + 1 > (uintptr_t *)holder->hi;
}

static void hold(struct stack *holder, uintptr_t slot)
{
	slots_of(holder)[holder->held++] = slot;
	arena.released++;
}

/* Where a slot ends that has no page any more; 0: there is none. */
static uintptr_t released_slot(struct stack_class *c)
{
	struct stack *holder = c->holders;
	uintptr_t end;

	if (holder == NULL)
		return 0;
	end = slots_of(holder)[--holder->held];
	arena.released--;
	if (holder->held == 0)
		stack_push(&c->free, stack_pop(&c->holders));
	return end;
}

/* Takes that back, or new_slot(). Where there is nobody to hold it the addresses are lost, no memory is. */
static void return_slot(struct stack_class *c, uintptr_t end)
{
	if (c->span != NULL && c->span->next == end) { /* NULL: the arena is full */
		c->span->next -= c->slot;
		return;
	}
	if ((c->holders == NULL || is_full(c->holders)) && c->free != NULL)
		stack_push(&c->holders, stack_pop(&c->free));
	if (c->holders != NULL && !is_full(c->holders))
		hold(c->holders, end);
	else
		arena.released++;
}

/* ---- From here on it is not ---- */

static void init_stack(struct stack *s, struct stack_class *c)
{
	uintptr_t end = (uintptr_t)(s + 1);

	s->class = c;
	s->kind = c->kind;
	s->guard = end - c->slot;
	s->lo = end - c->size;
	s->hi = ((uintptr_t)s - owner_size[c->kind]) & ~(uintptr_t)63;
	s->touched = end - PAGE_SIZE;
}

SLOW struct stack *arena_unused(struct stack_class *c, bool emergency)
{
	uintptr_t end;
	struct stack *s;

	lock_arena();
	if (c->size == 0)
		init_class(c);
	end = released_slot(c);
	if (end == 0)
		end = new_slot(c);
	arena.taken += end != 0;
	unlock_arena();
	if (end == 0) {
		errno = EAGAIN;
		return NULL;
	}
	if (vm_back(end - PAGE_SIZE, end, emergency) < 0) {
		lock_arena();
		return_slot(c, end);
		arena.taken--;
		unlock_arena();
		errno = ENOMEM;
		return NULL;
	}
	s = slot_stack(end);
	init_stack(s, c);
	return s;
}

/* More of goroutines': the others are too few for one CPU to have many. */
SLOW struct stack *arena_take(struct stack_class *c, struct stack **more)
{
	unsigned n = c->kind == STACK_GOROUTINE ? REFILL : 0;
	struct stack *first, *s;

	lock_arena();
	first = stack_pop(&c->free);
	arena.taken += first != NULL;
	for (; n > 0 && (s = stack_pop(&c->free)) != NULL; n--) {
		stack_push(more, s);
		arena.taken++;
	}
	unlock_arena();
	return first;
}

SLOW void arena_put(struct stack *list)
{
	struct stack *s;

	lock_arena();
	while ((s = stack_pop(&list)) != NULL) {
		stack_push(&s->class->free, s);
		arena.taken--;
	}
	unlock_arena();
}

/* ---- Giving back free stacks ---- */

/* Moves c's free stacks to the list of those that go, but for their holders, which are not to be found yet. arena.lock
 * held. */
static void pick(struct stack_class *c, struct stack **going, struct stack **holders)
{
	struct stack *s, *holder = NULL;

	while ((s = stack_pop(&c->free)) != NULL) {
		if (holder == NULL || is_full(holder)) {
			holder = s;
			holder->held = 0;
			stack_push(holders, holder);
			continue;
		}
		hold(holder, (uintptr_t)(s + 1));
		s->released = true;
		stack_push(going, s);
	}
}

static void publish(struct stack *holders)
{
	struct stack *holder;

	lock_arena();
	while ((holder = stack_pop(&holders)) != NULL)
		stack_push(holder->held > 0 ? &holder->class->holders : &holder->class->free, holder);
	unlock_arena();
}

SLOW size_t arena_release(void)
{
	struct stack *going = NULL, *holders = NULL, *s;
	struct vm_batch batch = {0};
	size_t n = 0;

	lock_arena();
	for (unsigned i = 0; i < STACK_KINDS * STACK_SIZES; i++)
		pick(&stack_classes[0][0] + i, &going, &holders);
	unlock_arena();
	if (going != NULL)
		unlist_gs();
	for (; (s = stack_pop(&going)) != NULL; n++)
		vm_batch_add(&batch, (uintptr_t)(s + 1) - PAGE_SIZE, (uintptr_t)(s + 1));
	vm_batch_release(&batch);
	publish(holders);
	return n;
}

/* From here on: also called on handlers' stacks, which stackguard knows nothing of. */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

size_t arena_taken(void) { return arena.taken; }

size_t stack_slots(void)
{
	size_t n = 0;

	for (int i = 0; i < atomic_load_explicit(&arena.spans, memory_order_acquire); i++)
		n += (arena.span[i].next - arena.span[i].lo) / arena.span[i].class->slot;
	return n - arena.released;
}

static struct span *find_span(uintptr_t address)
{
	int spans = atomic_load_explicit(&arena.spans, memory_order_acquire), lo = 0, hi = spans;

	while (lo < hi) { /* the first span that ends above the address */
		int middle = (lo + hi) / 2;

		if (arena.span[middle].hi <= address)
			lo = middle + 1;
		else
			hi = middle;
	}
	return lo < spans && address >= arena.span[lo].lo ? &arena.span[lo] : NULL;
}

/* Its page may be on the way back. */
static bool is_in_use(const struct stack *s)
{
	bool in_use;

	return vm_read(&in_use, (uintptr_t)&s->in_use, sizeof in_use) && in_use;
}

struct stack *stack_find(uintptr_t address)
{
	struct span *span = find_span(address);
	struct stack *s;
	uintptr_t slot;

	if (span == NULL)
		return NULL;
	slot = (address - span->lo) / span->class->slot;
	s = slot_stack(span->lo + (slot + 1) * span->class->slot);
	return is_in_use(s) ? s : NULL;
}

struct stack *stack_next(const struct stack *s)
{
	uintptr_t after = s == NULL ? ARENA_LO : (uintptr_t)(s + 1);

	for (int i = 0; i < atomic_load_explicit(&arena.spans, memory_order_acquire); i++) {
		struct span *span = &arena.span[i];

		for (uintptr_t slot = span->lo; slot < span->next; slot += span->class->slot) {
			struct stack *next = slot_stack(slot + span->class->slot);

			if (slot >= after && is_in_use(next))
				return next;
		}
	}
	return NULL;
}

#pragma clang attribute pop
