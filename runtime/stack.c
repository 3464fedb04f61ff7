/*
 * Stacks: where they come from and go to, how they grow. One starts with its top page backed, which also holds its owner;
 * the fault handler backs the rest, page by page, as it is touched. Where they lie is arena.c's.
 *
 * A CPU keeps some of the stacks that were freed on it, for its own next goroutines. Those that had grown keep their pages
 * for the time, where there are several CPUs: each CPU must be told to forget a page before it is used otherwise, and that
 * is done for many at once.
 *
 * Rejected: segmented stacks (Go before 1.3: the hot split), copied stacks (Go since: pointers into them break, and
 * foreign code holds such pointers), a canary (it tells afterwards).
 */
#include <errno.h>

#include "runtime/arena.h"

#define EXTENSION_MAX ((uintptr_t)16 << 10)

/* Of a CPU. Its lock is for who empties it from another; it comes after arena.lock. */
static struct stack_cache {
	_Alignas(64) struct spin_lock lock;
	struct stack *free, *grown; /* top page only; with more */
	unsigned frees, growns;
	size_t bytes; /* of the grown */
} caches[MAX_CPUS];

/* ---- What a CPU keeps ---- */

#define KEPT_FREE 128
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
		return stack_pop(&cache->grown);
	}
	s = cache->free;
	if (s == NULL || s->class != c)
		return NULL;
	cache->frees--;
	return stack_pop(&cache->free);
}

/* One that is free, and some more to keep. NULL: there is none. */
static SLOW struct stack *refill(struct stack_cache *cache, struct stack_class *c)
{
	struct stack *more = NULL, *first = arena_take(c, &more), *s;

	if (more == NULL)
		return first;
	lock(&cache->lock);
	for (; (s = stack_pop(&more)) != NULL; cache->frees++)
		stack_push(&cache->free, s);
	unlock(&cache->lock);
	return first;
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
	arena_put(grown);
}

/* They are on no list meanwhile: so neither an overflow nor the end of a turn comes in between. */
static SOCLE_UNCHECKED SLOW void let_go(struct stack *free, struct stack *grown)
{
	struct g *g = getg();

	g->locks++;
	if (free != NULL)
		arena_put(free);
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

/* Returns how many. */
static size_t release_free(void)
{
	stacks_flush();
	return arena_release();
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
	stack_push(&cache->grown, s);
	cache->bytes += grown_by(s);
	if (++cache->growns < KEPT_GROWN && cache->bytes < KEPT_BYTES)
		return NULL;
	cache->bytes = 0;
	return take_all(&cache->grown, &cache->growns);
}

/* One that another CPU keeps is better than one that was never used. A g0 has one of the last frames, if it must be: all
 * goroutines may wait for it. NULL and errno. */
static SLOW struct stack *find_stack(struct stack_cache *cache, struct stack_class *c)
{
	struct stack *s = refill(cache, c);
	bool must;

	if (s != NULL)
		return s;
	stacks_flush();
	if ((s = refill(cache, c)) != NULL || (s = arena_unused(c, false)) != NULL || errno != ENOMEM)
		return s;
	must = c->kind == STACK_G0; /* known now */
	return runtime_reclaim() > 0 || must ? arena_unused(c, must) : NULL;
}

struct stack *stack_alloc(size_t size, enum stack_kind kind)
{
	struct stack_cache *cache = &caches[arch_cpu()];
	struct stack_class *c = stack_class_of(size, kind);
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
	/* Of its guard nothing stays backed; the rest may, where others must be told, but not of the last frames. */
	if (s->touched < top && (cpu_count() == 1 || s->touched < s->lo || memory_is_short())) {
		vm_release(s->touched, top);
		s->touched = top;
	}
	s->in_use = false;
	spin_lock(&cache->lock);
	if (s->touched < top) {
		grown = keep_grown(cache, s);
	} else {
		stack_push(&cache->free, s);
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
	size_t n = arena_taken();

	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		n -= caches[cpu].frees + caches[cpu].growns;
	return n;
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

	if (own != NULL && address >= own->lo && address < own->hi)
		return own;
	return address >= ARENA_LO ? stack_find(address) : NULL; /* most wild addresses are below */
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
	if (!in_handler && vm_back(lo, s->lo, false) < 0)
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

#pragma clang attribute pop
