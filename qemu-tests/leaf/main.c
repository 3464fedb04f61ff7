/* Foreign calls without callbacks: cheaper, and otherwise like any other. */
#include <errno.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

static const struct socle_foreign_attr leaf = {.flags = SOCLE_NOCALLBACK};

static bool on_this_g0(uintptr_t address)
{
	const struct g *g0 = &getg()->m->g0;

	return address >= g0->lo && address < g0->hi;
}

static void test_call(void)
{
	struct socle_foreign_attr own = {.flags = SOCLE_NOCALLBACK, .stack_size = 1 << 20};
	struct socle_stack_info info;
	uintptr_t address = 0;
	int n = 0;

	for (int i = 0; i < 1000; i++)
		n += socle_foreign_call_attr(&leaf, add_one, &n) != 0;
	CHECK(n == 1000);
	CHECK(socle_foreign_call_attr(&leaf, stack_address, &address) == 0 && on_this_g0(address));
	CHECK(socle_foreign_call_attr(&own, stack_address, &address) == 0 && !on_this_g0(address));
	CHECK(socle_stack_query((const void *)getg()->tcb.stack_limit, &info) == 0 && info.id == socle_id());
	CHECK(getg()->call_ended == 0 && getg()->crossings == NULL);
}

/* Checked code is no foreign code, but nobody is harmed if it is called as such. */
static __attribute__((noinline)) void uses_stack(void *n)
{
	volatile char frame[8000];

	frame[0] = 1;
	*(int *)n += frame[0];
}

static void test_checked(void)
{
	int n = 0;

	CHECK(socle_foreign_call_attr(&leaf, uses_stack, &n) == 0 && n == 1);
}

/* ---- Faults ---- */

static int fail(socle_fn fn, void *arg, struct socle_fault *fault, size_t stack_size)
{
	struct socle_foreign_attr attr = {.flags = SOCLE_NOCALLBACK, .fault = fault, .stack_size = stack_size};

	errno = 0;
	return socle_foreign_call_attr(&attr, fn, arg) == -1 ? errno : 0;
}

static void test_faults(void)
{
	struct socle_fault fault = {0};
	volatile long double one_and_a_half = 1.5L;
	struct m *m = getg()->m;
	void *g0_sp = m->g0.tcb.sp;
	int right = 0;

	CHECK(fail(trash_and_fail, NULL, &fault, 0) == EFAULT);
	CHECK(fault.address == 8 && strcmp(fault.function, "trash_and_fail") == 0 && fault.stack_hi == m->g0.hi);
	CHECK(fail(recurse, NULL, &fault, 0) == EOVERFLOW && strcmp(fault.function, "deeper") == 0);
	CHECK(fail(recurse, NULL, &fault, 128 << 10) == EOVERFLOW && fault.stack_hi - fault.stack_lo > 100 << 10);
	CHECK(fail(divide, NULL, &fault, 0) == EFAULT && strcmp(fault.function, "divide") == 0);
	CHECK(fail(NULL, NULL, NULL, 0) == EFAULT);
	for (int i = 0; i < 10000; i++)
		right += socle_foreign_call_attr(&leaf, trash_and_fail, NULL) == -1 && errno == EFAULT;
	CHECK(right == 10000);
	CHECK(one_and_a_half * 2 == 3); /* each of them left a number in the x87 */
	CHECK(getg()->call_ended == 0 && getg()->crossings == NULL && m == getg()->m && m->g0.tcb.sp == g0_sp);
}

/* ---- A long one stops nobody ---- */

static volatile bool stop;

static void stop_it(void *unused)
{
	for (int i = 0; i < 3; i++)
		socle_yield();
	(void)unused;
	stop = true;
}

static void test_turns(void)
{
	int64_t before = socle_now();

	stop = false;
	socle_go(stop_it, NULL);
	CHECK(socle_foreign_call_attr(&leaf, spin_until, (void *)&stop) == 0 && stop);
	CHECK(getg()->m->p == this_p() && getg()->call_ended == 0);
	stop = false;
	socle_go(stop_it, NULL);
	CHECK(fail(spin_and_fail, (void *)&stop, NULL, 0) == EFAULT && stop);
	CHECK(getg()->m->p == this_p() && getg()->call_ended == 0 && getg()->locked_m == NULL);
	stop = false;
	socle_go(stop_it, NULL);
	CHECK(fail(spin_until, (void *)&stop, NULL, 128 << 10) == 0 && stop);
	CHECK(socle_now() - before < 900000000);
	wait_for_others();
}

/* ---- Inside callbacks, and what is refused ---- */

static void calls_leaf(void *n)
{
	CHECK(socle_foreign_call_attr(&leaf, add_one, n) == 0);
	CHECK(fail(trash_and_fail, NULL, NULL, 0) == EFAULT);
	CHECK(socle_foreign_call_attr(&leaf, add_one, n) == 0);
}

static void in_foreign_code(void *n) { socle_callback(calls_leaf, n); }

static void test_nested(void)
{
	struct socle_foreign_attr wrong = {.flags = 4};
	int n = 0;

	CHECK(socle_foreign_call(in_foreign_code, &n) == 0 && n == 2);
	CHECK(socle_foreign_call(nests, &n) == 0 && n == EPERM);
	CHECK(socle_foreign_call_attr(&leaf, nests, &n) == 0 && n == EPERM);
	CHECK(socle_foreign_call_attr(&wrong, add_one, &n) == -1 && errno == EINVAL);
}

static void all(void)
{
	test_call();
	test_checked();
	test_faults();
	test_turns();
	test_nested();
}

static void nothing(void *unused) { (void)unused; }

static void try_panics(void *unused)
{
	(void)unused;
	socle_foreign_call_attr(&leaf, panics, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "callback") == 0)
		socle_foreign_call_attr(&leaf, calls_back, (void *)nothing);
	else if (argc > 1)
		socle_try(try_panics, NULL, NULL);
	else
		repeatedly(all);
	return finish();
}
