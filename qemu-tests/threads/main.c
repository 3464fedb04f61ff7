/*
 * A foreign routine that computes for long stops nobody: a tick takes its p, another m runs the others, and the threads
 * share the CPU. Its own goroutine gets a p back when it returns, calls back, fails or panics.
 */
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define MS 1000000ll
#define TICKS_LATE (20 * MS) /* two */

static volatile bool stop;

static void stop_it(void *unused)
{
	(void)unused;
	stop = true;
}

/* ---- a flag that another goroutine sets ---- */

static void test_flag(void)
{
	struct spin s = {.stop = &stop, .limit = 10000 * MS};
	struct m *m = getg()->m;
	void *g0_sp = m->g0.tcb.sp;

	stop = false;
	CHECK(socle_go(stop_it, NULL) == 0);
	CHECK(socle_foreign_call(spin, &s) == 0);
	CHECK(!s.gave_up && (s.rounds > 0 || !one_cpu()));
	CHECK(holds_p() && getg()->call_ended == 0 && getg()->locked_m == NULL);
	CHECK(!one_cpu() || (getg()->m == m && m->g0.tcb.sp == g0_sp));
	wait_for_others();
}

/* ---- a sleeper ---- */

static int64_t latest;
static int sleeps;

static void sleeper(void *unused)
{
	(void)unused;
	for (int i = 0; i < 10; i++) {
		int64_t due = socle_now() + 10 * MS, late;

		socle_sleep(10 * MS);
		late = socle_now() - due;
		latest = late > latest ? late : latest;
		sleeps++;
	}
	stop = true;
}

static void test_sleeper(void)
{
	struct spin s = {.stop = &stop, .limit = 10000 * MS};

	stop = false;
	latest = sleeps = 0;
	socle_go(sleeper, NULL);
	CHECK(socle_foreign_call(spin, &s) == 0);
	CHECK(!s.gave_up && sleeps == 10);
	CHECK(latest < TICKS_LATE || !one_cpu()); /* the host has fewer CPUs than they are */
	wait_for_others();
}

/* ---- several at once, and goroutines that loop beside them ---- */

enum { SPINNERS = 4 };
static struct spin spins[SPINNERS];
static volatile unsigned long loops[2], switches[2];

static void spinner(void *arg)
{
	struct socle_foreign_attr attr = {.stack_size = arg == &spins[1] ? 128 << 10 : 0};

	CHECK(socle_foreign_call_attr(&attr, spin, arg) == 0);
}

static void loop(void *n)
{
	while (!stop)
		++*(volatile unsigned long *)n;
}

/* Never outside the runtime for long. */
static void switches_always(void *n)
{
	while (!stop) {
		++*(volatile unsigned long *)n;
		socle_yield();
	}
}

static unsigned long least_rounds(void)
{
	unsigned long least = spins[0].rounds;

	for (int i = 1; i < SPINNERS; i++)
		least = spins[i].rounds < least ? spins[i].rounds : least;
	return least;
}

static void test_share(void (*beside)(void *), volatile unsigned long *count)
{
	int right = 0;

	stop = false;
	count[0] = count[1] = 0;
	for (int i = 0; i < SPINNERS; i++) {
		spins[i] = (struct spin){.stop = &stop, .limit = 5000 * MS};
		socle_go(spinner, &spins[i]);
	}
	if (beside != NULL) {
		socle_go(beside, (void *)&count[0]);
		socle_go(beside, (void *)&count[1]);
	}
	socle_sleep(70 * MS);
	CHECK(SOON(least_rounds() > 0 && (beside == NULL || (count[0] > 0 && count[1] > 0))));
	stop = true;
	wait_for_others();
	for (int i = 0; i < SPINNERS; i++)
		right += !spins[i].gave_up;
	CHECK(right == SPINNERS);
}

/* ---- callbacks that must line up for a p ---- */

static atomic_int in_callback, wrong;

static void blocks_shortly(void *arg)
{
	volatile const void *local = arg;

	wrong += !holds_p();
	in_callback++;
	socle_sleep(MS);
	in_callback--;
	wrong += local != arg;
}

static void test_callbacks(void)
{
	int calls = 0, errors = 0;

	stop = false;
	for (int i = 0; i < SPINNERS; i++) {
		spins[i] = (struct spin){.stop = &stop, .limit = 5000 * MS, .callback = blocks_shortly};
		socle_go(spinner, &spins[i]);
	}
	socle_go(loop, (void *)&loops[0]);
	for (int i = 0; i < SPINNERS; i++)
		while (spins[i].calls < 2)
			socle_sleep(MS);
	stop = true;
	wait_for_others();
	for (int i = 0; i < SPINNERS; i++) {
		calls += spins[i].calls;
		errors += spins[i].errors + spins[i].gave_up;
	}
	CHECK(calls >= 2 * SPINNERS && errors == 0 && in_callback == 0 && wrong == 0);
}

/* ---- a routine that fails, or panics, while the p is away ---- */

static void stop_after_others(void *unused)
{
	for (int i = 0; i < 5; i++)
		socle_yield();
	stop_it(unused);
}

static void panics(void *arg) { socle_foreign_call(spin_and_panic, arg); }

static void test_end_without_p(void)
{
	struct spin s = {.stop = &stop, .limit = 10000 * MS};
	struct socle_fault fault = {0};
	struct socle_foreign_attr attr = {.fault = &fault, .stack_size = 128 << 10};
	struct socle_panic panic;
	void *g0_sp = getg()->m->g0.tcb.sp;

	stop = false;
	socle_go(stop_after_others, NULL);
	CHECK(socle_foreign_call_attr(&attr, spin_and_fail, &s) == -1 && errno == EFAULT);
	CHECK(fault.address == 8 && strcmp(fault.function, "spin_and_fail") == 0);
	CHECK(holds_p() && getg()->call_ended == 0);

	stop = false;
	socle_go(stop_after_others, NULL);
	CHECK(socle_try(panics, &s, &panic) == -1 && strcmp(panic.message, "enough") == 0);
	CHECK(!s.gave_up && holds_p() && getg()->callbacks == 0 && getg()->locked_m == NULL);
	CHECK(!one_cpu() || getg()->m != &m0 || m0.g0.tcb.sp == g0_sp);
	wait_for_others();
}

/* ---- all the registers of foreign code survive the switches ---- */

enum { HOLDERS = 3 };
static struct holding holdings[HOLDERS];
static atomic_int holders;

static void holder(void *holding)
{
	CHECK(socle_foreign_call(hold_registers, holding) == 0);
	holders--;
}

static void test_registers(void)
{
	unsigned before = thread_switches();
	int kept = 0;

	holders = HOLDERS;
	stop = false;
	for (int i = 0; i < HOLDERS; i++) {
		holdings[i] = (struct holding){.times = 5000000, .seed = (uint32_t)i * 31};
		socle_go(holder, &holdings[i]);
	}
	socle_go(loop, (void *)&loops[0]);
	while (holders > 0)
		socle_sleep(10 * MS);
	stop = true;
	wait_for_others();
	for (int i = 0; i < HOLDERS; i++)
		kept += holdings[i].kept;
	CHECK(kept == HOLDERS);
	CHECK(thread_switches() - before > 2 * HOLDERS || !one_cpu());
}

static void all(void)
{
	test_flag();
	test_sleeper();
	test_share(NULL, loops);
	test_share(loop, loops);
	test_share(switches_always, switches);
	test_callbacks();
	test_end_without_p();
	test_registers();
}

int main(void)
{
	repeatedly(all);
	return finish();
}
