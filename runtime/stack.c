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
 * A CPU keeps some of the stacks that were freed on it, for its own next goroutines. Those that had grown keep their pages
 * for the time, where there are several CPUs: each CPU must be told to forget a page before it is used otherwise, and that
 * is done for many at once.
 *
 * A stack that is free keeps its top page, and the g on it, for its class. When frames run out nearly all of these are given
 * back too; one in some hundreds is a holder, whose page has the addresses of the others' slots.
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
#define SLOW NOINLINE __attribute__((minsize)) /* seldom */
#define WIDE_GUARD (sizeof(void *) == 8 ? (uintptr_t)1 << 20 : (uintptr_t)512 << 10)

struct stack_class {
	enum stack_kind kind;
	uintptr_t size, slot; /* of the stack; with its guard */
	struct stack *free, *holders;
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
	size_t taken;	  /* stacks that the CPUs were given, less those that they have given back */
	size_t released;  /* slots that were used, and have no page any more */
} arena;

/* Of a CPU. Its lock is for who empties it from another; it comes after arena.lock. */
static struct stack_cache {
	_Alignas(64) struct spin_lock lock;
	struct stack *free, *grown; /* top page only; with more */
	unsigned frees, growns;
	size_t bytes; /* of the grown */
} caches[MAX_CPUS];

static const size_t owner_size[STACK_KINDS] = {
	[STACK_GOROUTINE] = sizeof(struct g),
	[STACK_G0] = sizeof(struct m),
	[STACK_THREAD] = sizeof(struct foreign_thread),
};
_Static_assert(sizeof(struct foreign_thread) + sizeof(struct stack) + 1024 < PAGE_SIZE,
	       "the owner must leave room on the top page");

static struct stack *slot_stack(uintptr_t slot_end) { return (struct stack *)slot_end - 1; }

/* NULL: no such size. */
static struct stack_class *find_class(size_t size, enum stack_kind kind)
{
	unsigned log2;

	if (size < (size_t)1 << SIZE_MIN_LOG2 || size > (size_t)1 << SIZE_MAX_LOG2)
		return NULL;
	log2 = 8 * sizeof(long) - (unsigned)__builtin_clzl(size - 1); /* rounded up */
	return &arena.class[kind][log2 - SIZE_MIN_LOG2];
}

/* Not inlined where they are seldom: they would be a third of the code here. */
static SLOW void lock_arena(void) { lock(&arena.lock); }
static SLOW void unlock_arena(void) { unlock(&arena.lock); }

/* ---- arena.lock held ---- */

static void init_class(struct stack_class *c)
{
	unsigned place = (unsigned)(c - &arena.class[0][0]);
	uintptr_t guard;

	c->kind = place / SIZES;
	c->size = (uintptr_t)1 << (place % SIZES + SIZE_MIN_LOG2);
	guard = c->size < GUARD_MAX ? c->size : GUARD_MAX;
	c->slot = c->size + (c->kind == STACK_GOROUTINE ? guard : WIDE_GUARD);
	c->next_span = SPAN_MIN;
}

/* A new span: at least one slot, twice the last one's size, less where the arena is nearly full. */
static SLOW struct span *add_span(struct stack_class *c)
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
	return span->next;
}

/* On a holder's page. */
static uintptr_t *slots_of(const struct stack *holder) { return (uintptr_t *)((uintptr_t)(holder + 1) - PAGE_SIZE); }
static bool is_full(const struct stack *holder)
{
	return slots_of(holder) + holder->held + 1 > (uintptr_t *)holder->hi;
}

static void put(struct stack **list, struct stack *s)
{
	s->next_free = *list;
	*list = s;
}

static struct stack *take(struct stack **list)
{
	struct stack *s = *list;

	if (s != NULL)
		*list = s->next_free;
	return s;
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
		put(&c->free, take(&c->holders));
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
		put(&c->holders, take(&c->free));
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

/* One that was never used. NULL and errno. */
static SLOW struct stack *unused_stack(struct stack_class *c)
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
	if (vm_back(end - PAGE_SIZE, end) < 0) {
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

/* ---- What a CPU keeps ---- */

#define KEPT_FREE 128
#define REFILL 64
#define KEPT_GROWN 16
#define KEPT_BYTES ((size_t)256 << 10)

static size_t grown_by(const struct stack *s) { return (uintptr_t)(s + 1) - PAGE_SIZE - s->touched; }

/* The last that was freed, if it is of that class. One that has grown first: it need not grow again. */
static struct stack *take_kept(struct stack_cache *cache, const struct stack_class *c)
{
	struct stack *s = cache->grown;

	if (s != NULL && s->class == c) {
		cache->growns--;
		cache->bytes -= grown_by(s);
		return take(&cache->grown);
	}
	s = cache->free;
	if (s == NULL || s->class != c)
		return NULL;
	cache->frees--;
	return take(&cache->free);
}

/* From the class's list, and some more to keep: goroutines', for the others are too few for one CPU to have many. NULL:
 * there is none. */
static SLOW struct stack *refill(struct stack_cache *cache, struct stack_class *c)
{
	unsigned n = 0, most = c->kind == STACK_GOROUTINE ? REFILL : 0;
	struct stack *first, *more = NULL, *s;

	lock_arena();
	first = take(&c->free);
	while (n < most && (s = take(&c->free)) != NULL) {
		put(&more, s);
		n++;
	}
	arena.taken += n + (first != NULL);
	unlock_arena();
	lock(&cache->lock);
	while ((s = take(&more)) != NULL)
		put(&cache->free, s);
	cache->frees += n;
	unlock(&cache->lock);
	return first;
}

static SLOW void give_back_all(struct stack *s)
{
	lock_arena();
	while (s != NULL) {
		struct stack *next = s->next_free;

		put(&s->class->free, s);
		arena.taken--;
		s = next;
	}
	unlock_arena();
}

/* Their pages first: the CPUs are told of many at once. */
static SLOW void release(struct stack *grown)
{
	struct vm_batch batch = {0};

	chaos_stall();
	for (struct stack *s = grown; s != NULL; s = s->next_free) {
		vm_batch_add(&batch, s->touched, (uintptr_t)(s + 1) - PAGE_SIZE);
		s->touched = (uintptr_t)(s + 1) - PAGE_SIZE;
	}
	vm_batch_release(&batch);
	give_back_all(grown);
}

/* They are on no list meanwhile: so neither an overflow nor the end of a turn comes in between. */
static SOCLE_UNCHECKED SLOW void let_go(struct stack *free, struct stack *grown)
{
	struct g *g = getg();

	g->locks++;
	if (free != NULL)
		give_back_all(free);
	if (grown != NULL)
		release(grown);
	g->locks--;
}

static struct stack *take_all(struct stack **list, unsigned *n)
{
	struct stack *s = *list;

	*list = NULL;
	*n = 0;
	return s;
}

SLOW void stacks_flush(void)
{
	for (struct stack_cache *cache = caches; cache < caches + cpu_count(); cache++) {
		struct stack *free, *grown;

		lock(&cache->lock);
		free = take_all(&cache->free, &cache->frees);
		grown = take_all(&cache->grown, &cache->growns);
		cache->bytes = 0;
		unlock(&cache->lock);
		let_go(free, grown);
	}
}

/* ---- Giving back free stacks ---- */

static struct spin_lock one_at_a_time; /* before arena.lock */

/* Moves c's free stacks to the list of those that go, but for their holders, which are not to be found yet. arena.lock
 * held. */
static void pick(struct stack_class *c, struct stack **going, struct stack **holders)
{
	struct stack *s, *holder = NULL;

	while ((s = take(&c->free)) != NULL) {
		if (holder == NULL || is_full(holder)) {
			holder = s;
			holder->held = 0;
			put(holders, holder);
			continue;
		}
		hold(holder, (uintptr_t)(s + 1));
		s->released = true;
		put(going, s);
	}
}

static void publish(struct stack *holders)
{
	struct stack *holder;

	lock_arena();
	while ((holder = take(&holders)) != NULL)
		put(holder->held > 0 ? &holder->class->holders : &holder->class->free, holder);
	unlock_arena();
}

/* Returns how many. */
static SLOW size_t release_free(void)
{
	struct stack *going = NULL, *holders = NULL, *s;
	struct vm_batch batch = {0};
	size_t n = 0;

	stacks_flush();
	lock_arena();
	for (unsigned i = 0; i < STACK_KINDS * SIZES; i++)
		pick(&arena.class[i / SIZES][i % SIZES], &going, &holders);
	unlock_arena();
	if (going != NULL)
		unlist_gs();
	for (; (s = take(&going)) != NULL; n++)
		vm_batch_add(&batch, (uintptr_t)(s + 1) - PAGE_SIZE, (uintptr_t)(s + 1));
	vm_batch_release(&batch);
	publish(holders);
	return n;
}

#define ROOM 1024 /* for all that, with locks held, above the slack that is for it as well */

/* Also called by malloc(), from foreign code, and before there are goroutines. */
SOCLE_UNCHECKED size_t stacks_release_if_room(void)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct g *g = getg();
	size_t n;

	if (g == NULL || g->m == NULL || sp < current_bounds(g, sp).lo + (on_g0(g) ? G0_SLACK : STACK_SLACK) + ROOM)
		return 0;
	lock(&one_at_a_time);
	n = release_free();
	unlock(&one_at_a_time);
	return n * PAGE_SIZE;
}

/* NULL: no goroutine was ever started. An image in which that is so is the smaller. */
size_t (*_Atomic stacks_reclaim)(void);

SOCLE_UNCHECKED size_t runtime_reclaim(void)
{
	size_t (*fn)(void) = atomic_load_explicit(&stacks_reclaim, memory_order_relaxed);

	return fn != NULL ? fn() : 0;
}

/* ---- Taking and freeing one, and what is not used of it ---- */

/* What is too much then, for the caller to release. Unchecked: with the lock held, which is not counted. */
static SOCLE_UNCHECKED NOINLINE struct stack *keep_grown(struct stack_cache *cache, struct stack *s)
{
	put(&cache->grown, s);
	cache->bytes += grown_by(s);
	if (++cache->growns < KEPT_GROWN && cache->bytes < KEPT_BYTES)
		return NULL;
	cache->bytes = 0;
	return take_all(&cache->grown, &cache->growns);
}

/* One that another CPU keeps is better than one that was never used. NULL and errno. */
static SLOW struct stack *find_stack(struct stack_cache *cache, struct stack_class *c)
{
	struct stack *s = refill(cache, c);

	if (s != NULL)
		return s;
	stacks_flush();
	if ((s = refill(cache, c)) == NULL && (s = unused_stack(c)) == NULL && errno == ENOMEM && runtime_reclaim() > 0)
		s = unused_stack(c);
	return s;
}

struct stack *stack_alloc(size_t size, enum stack_kind kind)
{
	struct stack_cache *cache = &caches[arch_cpu()];
	struct stack_class *c = find_class(size, kind);
	struct stack *s;

	if (c == NULL) {
		errno = EINVAL;
		return NULL;
	}
	spin_lock(&cache->lock); /* bare: nothing outside of here is called */
	s = take_kept(cache, c);
	spin_unlock(&cache->lock);
	if (s == NULL && (s = find_stack(cache, c)) == NULL)
		return NULL;
	s->in_use = true;
	return s;
}

/* Unchecked: what is left of the caller's own stack does not matter. */
SOCLE_UNCHECKED void stack_free(struct stack *s)
{
	uintptr_t top = (uintptr_t)(s + 1) - PAGE_SIZE;
	struct stack_cache *cache = &caches[arch_cpu()];
	struct stack *grown = NULL, *free = NULL;

	ASSERT(s->in_use, "stack_free: the stack is free already");
	if (s->touched < top && (cpu_count() == 1 || s->touched < s->lo)) { /* of its guard nothing stays backed */
		vm_release(s->touched, top);
		s->touched = top;
	}
	s->in_use = false;
	spin_lock(&cache->lock);
	if (s->touched < top) {
		grown = keep_grown(cache, s);
	} else {
		put(&cache->free, s);
		if (++cache->frees == KEPT_FREE)
			free = take_all(&cache->free, &cache->frees);
	}
	spin_unlock(&cache->lock);
	if (grown != NULL || free != NULL)
		let_go(free, grown);
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

/* Other CPUs are interrupted for it, so not for a few pages, but for those of a guard, and for the last frames. */
static bool is_worth_it(const struct stack *s, uintptr_t sp)
{
	return cpu_count() == 1 || s->touched < s->lo || sp - s->touched > KEPT_BYTES / 4 || memory_is_short();
}

void stack_retract(struct g *g)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	if (g->lo != g->stack->lo) {
		g->lo = g->stack->lo;
		g->tcb.stack_limit = g->lo + STACK_SLACK;
		arch_set_tcb(&g->tcb);
	}
	if (is_worth_it(g->stack, sp))
		give_back(g->stack, sp);
}

/* Acquire: the saved SP. Release: what is given back; ready() waits for it. */
static size_t trim(struct g *g)
{
	enum g_status waiting = G_WAITING;
	size_t bytes = 0;

	if (!__atomic_compare_exchange_n(&g->status, &waiting, G_TRIMMED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return 0;
	if (g->lo == g->stack->lo) /* not on its extension */
		bytes = give_back(g->stack, (uintptr_t)g->tcb.sp);
	__atomic_store_n(&g->status, G_WAITING, __ATOMIC_RELEASE);
	return bytes;
}

size_t socle_stack_trim(void)
{
	size_t bytes;

	lock(&one_at_a_time);
	bytes = release_free() * PAGE_SIZE;
	for (struct g *g = all_gs(); g != NULL; g = g->all)
		if (!is_foreign_thread(g))
			bytes += trim(g);
	unlock(&one_at_a_time);
	return bytes;
}

/* From here on: also called on handlers' stacks, which stackguard knows nothing of. */
#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

/* Less what the CPUs keep. */
size_t stacks_in_use(void)
{
	size_t n = arena.taken;

	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		n -= caches[cpu].frees + caches[cpu].growns;
	return n;
}

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

/* Another CPU may touch the same stack, by a pointer to a local. */
static void note_touched(struct stack *s, uintptr_t page)
{
	uintptr_t lowest = s->touched;

	while (page < lowest &&
	       !__atomic_compare_exchange_n(&s->touched, &lowest, page, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Mostly that is the stack that runs. */
static struct stack *find_touched(const struct g *g, uintptr_t address)
{
	struct stack *own = g != NULL ? g->stack : NULL;

	return own != NULL && address >= own->lo && address < own->hi ? own : stack_find(address);
}

enum stack_fault stack_fault(const struct g *g, uintptr_t address, bool emergency)
{
	uintptr_t page = address & ~(uintptr_t)(PAGE_SIZE - 1);
	struct stack *s = find_touched(g, address);

	if (s == NULL)
		return STACK_NONE;
	if (address < s->lo)
		return STACK_GUARD_HIT;
	if (vm_back_in_handler(page, emergency) < 0)
		return STACK_OUT_OF_MEMORY;
	note_touched(s, page);
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
