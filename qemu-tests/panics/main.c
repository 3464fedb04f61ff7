/*
 * Panics: caught, with their cleanups, through foreign frames, and out of every kind of overflow; each many times, and
 * nothing is missing afterwards.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

static char order[32];

static void note(void *letter) { strncat(order, letter, 1); }
static void start(void) { order[0] = '\0'; }

/* ---- plain ---- */

static void panics(void *n) { socle_panic("number %d of %s", *(int *)n, "many"); }
static void returns(void *n) { ++*(int *)n; }

static void test_plain(void)
{
	struct socle_panic p = {0};
	int n = 7;

	CHECK(socle_try(returns, &n, &p) == 0 && n == 8 && p.message[0] == '\0');
	CHECK(socle_try(panics, &n, &p) == -1);
	CHECK(strcmp(p.message, "number 8 of many") == 0 && p.kind == SOCLE_PANIC_RAISED);
	CHECK(strcmp(p.function, "panics") == 0);
	CHECK(socle_try(panics, &n, NULL) == -1);
	CHECK(getg()->try == NULL && getg()->cleanups == NULL && getg()->crossings == NULL);
}

/* ---- cleanups: order, pop, nested tries, panics in cleanups ---- */

static void inner(void *arg)
{
	struct socle_cleanup d;

	(void)arg;
	socle_cleanup_push(&d, note, "d");
	socle_panic("inner");
}

static void panics_again(void *letter)
{
	note(letter);
	socle_panic("again");
}

static void outer(void *arg)
{
	struct socle_cleanup a, b, c;
	struct socle_panic p;

	(void)arg;
	socle_cleanup_push(&a, note, "a");
	socle_cleanup_push(&b, note, "b");
	socle_cleanup_pop(&b, 0);
	socle_cleanup_push(&b, note, "B");
	socle_cleanup_pop(&b, 1);
	CHECK(socle_try(inner, NULL, &p) == -1 && strcmp(p.message, "inner") == 0);
	socle_cleanup_push(&b, panics_again, "e");
	socle_cleanup_push(&c, note, "c");
	socle_panic("outer");
}

static void test_cleanups(void)
{
	struct socle_panic p;

	start();
	CHECK(socle_try(outer, NULL, &p) == -1);
	CHECK(strcmp(order, "Bdcea") == 0);
	CHECK(strcmp(p.message, "again") == 0);
	CHECK(getg()->cleanups == NULL && getg()->try == NULL);
}

/* What a cleanup catches by itself is no news to others. */
static void catches(void *n) { CHECK(socle_try(panics, n, NULL) == -1); }

static void panics_over(void *n)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, catches, n);
	socle_panic("first");
}

static void test_caught_in_cleanup(void)
{
	struct socle_panic p;
	int n = 1;

	CHECK(socle_try(panics_over, &n, &p) == -1 && strcmp(p.message, "first") == 0);
}

static void tries_and_exits(void *arg)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, "x");
	socle_try((socle_fn)socle_exit, arg, NULL);
	note("!");
}

/* The panic of a cleanup does not end an exit: neither the try inside of which both are, nor one further out. */
static void exits_by_panic(void *letter)
{
	struct socle_cleanup a, b;

	socle_cleanup_push(&a, note, letter);
	socle_cleanup_push(&b, panics_again, "p");
	socle_exit();
}

static void exits_in_tries(void *letter)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, panics_again, "q");
	socle_try(exits_by_panic, letter, NULL);
	note("!");
}

static void exits_in_more_tries(void *unused)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, "z");
	socle_try(exits_in_tries, "y", unused);
	note("!");
}

static void exits_through_try(void *unused)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, panics_again, "q");
	socle_try((socle_fn)socle_exit, unused, NULL);
	note("!");
}

static void exits_through_tries(void *unused)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, "z");
	socle_try(exits_through_try, unused, NULL);
	note("!");
}

static void exits_in_cleanup(void *unused)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, exits_in_more_tries, unused);
	socle_panic("an exit takes its place");
}

static void tries_that(void *unused)
{
	socle_try(exits_in_cleanup, unused, NULL);
	note("!");
}

/* The callback is left by the panic anyway. */
static void exits(void *unused) { (void)unused, socle_exit(); }

static void panics_in_callback(void *cleanup)
{
	struct call call = {.fn = panics_again, .arg = "i"};
	struct socle_cleanup a;

	socle_cleanup_push(&a, (socle_fn)cleanup, NULL);
	socle_foreign_call(call_back, &call);
	note("!");
}

static void exits_from(socle_fn fn, socle_fn cleanup)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, "z");
	socle_try(fn, (void *)cleanup, NULL);
	note("!");
}

static void exits_out_of_callback(void *unused) { (void)unused, exits_from(panics_in_callback, exits); }

/* Also when that is under way. */
static void exits_over(void *cleanup)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, (socle_fn)cleanup, NULL);
	panics_in_callback((void *)exits);
}

static void exits_twice_out_of_callback(void *unused) { (void)unused, exits_from(exits_over, exits); }

/* But one of the cleanup's own is not. */
static void exits_in_callback(void *unused)
{
	struct call call = {.fn = exits, .arg = unused};

	socle_foreign_call(call_back, &call);
}

/* Nor is what holds a lock of the C library. */
void __malloc_lock(struct _reent *unused);

static void exits_with_lock(void)
{
	__malloc_lock(NULL);
	socle_exit();
}

static const char *order_of(socle_fn fn)
{
	start();
	socle_go(fn, NULL);
	wait_for_others();
	return order;
}

static void test_exit(void)
{
	CHECK(strcmp(order_of(tries_and_exits), "x") == 0);
	CHECK(strcmp(order_of(exits_in_more_tries), "pyqz") == 0);
	CHECK(strcmp(order_of(exits_through_tries), "qz") == 0);
	CHECK(strcmp(order_of(tries_that), "pyqz") == 0);
	CHECK(strcmp(order_of(exits_out_of_callback), "iz") == 0);
	CHECK(strcmp(order_of(exits_twice_out_of_callback), "iz") == 0);
}

/* ---- callee-saved registers come back ---- */

static void test_registers(void)
{
	double x = 1.5, y = 2.5, z = 3.5;
	long a = 1, b = 2, c = 3;
	int n = 0;

	__asm__ volatile("" : "+m"(x), "+m"(y), "+m"(z), "+r"(a), "+r"(b), "+r"(c));
	for (int i = 0; i < 100; i++)
		if (socle_try(panics, &n, NULL) < 0)
			c += a + b;
	CHECK(a == 1 && b == 2 && c == 303 && x + y * z == 1.5 + 2.5 * 3.5);
}

/* ---- overflow ---- */

static int __attribute__((noinline)) recurse(volatile int *above)
{
	volatile int here[16];

	here[0] = *above + 1;
	return here[0] < 0 ? 0 : recurse(here) + here[0];
}

static void recurses(void *arg)
{
	volatile int zero = 0;

	(void)arg;
	recurse(&zero);
}

#define FRAME(bytes)                                                   \
	static __attribute__((noinline)) void frame_##bytes(void *arg) \
	{                                                              \
		volatile char frame[bytes];                            \
		(void)arg;                                             \
		__asm__ volatile("" : : "r"(frame) : "memory");        \
		frame[0] = 1;                                          \
	}
FRAME(8192)
FRAME(80192)
FRAME(1048576)

/* Cleanups have room to work in, though the stack was full, also after they have caught a panic of their own. */
static void panics_alone(void *unused) { socle_panic("in a cleanup%s", (char *)unused); }

static void formats(void *text)
{
	if (socle_try(panics_alone, "", NULL) == -1)
		snprintf(text, 64, "%.3f", 2.5);
}

static char formatted[64];

static void recurses_with_cleanup(void *arg)
{
	struct socle_cleanup c;

	socle_cleanup_push(&c, formats, formatted);
	recurses(arg);
}

static size_t used;
static __attribute__((noinline)) void use(size_t bytes)
{
	volatile char frame[256];

	__asm__ volatile("" : : "r"(frame) : "memory");
	used += 256;
	if (bytes > 512)
		use(bytes - 512);
	__asm__ volatile("" : : "r"(frame) : "memory");
}

/* Whether frames all the way down to that address are good. */
static __attribute__((noinline)) bool use_to(uintptr_t lowest)
{
	volatile char frame[128];
	bool deeper;

	frame[0] = 1;
	deeper = (uintptr_t)frame < lowest || use_to(lowest);
	return deeper && frame[0] == 1;
}

/* Overflows of cleanups: of a panic for which the stack was extended, or not; caught in there, or with the panic. */
static void overflows_and_catches(void *unused)
{
	CHECK(socle_try(recurses, unused, NULL) == -1);
	CHECK(socle_try(recurse_unchecked, unused, NULL) == -1);
	note("o");
}

static void overflows_with_cleanups(void *unused)
{
	for (int i = 0; i < 3; i++)
		CHECK(socle_try(recurses_with_cleanup, unused, NULL) == -1);
	note("o");
}

static const struct overflowing {
	socle_fn cleanup, panic;
	const char *order;
	enum socle_panic_kind kind;
} overflowing[] = {
	{overflows_and_catches, read_null, "on", SOCLE_PANIC_MEMORY},
	{overflows_with_cleanups, read_null, "on", SOCLE_PANIC_MEMORY},
	{overflows_with_cleanups, panics_alone, "on", SOCLE_PANIC_RAISED},
	{overflows_and_catches, recurses, "on", SOCLE_PANIC_OVERFLOW},
	{overflows_and_catches, recurse_unchecked, "on", SOCLE_PANIC_OVERFLOW},
	{recurses, panics_alone, "n", SOCLE_PANIC_OVERFLOW},
	{recurses, recurses, "n", SOCLE_PANIC_OVERFLOW},
	{recurse_unchecked, recurses, "n", SOCLE_PANIC_OVERFLOW},
};

static void overflows_in_cleanup(void *arg)
{
	const struct overflowing *o = arg;
	struct socle_cleanup a, b;

	socle_cleanup_push(&a, note, "n");
	socle_cleanup_push(&b, o->cleanup, NULL);
	o->panic(NULL);
}

static void test_overflow_in_cleanup(void)
{
	struct socle_panic p = {0};

	for (size_t i = 0; i < sizeof overflowing / sizeof *overflowing; i++) {
		const struct overflowing *o = &overflowing[i];

		start();
		CHECK(socle_try(overflows_in_cleanup, (void *)o, &p) == -1 && p.kind == o->kind);
		CHECK(strcmp(order, o->order) == 0 && getg()->lo == getg()->stack->lo);
	}
}

/* How many of 8 things are right. */
static int overflows(void)
{
	struct socle_panic p = {0};
	struct g *g = getg();
	uintptr_t lo = g->lo, guard = g->tcb.stack_limit;
	int right = 0;

	right += socle_try(recurses, NULL, &p) == -1 && p.kind == SOCLE_PANIC_OVERFLOW &&
		 strcmp(p.function, "recurse") == 0 && p.frame > 0 && p.frame < 200;
	right += socle_try(frame_8192, NULL, &p) == -1 && strcmp(p.function, "frame_8192") == 0 && p.frame >= 8192;
	right += socle_try(frame_80192, NULL, &p) == -1 && strcmp(p.function, "frame_80192") == 0 && p.frame >= 80192;
	right += socle_try(frame_1048576, NULL, &p) == -1 && strcmp(p.function, "frame_1048576") == 0;
	right += socle_try(recurse_unchecked, NULL, &p) == -1 && p.kind == SOCLE_PANIC_OVERFLOW;
	formatted[0] = '\0';
	right += socle_try(recurses_with_cleanup, NULL, &p) == -1 && strcmp(formatted, "2.500") == 0;
	right += g->lo == lo && g->tcb.stack_limit == guard;
	right += use_to(guard + 512); /* the stack is of use again, to its end */
	return right;
}

struct rounds {
	int rounds, right;
	long lost; /* frames of memory, from the end of the first round on */
};

static void many_overflows(void *arg)
{
	struct rounds *r = arg;
	size_t frames;

	r->right = overflows() == 8;
	frames = vm_frames_free();
	for (int i = 1; i < r->rounds; i++)
		r->right += overflows() == 8;
	r->lost = (long)(frames - vm_frames_free());
}

/* Six overflows each. */
static void test_rounds(int rounds)
{
	static const struct socle_go_attr small = {.name = "small", .stack_size = 8192};
	struct rounds r = {.rounds = rounds};

	CHECK(socle_go_attr(&small, many_overflows, &r) == 0);
	wait_for_others();
	CHECK(r.right == rounds);
	CHECK(one_cpu() ? r.lost == 0
			: r.lost < 8); /* another CPU may free a stack just now, or main's may have grown */
}

static void test_overflow(void)
{
	size_t size = getg()->hi - getg()->lo; /* that some of the frames fit */

	CHECK(overflows() == 8 - (size > 8192) - (size > 128 << 10));
	test_rounds(20);
}

/* ---- traps in a goroutine ---- */

/* Volatile: 1 / x takes the compiler no division. */
static volatile int zero, ten = 10, quotient = 6;
static volatile unsigned unsigned_zero, unsigned_ten = 10;
static volatile long long wide_zero, wide_ten = 10;

static void divides(void *unused)
{
	(void)unused;
	quotient = ten / zero;
}

static void divides_unsigned(void *unused)
{
	(void)unused;
	quotient = (int)(unsigned_ten / unsigned_zero);
}

static void takes_remainder(void *unused)
{
	(void)unused;
	quotient = ten % zero;
}

static void takes_unsigned_remainder(void *unused)
{
	(void)unused;
	quotient = (int)(unsigned_ten % unsigned_zero);
}

static void divides_wide(void *unused)
{
	(void)unused;
	quotient = (int)(wide_ten / wide_zero);
}

static void check_division(socle_fn divide, const char *name)
{
	struct socle_panic p = {0};

	CHECK(socle_try(divide, NULL, &p) == -1 && p.kind == SOCLE_PANIC_DIVIDE && strcmp(p.function, name) == 0 &&
	      quotient == 6);
}

static void test_divisions(void)
{
	volatile int minus_seven = -7, two = 2;
	volatile unsigned big = 4000000000u, three = 3;

	check_division(divides, "divides");
	check_division(divides_unsigned, "divides_unsigned");
	check_division(takes_remainder, "takes_remainder");
	check_division(takes_unsigned_remainder, "takes_unsigned_remainder");
#ifdef __i386__
	CHECK(socle_try(divides_wide, NULL, NULL) == -1); /* in libgcc's division */
#else
	check_division(divides_wide, "divides_wide");
#endif
	CHECK(minus_seven / two == -3 && minus_seven % two == -1 && big / three == 1333333333u && big % three == 1);
}

static void undefined(void *arg)
{
	(void)arg;
#ifdef __arm__
	__asm__ volatile("udf #0");
#else
	__asm__ volatile("ud2");
#endif
}

static void nowhere(void *arg)
{
	void (*volatile fn)(void) = (void (*)(void))16;

	(void)arg;
	fn();
}

/* SP is 0 then. */
static void jumps_wild(void *unused)
{
	jmp_buf nowhere = {0};

	(void)unused;
	longjmp(nowhere, 1);
}

static void jumps_wild_with_cleanup(void *letter)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, letter);
	jumps_wild(letter);
}

/* A guard that SP is nowhere near is as any address where nothing is. */
static void reads_guard(void *unused)
{
	(void)unused;
	(void)*(volatile char *)(getg()->lo - 8);
}

/* On 64 bits no page can be there: the processor says so in another way. */
static void reads_where_nothing_can_be(void *unused)
{
	(void)unused;
	(void)*(volatile char *)(sizeof(long) == 8 ? (uintptr_t)1 << (8 * sizeof(long) - 17) : ~(uintptr_t)15);
}

/* ---- NULL for what must not be, in functions of Socle's ---- */

static void waits_sem(void *null) { socle_sem_wait(null); }
static void inits_sem(void *null) { socle_sem_init(null, 1); }
static void locks_shared(void *null) { socle_rwlock_rdlock(null); }
static void adds(void *null) { socle_waitgroup_add(null, 1); }
static void signals(void *null) { socle_cond_signal(null); }
static void does_once(void *null) { socle_once(null, note, "1"); }
static void pushes(void *null) { socle_cleanup_push(null, note, "1"); }
static void locks(void *null) { socle_mutex_lock(null); }
static void queries(void *null) { socle_stack_query(null, null); }

static void sends_nothing_of(size_t size, void *null)
{
	socle_chan *c = socle_chan_make(size, 1);
	struct socle_cleanup cleanup;

	socle_cleanup_push(&cleanup, (socle_fn)socle_chan_free, c);
	socle_chan_send(c, null);
}

static void sends_no_word(void *null) { sends_nothing_of(sizeof(long), null); }
static void sends_no_structure(void *null) { sends_nothing_of(24, null); }

static const socle_fn given_null[] = {waits_sem, inits_sem, locks_shared, adds,		 signals,	    does_once,
				      pushes,	 locks,	    queries,	  sends_no_word, sends_no_structure};

static void test_null(void)
{
	struct socle_panic p;

	for (size_t i = 0; i < sizeof given_null / sizeof *given_null; i++)
		CHECK(socle_try(given_null[i], NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY &&
		      p.address < PAGE_SIZE);
	CHECK(socle_foreign_call(queries, NULL) == -1 && errno == EFAULT);
	CHECK(getg()->locks == 0 && getg()->m->g0.locks == 0);
}

static void test_traps(void)
{
	struct socle_panic p;

	start();
	CHECK(socle_try(jumps_wild, NULL, &p) == -1);
	CHECK(socle_try(jumps_wild_with_cleanup, "w", &p) == -1 && strcmp(order, "w") == 0);
	CHECK(socle_try(read_null, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY && p.address == 8);
	CHECK(strcmp(p.function, "read_null") == 0);
	CHECK(socle_try(undefined, NULL, &p) == -1 && p.kind == SOCLE_PANIC_ILLEGAL);
	CHECK(strcmp(p.function, "undefined") == 0);
	CHECK(socle_try(nowhere, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY && p.address == 16);
	CHECK(socle_try(reads_guard, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY);
	CHECK(socle_foreign_call(read_guard, (void *)getg()->m->g0.lo) == -1 && errno == EFAULT);
	CHECK(socle_try(reads_where_nothing_can_be, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY);
}

/* ---- through foreign frames ---- */

static void calls(void *call)
{
	CHECK(socle_foreign_call(call_back, call) == 0);
	note("?");
}

static void tries_inside(void *arg)
{
	struct socle_panic p;

	CHECK(socle_try(panics, arg, &p) == -1);
	note("i");
}

static void deep_inside(void *arg)
{
	struct call c = {.fn = panics, .arg = arg};

	calls(&c);
}

static void on_own_stack(void *call)
{
	struct socle_foreign_attr attr = {.stack_size = 1 << 20};

	socle_foreign_call_attr(&attr, call_back, call);
}

static void yields_and_panics(void *arg)
{
	socle_yield();
	panics(arg);
}

static void calls_back_null(void *call)
{
	((struct call *)call)->fn = NULL;
	calls(call);
}

static void calls_back_null_on_own_stack(void *call)
{
	((struct call *)call)->fn = NULL;
	on_own_stack(call);
}

static void call_panic_itself(void *arg) { socle_foreign_call(panic_itself, arg); }

static void test_foreign(void)
{
	struct m *m = getg()->m;
	struct g *g0 = &m->g0;
	void *g0_sp = g0->tcb.sp;
	uintptr_t lo = g0->lo, hi = g0->hi, guard = g0->tcb.stack_limit;
	struct socle_panic p;
	int n = 1;
	struct call c = {.fn = panics, .arg = &n}, caught = {.fn = tries_inside, .arg = &n},
		    deep = {.fn = deep_inside, .arg = &n}, blocks = {.fn = yields_and_panics, .arg = &n};

	start();
	CHECK(socle_try(calls, &c, &p) == -1 && strcmp(p.message, "number 1 of many") == 0 && !c.returned);
	calls(&caught);
	CHECK(caught.returned && strcmp(order, "i?") == 0);
	CHECK(socle_try(calls, &deep, NULL) == -1 && !deep.returned);
	CHECK(socle_try(calls, &blocks, NULL) == -1 && !blocks.returned);
	CHECK(socle_try(on_own_stack, &deep, NULL) == -1);
	CHECK(socle_try(call_panic_itself, NULL, NULL) == -1);
	CHECK(socle_try(calls_back_null, &c, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY && p.address == 0);
	CHECK(socle_try(calls_back_null_on_own_stack, &c, &p) == -1 && p.pc == 0);
	g0 = &getg()->m->g0;
	if (getg()->m == m)
		CHECK(g0->tcb.sp == g0_sp && g0->lo == lo && g0->hi == hi && g0->tcb.stack_limit == guard);
	else
		CHECK(g0->tcb.sp == (void *)g0->hi);
	CHECK(getg()->callbacks == 0 && getg()->locked_m == NULL && getg()->crossings == NULL);
}

static void test_many_foreign(void)
{
	struct g *g0 = &getg()->m->g0;
	void *g0_sp = g0->tcb.sp, *sp = getg()->tcb.sp;
	int n = 1, right = 0;
	struct call c = {.fn = deep_inside, .arg = &n};

	for (int i = 0; i < 100000; i++)
		right += socle_try(i % 4 ? calls : call_panic_itself, &c, NULL) == -1;
	CHECK(right == 100000);
	CHECK(g0->tcb.sp == g0_sp && getg()->tcb.sp == sp);
}

/* ---- At the end of the stack ---- */

static size_t distance;
static bool cleaned;

static void cleans(void *unused)
{
	(void)unused;
	cleaned = true;
}

static void exits_there(void *unused)
{
	(void)unused;
	socle_exit();
}

static __attribute__((noinline)) void at_edge(void *fn)
{
	volatile char taken[(uintptr_t)__builtin_frame_address(0) - getg()->tcb.stack_limit - distance];

	taken[0] = 0;
	((socle_fn)fn)(NULL);
	taken[1] = 0;
}

static void with_cleanup(void *fn)
{
	struct socle_cleanup c;

	socle_cleanup_push(&c, cleans, NULL);
	at_edge(fn);
	socle_cleanup_pop(&c, 0);
}

static void tries_with_cleanup(void *fn) { socle_try(with_cleanup, fn, NULL); }

/* However little of the stack is left, a cleanup runs: and then, or instead, who panicked or overflowed is left. */
static void test_cleanup_at_edge(void)
{
	struct g *g = getg();
	int lost = 0, caught = 0;

	for (distance = 0; distance < 1600; distance += 8) {
		cleaned = false;
		caught += socle_try(with_cleanup, (void *)panic_itself, NULL) == -1;
		lost += !cleaned;
	}
	CHECK(caught == 200 && lost == 0 && g->lo == g->stack->lo);
	for (distance = 0; distance < 1600; distance += 8) {
		cleaned = false;
		lost += socle_go(tries_with_cleanup, (void *)exits_there) != 0;
		wait_for_others();
		lost += !cleaned;
	}
	CHECK(lost == 0);
}

static SOCLE_UNCHECKED void reads_null(void *null) { (void)*(volatile int *)null; }
static SOCLE_UNCHECKED void is_undefined(void *unused) { (void)unused, __builtin_trap(); }

/* What it was is told, and not that there was hardly room to raise it. */
static void test_traps_at_edge(void)
{
	struct socle_panic p;
	int right = 0;

	CHECK(socle_try(recurses, NULL, &p) == -1 && p.frame > 0); /* which the next ones are not to have */
	for (distance = 32; distance < 1632; distance += 8) {
		cleaned = false;
		right += socle_try(with_cleanup, (void *)reads_null, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY &&
			 cleaned;
		cleaned = false;
		right += socle_try(with_cleanup, (void *)is_undefined, &p) == -1 && p.kind == SOCLE_PANIC_ILLEGAL &&
			 cleaned;
		right += p.frame == 0 && getg()->lo == getg()->stack->lo;
	}
	CHECK(right == 600);
}

/* ---- trim ---- */

static struct g *user;

static void uses_and_waits(void *gate)
{
	used = 0;
	use(40000);
	user = getg();
	socle_chan_recv(gate, NULL);
}

static void test_trim(void)
{
	socle_chan *gate = socle_chan_make(0, 0);
	size_t free;

	user = NULL;
	socle_go(uses_and_waits, gate);
	while (!is_waiting(__atomic_load_n(&user, __ATOMIC_ACQUIRE)))
		let_others_run();
	free = vm_frames_free();
	CHECK(socle_stack_trim() >= 16384);
	CHECK(vm_frames_free() >= free + 4);
	CHECK(SOON(socle_stack_trim() == 0)); /* another CPU may be about to free a stack */
	socle_chan_close(gate);
	wait_for_others();
	socle_chan_free(gate);
}

static void all(void)
{
	test_plain();
	test_cleanups();
	test_caught_in_cleanup();
	test_exit();
	test_registers();
	test_overflow();
	test_overflow_in_cleanup();
	test_traps();
	test_null();
	test_divisions();
	test_foreign();
	test_cleanup_at_edge();
	test_traps_at_edge();
	test_trim();
}

int main(int argc, char **argv)
{
	int n = 3;

	if (argc > 1 && strcmp(argv[1], "uncaught") == 0)
		panics(&n);
	if (argc > 1 && strcmp(argv[1], "exit") == 0)
		exits_from(panics_in_callback, exits_in_callback);
	if (argc > 1 && strcmp(argv[1], "exit-twice") == 0)
		exits_from(exits_over, exits_in_callback);
	if (argc > 1 && strcmp(argv[1], "exit-locked") == 0)
		exits_with_lock();
	if (argc > 1 && strcmp(argv[1], "foreign") == 0)
		socle_foreign_call(panic_itself, NULL);
	repeatedly(all);
	test_rounds(10000 / 6 + 1);
	test_many_foreign();
	return finish();
}
