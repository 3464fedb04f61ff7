/*
 * The arena of stacks, on the host's memory: what is not backed cannot be touched here either. Random sizes and kinds
 * against what a stack promises; no frames, no addresses left; and several threads at once.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "tests/goroutines.h"

/* ---- vm.c, by the host ---- */

static atomic_bool present[(ARENA_HI - ARENA_LO) / PAGE_SIZE];
static atomic_long frames_left = 1000000, emergency_frames;

static atomic_bool *page_at(uintptr_t va) { return &present[(va - ARENA_LO) / PAGE_SIZE]; }

bool vm_present(uintptr_t va) { return *page_at(va); }

size_t frames_free(void) { return (size_t)frames_left; }

/* What is released meanwhile cannot be read any more. */
static pthread_mutex_t releasing = PTHREAD_MUTEX_INITIALIZER;

bool vm_read(void *to, uintptr_t va, size_t size)
{
	bool backed;

	pthread_mutex_lock(&releasing);
	backed = *page_at(va);
	for (size_t i = 0; i < size && backed; i++)
		((char *)to)[i] = ((volatile char *)va)[i];
	pthread_mutex_unlock(&releasing);
	return backed;
}

int vm_back_in_handler(uintptr_t va, bool emergency)
{
	if (frames_left <= 0 && !(emergency && emergency_frames > 0))
		return -1;
	if (*page_at(va))
		fatal("backed twice: %lx", va);
	if (mmap((void *)va, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != (void *)va)
		fatal("the host cannot map %lx", va);
	frames_left--;
	*page_at(va) = true;
	return 0;
}

void vm_release(uintptr_t lo, uintptr_t hi)
{
	pthread_mutex_lock(&releasing);
	for (uintptr_t va = lo; va < hi; va += PAGE_SIZE) {
		if (!*page_at(va))
			continue;
		*page_at(va) = false;
		munmap((void *)va, PAGE_SIZE);
		frames_left++;
	}
	pthread_mutex_unlock(&releasing);
}

/* The frames are free when all CPUs have been told. */
static atomic_long told;

void vm_batch_add(struct vm_batch *b, uintptr_t lo, uintptr_t hi)
{
	long before = frames_left;

	vm_release(lo, hi);
	b->n += (int)(frames_left - before);
}

void vm_batch_release(struct vm_batch *b)
{
	told += b->n > 0;
	b->n = 0;
}

unsigned cpu_count(void) { return MAX_CPUS; }

int vm_back(uintptr_t lo, uintptr_t hi, bool emergency)
{
	for (uintptr_t va = lo; va < hi; va += PAGE_SIZE)
		if (vm_back_in_handler(va, emergency) < 0) {
			vm_release(lo, va);
			return -1;
		}
	return 0;
}

static struct g *parked;
struct g *all_gs(void) { return parked; }
static atomic_uint unlisted;
void unlist_gs(void) { unlisted++; }
struct bounds current_bounds(const struct g *g, uintptr_t sp)
{
	(void)g;
	return (struct bounds){sp - 65536, sp + 65536};
}
void arch_set_tcb(struct tcb *tcb) { current_tcb = tcb; }

/* ---- One thread ---- */

static const size_t owner[STACK_KINDS] = {[STACK_GOROUTINE] = sizeof(struct g), [STACK_G0] = sizeof(struct m)};
static uintptr_t top_of(const struct stack *s) { return (uintptr_t)(s + 1); }
static struct stack *alloc(size_t size) { return stack_alloc(size, STACK_GOROUTINE); }

static bool is_right(const struct stack *s, size_t size, enum stack_kind kind)
{
	size_t reserve = top_of(s) - s->lo, guard = s->lo - s->guard;

	return s->in_use && s->kind == kind && reserve >= size && reserve < 2 * size && s->lo % PAGE_SIZE == 0 &&
	       guard >= (reserve < 65536 ? reserve : 65536) && (kind == STACK_GOROUTINE || guard >= 1 << 20) &&
	       s->hi % 64 == 0 && s->hi + owner[kind] <= (uintptr_t)s && s->hi > top_of(s) - PAGE_SIZE &&
	       vm_present((uintptr_t)s) && stack_find(s->guard) == s && stack_find(top_of(s) - 1) == s;
}

/* The first test: the slots are not used yet. */
static void test_no_frames(void)
{
	struct stack *first = alloc(8192), *second;
	long left = frames_left;

	frames_left = 0;
	errno = 0;
	CHECK(alloc(8192) == NULL && errno == ENOMEM, "no frame for a first page");
	CHECK(stack_fault(NULL, first->lo, false) == STACK_OUT_OF_MEMORY, "no frame to grow with");
	emergency_frames = 1;
	CHECK(stack_fault(NULL, first->lo, true) == STACK_GROWN, "but for a panic");
	emergency_frames = 0;
	frames_left = left - 1;
	second = alloc(8192);
	CHECK(second != NULL && second->guard == top_of(first), "the addresses were not lost");
	stack_free(first);
	stack_free(second);
	stacks_flush();
	CHECK(frames_left == left - 1, "nor the frames");
}

static void test_sizes(void)
{
	static const size_t wrong[] = {0, 1, 8191, ((size_t)1 << 30) + 1, SIZE_MAX};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		errno = 0;
		CHECK(alloc(wrong[i]) == NULL && errno == EINVAL, "an absurd size");
	}
	for (size_t size = 8192; size <= (size_t)1 << 30; size = size * 3 / 2) {
		struct stack *s;

		stacks_flush(); /* lest so many are kept that they are given back, s with them */
		s = alloc(size);
		CHECK(s != NULL && is_right(s, size, STACK_GOROUTINE), "as large as asked for, less than twice that");
		stack_free(s);
		CHECK(alloc(size) == s, "the one freed last is used first");
		stack_free(s);
	}
}

enum { MANY = 300 };
static struct {
	struct stack *stack;
	size_t size;
	enum stack_kind kind;
} held[MANY];

/* Touches a page, as code on that stack would: the handler is asked, and then it works. */
static int grow(struct stack *s)
{
	uintptr_t address = s->lo + random_number() % (s->hi - s->lo);
	bool backed = vm_present(address);

	if (!backed && stack_fault(NULL, address, false) != STACK_GROWN)
		return 1;
	*(char *)address = 1;
	return s->touched > address || stack_fault(NULL, s->lo - 1, false) != STACK_GUARD_HIT ||
	       stack_fault(NULL, s->guard, false) != STACK_GUARD_HIT;
}

static int change(int i)
{
	struct stack *s = held[i].stack;
	int wrong = 0;

	if (s == NULL) {
		held[i].size = 8192 + random_number() % ((size_t)1 << (14 + random_number() % 8));
		held[i].kind = random_number() % STACK_KINDS;
		held[i].stack = s = stack_alloc(held[i].size, held[i].kind);
		wrong += s == NULL || !is_right(s, held[i].size, held[i].kind);
		if (s != NULL)
			memset((void *)s->hi, i & 0xff, (uintptr_t)s - s->hi); /* the owner's */
		return wrong;
	}
	if (random_number() % 3 != 0)
		return grow(s);
	for (const char *c = (const char *)s->hi; c < (const char *)s; c++)
		wrong += *c != (char)i;
	stack_free(s);
	held[i].stack = NULL;
	stacks_flush();
	for (uintptr_t page = s->guard; page < top_of(s) - PAGE_SIZE; page += PAGE_SIZE)
		wrong += vm_present(page);
	return wrong +
	       (stack_fault(NULL, s->lo, false) != STACK_NONE || stack_find(s->hi) != NULL || !vm_present(s->hi));
}

/* stack_next() leads through all of them, upwards, none in another. */
static int in_order(void)
{
	uintptr_t above = ARENA_LO;
	size_t n = 0, expected = 0;

	for (struct stack *s = NULL; (s = stack_next(s)) != NULL; n++) {
		if (s->guard < above)
			return 1;
		above = top_of(s);
	}
	for (int i = 0; i < MANY; i++)
		expected += held[i].stack != NULL;
	return n != expected || stacks_in_use() != expected;
}

static void test_changes(void)
{
	int wrong = 0;

	for (int i = 0; i < 20000; i++) {
		wrong += change((int)(random_number() % MANY));
		if (i % 1000 == 0)
			wrong += in_order();
	}
	for (int i = 0; i < MANY; i++)
		if (held[i].stack != NULL)
			stack_free(held[i].stack);
	CHECK(wrong == 0, "20,000 changes");
	CHECK(stack_next(NULL) == NULL && stacks_in_use() == 0, "all are free");
}

/* A goroutine that has overflowed gets a part of its guard; one that waits gives back what is below its SP. */
static void test_extend_and_trim(void)
{
	struct stack *s = alloc(65536);
	struct g g = {.stack = s, .lo = s->lo, .hi = s->hi, .status = G_WAITING};
	long left;

	CHECK(stack_extend(&g, false) == 0 && g.lo < s->lo && g.lo > s->guard, "into the guard");
	CHECK(vm_present(g.lo) && vm_present(s->lo - 1) && !vm_present(g.lo - 1), "which has memory then");
	CHECK(g.tcb.stack_limit == g.lo + STACK_SLACK && stack_extend(&g, true) < 0, "once");
	stack_fault(&g, s->hi - 3 * PAGE_SIZE, false); /* its own */
	g.tcb.sp = (void *)(s->hi - PAGE_SIZE);
	runtime_reclaim();
	parked = &g;
	left = frames_left;
	CHECK(socle_stack_trim() == 0 && vm_present(g.lo), "nothing while it is in its guard");
	g.lo = s->lo;
	CHECK(socle_stack_trim() > 0 && frames_left > left, "what is below its SP");
	CHECK(!vm_present(s->lo - 1) && !vm_present(s->lo) && socle_stack_trim() == 0, "all of it");
	CHECK(stack_extend(&g, false) == 0, "again");
	parked = NULL;
	stack_free(s);
	CHECK(!vm_present(s->lo - 1) && !vm_present(g.lo), "of the guard of a free one nothing is backed");
}

/* A stack that has grown is kept as it is, for the next that wants one; many of them are given back together. */
static void test_kept(void)
{
	struct stack *s = alloc(65536), *other, *many[15];
	long before, told_before;

	stacks_flush();
	CHECK(stack_fault(NULL, s->hi - 5 * PAGE_SIZE, false) == STACK_GROWN, "grown");
	before = frames_left;
	stack_free(s);
	CHECK(frames_left == before && stacks_in_use() == 0 && alloc(65536) == s, "it is kept, with its page");
	stack_free(s);
	other = alloc(8192);
	CHECK(other != s, "one of another size is not it");
	stack_free(other);
	for (int i = 0; i < 15; i++) {
		many[i] = alloc(65536);
		stack_fault(NULL, many[i]->hi - 2 * PAGE_SIZE, false);
	}
	s = alloc(8192);
	stack_fault(NULL, s->hi - PAGE_SIZE, false);
	before = frames_left;
	told_before = told;
	for (int i = 0; i < 15; i++)
		stack_free(many[i]);
	CHECK(frames_left == before && told == told_before, "15 are kept");
	stack_free(s);
	stacks_flush();
	CHECK(frames_left >= before + 15 && told == told_before + 1, "given back at once");
	s = alloc(65536);
	stack_fault(NULL, s->hi - 5 * PAGE_SIZE, false);
	before = frames_left;
	frames_left = FRAMES_KEPT;
	stack_free(s);
	CHECK(frames_left == FRAMES_KEPT + 1 && !vm_present(s->hi - 5 * PAGE_SIZE), "none is kept of the last frames");
	frames_left += before - FRAMES_KEPT;
}

/* Free stacks of two sizes, more than one holder has place for. */
static void test_released(void)
{
	enum { MANY = 1500 };
	static struct stack *s[MANY];
	uintptr_t highest = 0;
	size_t slots;
	long before;
	int wrong = 0;

	CHECK(runtime_reclaim() == 0, "nobody else wants memory");
	stacks_will_end();
	for (int i = 0; i < MANY; i++) {
		s[i] = alloc(i % 3 ? 8192 : 65536);
		highest = (uintptr_t)s[i] > highest ? (uintptr_t)s[i] : highest;
	}
	for (int i = 0; i < MANY; i++)
		stack_free(s[i]);
	before = frames_left;
	slots = stack_slots();
	unlisted = 0;
	CHECK(runtime_reclaim() >= (MANY - 20) * PAGE_SIZE && unlisted == 1, "nearly all of it comes back");
	CHECK(frames_left >= before + MANY - 20 && stack_slots() == slots - (size_t)(frames_left - before),
	      "as counted");
	CHECK(runtime_reclaim() == 0 && unlisted == 1, "once");
	before = frames_left;
	frames_left = 0;
	for (int i = 0; i < MANY; i++)
		s[i] = alloc(i % 3 ? 8192 : 65536);
	frames_left += before;
	for (int i = 0; i < MANY; i++) {
		if (s[i] != NULL)
			stack_free(s[i]);
		s[i] = alloc(i % 3 ? 8192 : 65536);
		wrong += !is_right(s[i], i % 3 ? 8192 : 65536, STACK_GOROUTINE) || (uintptr_t)s[i] > highest;
	}
	CHECK(wrong == 0 && stacks_in_use() == MANY && stack_slots() == slots,
	      "the same addresses, also after none could be had");
	for (int i = 0; i < MANY; i++)
		stack_free(s[i]);
}

/* ---- Several ---- */

/* The sizes rise, so that spans are added while others search for theirs. */
static void allocates(void *unused)
{
	struct stack *s[10] = {NULL};
	int wrong = 0;

	(void)unused;
	for (int i = 0; i < 3000; i++) {
		int n = (int)(random_number() % 10);
		size_t size = (size_t)8192 << i / 250;

		if (i % 100 == 0)
			runtime_reclaim();
		if (s[n] != NULL) {
			wrong += *(struct stack **)s[n]->hi != s[n];
			stack_free(s[n]);
			s[n] = NULL;
			continue;
		}
		s[n] = alloc(size);
		*(struct stack **)s[n]->hi = s[n];
		wrong += !is_right(s[n], size, STACK_GOROUTINE);
		for (int k = 0; k < 5; k++)
			wrong += grow(s[n]);
	}
	for (int n = 0; n < 10; n++)
		if (s[n] != NULL)
			stack_free(s[n]);
	CHECK(wrong == 0, "nobody's stack was given to another");
}

static void test_threads(void)
{
	struct goroutine g[4];

	for (int i = 0; i < 4; i++)
		start(&g[i], allocates, NULL);
	for (int i = 0; i < 4; i++)
		join(&g[i]);
	CHECK(stacks_in_use() == 0, "each is counted");
}

/* The last test: nothing is left after it. */
static void test_no_addresses(void)
{
	int n = 0;

	errno = 0;
	while (stack_alloc((size_t)1 << 30, STACK_GOROUTINE) != NULL)
		n++;
	CHECK(n > 20 && errno == EAGAIN && stacks_in_use() == (size_t)n, "no addresses");
	while (stack_alloc(2 << 20, STACK_GOROUTINE) != NULL) /* what is left of the last span */
		;
	CHECK(stack_alloc((size_t)512 << 20, STACK_G0) != NULL, "but for those that goroutines run on");
	errno = 0;
	while (stack_alloc((size_t)256 << 20, STACK_FOREIGN) != NULL)
		;
	CHECK(errno == EAGAIN && stack_alloc((size_t)256 << 20, STACK_G0) == NULL, "no addresses at all");
	CHECK(alloc(8192) != NULL, "what was freed can be had");
}

int main(void)
{
	static struct goroutine self;

	become(&self);
	test_no_frames();
	test_released();
	test_threads();
	test_sizes();
	test_changes();
	test_extend_and_trim();
	test_kept();
	test_no_addresses();
	return end_checks();
}
