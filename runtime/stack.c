/*
 * The arena of stacks: slots of [guard][stack][owner][struct stack], by class (kind and power-of-two size). The guard
 * is absent page-table entries: it costs nothing. A stack never moves. It starts with its top page backed, which also
 * holds its owner; the fault handler backs the rest, page by page, as it is touched.
 *
 * Slots of a class lie in spans, which grow by doubling, and spans ascend in the arena, so that any address leads to
 * its slot by one binary search: only faults and reports do that, no call or switch.
 *
 * Slots are close together (guards of 64 KiB under goroutines) because a page of page tables serves 2 MiB: with 1 MiB
 * gaps every goroutine would cost a second page. The wide gaps are under the stacks that foreign code runs on.
 *
 * Rejected: segmented stacks (Go before 1.3: the hot split), copied stacks (Go since: pointers into them break, and
 * foreign code holds such pointers), a canary (it tells afterwards).
 */
#include <errno.h>

#include "runtime/runtime.h"

#define SIZE_MIN_LOG2 13
#define SIZE_MAX_LOG2 (sizeof(void *) == 8 ? 30 : 28)
#define SIZES 18
#define SPANS 512
#define SPAN_MIN ((uintptr_t)2 << 20)
#define SPAN_MAX ((uintptr_t)(ARENA_HI - ARENA_LO) / 16)
#define GUARD_MAX ((uintptr_t)64 << 10)
#define EXTENSION_MAX ((uintptr_t)16 << 10)
#define WIDE_GUARD (sizeof(void *) == 8 ? (uintptr_t)1 << 20 : (uintptr_t)512 << 10)

struct stack_class {
	enum stack_kind kind;
	uintptr_t size, slot; /* of the stack; with its guard */
	struct stack *free;
	struct span *span;   /* slots never used are left in this one; NULL at first */
	uintptr_t next_span; /* size */
};

struct span {
	uintptr_t lo, hi, next; /* slots at [lo, next) have been used */
	struct stack_class *class;
};

static struct {
	struct spin_lock lock;
	struct stack_class class[STACK_KINDS][SIZES];
	struct span span[SPANS];
	atomic_int spans; /* a span never moves: handlers search without the lock */
	size_t in_use;
} arena;

static const size_t owner_size[STACK_KINDS] = {
	[STACK_GOROUTINE] = sizeof(struct g),
	[STACK_G0] = sizeof(struct m),
	[STACK_THREAD] = sizeof(struct foreign_thread),
};
_Static_assert(sizeof(struct foreign_thread) + sizeof(struct stack) + 1024 < PAGE_SIZE,
	       "the owner must leave room on the top page");

static struct stack *slot_stack(uintptr_t slot_end) { return (struct stack *)slot_end - 1; }

static struct stack_class *find_class(size_t size, enum stack_kind kind)
{
	unsigned log2;
	uintptr_t guard;
	struct stack_class *c;

	if (size < (size_t)1 << SIZE_MIN_LOG2 || size > (size_t)1 << SIZE_MAX_LOG2)
		return NULL;
	log2 = 8 * sizeof(long) - (unsigned)__builtin_clzl(size - 1); /* rounded up */
	c = &arena.class[kind][log2 - SIZE_MIN_LOG2];
	if (c->size == 0) {
		c->kind = kind;
		c->size = (uintptr_t)1 << log2;
		guard = c->size < GUARD_MAX ? c->size : GUARD_MAX;
		c->slot = c->size + (kind == STACK_GOROUTINE ? guard : WIDE_GUARD);
		c->next_span = SPAN_MIN;
	}
	return c;
}

/* A new span: at least one slot, twice the last one's size, less where the arena is nearly full. */
static NOINLINE __attribute__((minsize)) struct span *add_span(struct stack_class *c)
{
	int spans = atomic_load_explicit(&arena.spans, memory_order_relaxed);
	uintptr_t lo = spans == 0 ? ARENA_LO : arena.span[spans - 1].hi;
	uintptr_t size = c->next_span > c->slot ? c->next_span : c->slot, room = ARENA_HI - lo;
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
	arena.in_use++;
	return span->next;
}

/* Unless another slot was taken meanwhile: then the addresses are lost, no memory is. */
static void return_slot(struct stack_class *c, uintptr_t end)
{
	lock(&arena.lock);
	if (c->span->next == end)
		c->span->next -= c->slot;
	arena.in_use--;
	unlock(&arena.lock);
}

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

static NOINLINE __attribute__((minsize)) struct stack *unused_stack(struct stack_class *c)
{
	uintptr_t end;
	struct stack *s;

	lock(&arena.lock);
	end = new_slot(c);
	unlock(&arena.lock);
	if (end == 0) {
		errno = EAGAIN;
		return NULL;
	}
	s = slot_stack(end);
	if (vm_back(end - PAGE_SIZE, end) < 0) {
		return_slot(c, end);
		errno = ENOMEM;
		return NULL;
	}
	init_stack(s, c);
	return s;
}

struct stack *stack_alloc(size_t size, enum stack_kind kind)
{
	struct stack_class *c;
	struct stack *s;

	lock(&arena.lock);
	c = find_class(size, kind);
	s = c == NULL ? NULL : c->free;
	if (s != NULL) {
		c->free = s->next_free;
		arena.in_use++;
	}
	unlock(&arena.lock);
	if (c == NULL) {
		errno = EINVAL;
		return NULL;
	}
	if (s == NULL && (s = unused_stack(c)) == NULL)
		return NULL;
	s->in_use = true;
	return s;
}

void stack_free(struct stack *s)
{
	uintptr_t top = (uintptr_t)(s + 1) - PAGE_SIZE;
	struct stack_class *c = s->class;

	ASSERT(s->in_use, "stack_free: the stack is free already");
	if (s->touched < top) {
		chaos_stall();
		vm_release(s->touched, top);
		s->touched = top;
	}
	s->in_use = false;
	lock(&arena.lock);
	s->next_free = c->free;
	c->free = s;
	arena.in_use--;
	unlock(&arena.lock);
}

/* Takes memory back from the bottom of a stack up to the page below `sp`. Returns bytes. */
static size_t give_back(struct stack *s, uintptr_t sp)
{
	uintptr_t page = (sp - STACK_SLACK) & ~(uintptr_t)(PAGE_SIZE - 1), from = s->touched;

	if (page <= from)
		return 0;
	s->touched = page;
	vm_release(from, page);
	return page - from;
}

void stack_retract(struct g *g)
{
	if (g->lo != g->stack->lo) {
		g->lo = g->stack->lo;
		g->tcb.stack_limit = g->lo + STACK_SLACK;
		arch_set_tcb(&g->tcb);
	}
	give_back(g->stack, (uintptr_t)__builtin_frame_address(0));
}

size_t socle_stack_trim(void)
{
	size_t bytes = 0;

	for (struct g *g = all_gs(); g != NULL; g = g->all)
		if (g->status == G_WAITING && !is_foreign_thread(g))
			bytes += give_back(g->stack, (uintptr_t)g->tcb.sp);
	return bytes;
}

/* From here on: also called on handlers' stacks, which stackguard knows nothing of. */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

size_t stacks_in_use(void) { return arena.in_use; }

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

struct stack *stack_find(uintptr_t address)
{
	struct span *span = find_span(address);
	struct stack *s;
	uintptr_t slot;

	if (span == NULL)
		return NULL;
	slot = (address - span->lo) / span->class->slot;
	s = slot_stack(span->lo + (slot + 1) * span->class->slot);
	return vm_present((uintptr_t)s) && s->in_use ? s : NULL;
}

enum stack_fault stack_fault(uintptr_t address, bool emergency)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE_SIZE - 1);
	struct stack *s = stack_find(address);

	if (s == NULL)
		return STACK_NONE;
	if (address < s->lo)
		return STACK_GUARD_HIT;
	if (vm_back_in_handler(page, emergency) < 0)
		return STACK_OUT_OF_MEMORY;
	if (page < s->touched)
		s->touched = page;
	return STACK_GROWN;
}

/* How far into its guard a stack is extended: enough for cleanups, and leaves half the guard. */
static uintptr_t extension(const struct stack *s)
{
	uintptr_t half = (s->lo - s->guard) / 2;

	return half < EXTENSION_MAX ? half : EXTENSION_MAX;
}

int stack_extend(struct g *g, bool in_handler)
{
	struct stack *s = g->stack;
	uintptr_t lo = s->lo - extension(s);

	if (g->lo != s->lo)
		return -1; /* overflowed again while panicking */
	if (!in_handler && vm_back(lo, s->lo) < 0)
		return -1;
	for (uintptr_t page = lo; in_handler && page < s->lo; page += PAGE_SIZE)
		if (vm_back_in_handler(page, true) < 0)
			return -1;
	g->lo = lo;
	g->tcb.stack_limit = lo + STACK_SLACK;
	if (s->touched > lo)
		s->touched = lo;
	if (arch_tcb() == &g->tcb)
		arch_set_tcb(&g->tcb);
	return 0;
}

struct stack *stack_next(const struct stack *s)
{
	uintptr_t after = s == NULL ? ARENA_LO : (uintptr_t)(s + 1);

	for (int i = 0; i < arena.spans; i++) {
		struct span *span = &arena.span[i];

		for (uintptr_t slot = span->lo; slot < span->next; slot += span->class->slot) {
			struct stack *next = slot_stack(slot + span->class->slot);

			if (slot >= after && vm_present((uintptr_t)next) && next->in_use)
				return next;
		}
	}
	return NULL;
}

#pragma clang attribute pop
