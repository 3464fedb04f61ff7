/*
 * Panics: caught, with their cleanups, through foreign frames, and out of every kind of overflow; each many times, and
 * nothing is missing afterwards.
 */
#include <errno.h>
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

static void tries_and_exits(void *arg)
{
	struct socle_cleanup a;

	socle_cleanup_push(&a, note, "x");
	socle_try((socle_fn)socle_exit, arg, NULL);
	note("!");
}

static void test_exit(void)
{
	start();
	socle_go(tries_and_exits, NULL);
	wait_for_others();
	CHECK(strcmp(order, "x") == 0);
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
	size_t lost; /* frames of memory, from the end of the first round on */
};

static void many_overflows(void *arg)
{
	struct rounds *r = arg;
	size_t frames;

	r->right = overflows() == 8;
	frames = vm_frames_free();
	for (int i = 1; i < r->rounds; i++)
		r->right += overflows() == 8;
	r->lost = frames - vm_frames_free();
}

/* Six overflows each. */
static void test_rounds(int rounds)
{
	static const struct socle_go_attr small = {.name = "small", .stack_size = 8192};
	struct rounds r = {.rounds = rounds};

	CHECK(socle_go_attr(&small, many_overflows, &r) == 0);
	wait_for_others();
	CHECK(r.right == rounds && r.lost == 0);
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

static void test_traps(void)
{
	struct socle_panic p;

	CHECK(socle_try(read_null, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY && p.address == 8);
	CHECK(strcmp(p.function, "read_null") == 0);
	CHECK(socle_try(undefined, NULL, &p) == -1 && p.kind == SOCLE_PANIC_ILLEGAL);
	CHECK(strcmp(p.function, "undefined") == 0);
	CHECK(socle_try(nowhere, NULL, &p) == -1 && p.kind == SOCLE_PANIC_MEMORY && p.address == 16);
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

/* ---- trim ---- */

static void uses_and_waits(void *gate)
{
	used = 0;
	use(40000);
	socle_chan_recv(gate, NULL);
}

static void test_trim(void)
{
	socle_chan *gate = socle_chan_make(0, 0);
	size_t free;

	socle_go(uses_and_waits, gate);
	socle_sleep(5000000); /* until it waits, whatever its turns */
	free = vm_frames_free();
	CHECK(socle_stack_trim() >= 16384);
	CHECK(vm_frames_free() >= free + 4);
	CHECK(socle_stack_trim() == 0);
	socle_chan_close(gate);
	wait_for_others();
	socle_chan_free(gate);
}

static void all(void)
{
	test_plain();
	test_cleanups();
	test_exit();
	test_registers();
	test_overflow();
	test_traps();
	test_divisions();
	test_foreign();
	test_trim();
}

int main(int argc, char **argv)
{
	int n = 3;

	if (argc > 1 && strcmp(argv[1], "uncaught") == 0)
		panics(&n);
	if (argc > 1 && strcmp(argv[1], "foreign") == 0)
		socle_foreign_call(panic_itself, NULL);
	repeatedly(all);
	test_rounds(10000 / 6 + 1);
	test_many_foreign();
	return finish();
}
