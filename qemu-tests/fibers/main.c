/*
 * Foreign code that switches stacks itself, and calls back from them; and what it must not do, longjmp past callbacks
 * above all, is detected and named.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define MS 1000000ll

static int called, elsewhere;

static void count(void *coroutine)
{
	int n = (int)((struct coroutine *)coroutine - coroutines);
	const struct g *g0 = &getg()->m->g0;

	called++;
	elsewhere += g0->lo != (uintptr_t)stacks[n] || g0->hi != (uintptr_t)stacks[n] + STACK;
}

static void blocks(void *coroutine)
{
	count(coroutine);
	socle_sleep(MS);
	socle_yield();
	count(coroutine);
}

static void add_all(void)
{
	int right = 0;

	for (int i = 0; i < FIBERS; i++)
		right += socle_foreign_stack_add(stacks[i], STACK) == 0;
	CHECK(right == FIBERS);
}

static void remove_all(void)
{
	int right = 0;

	for (int i = 0; i < FIBERS; i++)
		right += socle_foreign_stack_remove(stacks[i]) == 0;
	CHECK(right == FIBERS);
}

static void test_callbacks(socle_fn callback, int calls_each)
{
	struct job job = {.callback = callback, .times = 20};
	struct m *m = getg()->m;
	struct g before = m->g0;

	called = elsewhere = 0;
	CHECK(socle_foreign_call(run_fibers, &job) == 0);
	CHECK(job.called_at_end && job.calls == FIBERS * 20 && called == job.calls * calls_each && elsewhere == 0 &&
	      job.broken == 0);
	CHECK(m->g0.lo == before.lo && m->g0.hi == before.hi && m->g0.tcb.sp == before.tcb.sp &&
	      m->g0.tcb.stack_limit == before.tcb.stack_limit && getg()->crossings == NULL);
}

/* ---- one fiber calls back while another is in a callback ---- */

static int deepest;

static void nests(void *arg)
{
	const struct step *step = arg;
	struct step next = {.fiber = step->fiber + 1, .callback = nests};

	socle_yield();
	deepest = step->fiber > deepest ? step->fiber : deepest;
	CHECK(socle_foreign_stack_remove(stacks[step->fiber]) == -1 && errno == EBUSY);
	if (next.fiber < FIBERS)
		CHECK(socle_foreign_call(run_step, &next) == 0 && next.error == 0);
}

static void test_nested(void)
{
	struct step step = {.fiber = 0, .callback = nests};

	deepest = 0;
	CHECK(socle_foreign_call(run_step, &step) == 0 && step.error == 0 && deepest == FIBERS - 1);
}

/* ---- on a stack of the call's own, and from several goroutines ---- */

static void runs_job(void *job)
{
	struct socle_foreign_attr attr = {.stack_size = 128 << 10};

	CHECK(socle_foreign_call_attr(&attr, run_fibers, job) == 0);
}

static void test_own_stack(void)
{
	struct job job = {.callback = blocks, .times = 3};

	socle_go(runs_job, &job);
	wait_for_others();
	CHECK(job.calls == FIBERS * 3 && job.broken == 0);
}

/* ---- what does not call back, with stackguard of some other stack: of g0, or of the call's own ---- */

static void locks_and_unlocks(void *mutex)
{
	CHECK(socle_mutex_lock(mutex) == 0);
	CHECK(socle_mutex_unlock(mutex) == 0);
}

static void test_everything(size_t stack_size)
{
	struct socle_foreign_attr attr = {.stack_size = stack_size};
	struct everything e = {.chan = socle_chan_make(0, 0)};
	int wrong = 0;

	CHECK(socle_mutex_lock(&e.mutex) == 0);
	socle_go(locks_and_unlocks, &e.mutex);
	while (e.mutex.waiters.head == NULL)
		socle_yield();
	CHECK(socle_foreign_call_attr(&attr, everything_on_fiber, &e) == 0);
	CHECK(socle_mutex_unlock(&e.mutex) == 0);
	sleep_for_others();
	for (int i = 0; i < e.tried; i++)
		wrong += e.wrong[i];
	CHECK(e.tried > 0 && wrong == 0 && e.thread_ran);
	socle_chan_free(e.chan);
}

/* ---- panics, faults, turns ---- */

static void panics(void *unused)
{
	(void)unused;
	socle_panic("from a fiber's callback");
}

static void runs_one(void *job) { socle_foreign_call(run_one_fiber, job); }

static void runs_panic(void *unused)
{
	struct socle_foreign_attr attr = {.stack_size = 128 << 10};

	(void)unused;
	socle_foreign_call_attr(&attr, panic_on_fiber, NULL);
}

static void test_panic(void)
{
	struct job job = {.callback = panics, .times = 1};
	struct socle_panic panic;
	int right = 0;

	for (int i = 0; i < 100; i++)
		right += socle_try(runs_one, &job, &panic) == -1;
	CHECK(socle_try(runs_panic, NULL, NULL) == -1);
	CHECK(right == 100 && strcmp(panic.message, "from a fiber's callback") == 0);
	CHECK(g0_is_own());
	CHECK(fiber_find((uintptr_t)stacks[0])->callbacks == 0);
}

static void test_fault(void)
{
	struct socle_fault fault = {0};
	struct socle_foreign_attr attr = {.fault = &fault};

	CHECK(socle_foreign_call_attr(&attr, fail_on_fiber, NULL) == -1 && errno == EFAULT);
	CHECK(fault.address == 8 && fault.stack_lo == (uintptr_t)stacks[0] && strcmp(fault.function, "fails") == 0);
}

static volatile bool stop;

static void stop_it(void *unused)
{
	(void)unused;
	stop = true;
}

/* With a stack of its own, the call's stackguard lies far above the fiber. */
static void test_turn(size_t stack_size)
{
	struct socle_foreign_attr attr = {.stack_size = stack_size};
	int64_t before = socle_now();

	stop = false;
	socle_go(stop_it, NULL);
	CHECK(socle_foreign_call_attr(&attr, spin_on_fiber, (void *)&stop) == 0);
	CHECK(stop && socle_now() - before < 500 * MS);
	wait_for_others();
}

/* ---- what is refused ---- */

static void test_refused(void)
{
	struct job job = {.callback = count, .times = 1};
	struct socle_stack_info info;
	char *lo = stacks[0];

	CHECK(socle_foreign_call(run_fibers, &job) == 0);
	CHECK(job.calls == 0 && job.errors[0] == EFAULT && job.errors[FIBERS - 1] == EFAULT);
	CHECK(socle_foreign_stack_add(NULL, STACK) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add(lo, 4096) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add(lo, 0) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add(lo, SIZE_MAX) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add((void *)getg()->lo, STACK) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add((void *)m0.g0.lo, STACK) == -1 && errno == EINVAL);
	CHECK(socle_foreign_stack_add((void *)(m0.g0.lo - 4096), 1 << 20) == -1 && errno == EINVAL); /* all of it */
	CHECK(socle_foreign_stack_remove(lo) == -1 && errno == ENOENT);
	CHECK(socle_foreign_stack_add(lo, STACK) == 0);
	CHECK(socle_foreign_stack_add(lo, STACK) == -1 && errno == EEXIST);
	CHECK(socle_foreign_stack_add(lo + STACK - 8192, STACK) == -1 && errno == EEXIST);
	CHECK(socle_foreign_stack_remove(lo + 8) == -1 && errno == ENOENT);
	CHECK(socle_stack_query(lo + 100, &info) == 0 && info.kind == SOCLE_STACK_FIBER && info.hi == info.lo + STACK);
	job = (struct job){.callback = count, .times = 1};
	CHECK(socle_foreign_call(call_back_deep, &job) == 0 && job.errors[0] == EOVERFLOW && job.calls == 0);
	CHECK(socle_foreign_stack_remove(lo) == 0);
}

/* ---- fibers of a foreign thread ---- */

static void test_thread(void)
{
	struct job job = {.callback = blocks, .times = 20};

	called = elsewhere = 0;
	CHECK(socle_foreign_thread(NULL, run_fibers, &job) == 0);
	sleep_for_others();
	CHECK(job.called_at_end && job.calls == FIBERS * 20 && called == job.calls * 2 && elsewhere == 0 &&
	      job.broken == 0);
}

/* A fiber may wait for its thread: a foreign thread's, and one that makes a foreign call. */
static void calls_lock(void *mutex) { CHECK(socle_foreign_call(lock_on_fiber, mutex) == 0); }

static void test_wait(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	for (int i = 0; i < 2; i++) {
		CHECK(pthread_mutex_lock(&mutex) == 0);
		CHECK((i == 0 ? socle_foreign_thread(NULL, lock_on_fiber, &mutex) : socle_go(calls_lock, &mutex)) == 0);
		socle_sleep(20 * MS);
		CHECK(others_are_left());
		CHECK(pthread_mutex_unlock(&mutex) == 0);
		sleep_for_others();
		CHECK(pthread_mutex_destroy(&mutex) == 0);
	}
}

static void all(void)
{
	test_refused();
	test_everything(128 << 10); /* nobody was told of the fiber's stack */
	add_all();
	test_callbacks(count, 1);
	test_callbacks(blocks, 2);
	test_nested();
	test_own_stack();
	test_everything(0);
	test_everything(128 << 10);
	test_panic();
	test_fault();
	test_turn(0);
	test_turn(128 << 10);
	test_thread();
	test_wait();
	remove_all();
}

/* ---- how an image ends whose foreign code breaks the rules ---- */

static void jumps_itself(void *unused)
{
	(void)unused;
	jump(NULL);
}

static void trace(void *unused)
{
	(void)unused;
	socle_traceback();
	socle_stack_map();
}

int main(int argc, char **argv)
{
	struct job job = {.callback = trace, .times = 1};
	const char *what = argc > 1 ? argv[1] : "";

	if (*what != '\0')
		add_all();
	if (strcmp(what, "longjmp") == 0)
		socle_foreign_call(leave_by_longjmp, NULL);
	else if (strcmp(what, "longjmp-and-call-back") == 0)
		socle_foreign_call(longjmp_and_call_back, NULL);
	else if (strcmp(what, "longjmp-and-fail") == 0)
		socle_foreign_call(longjmp_and_fail, NULL);
	else if (strcmp(what, "own-longjmp") == 0)
		socle_foreign_call(leave_by_own_longjmp, jumps_itself);
	else if (strcmp(what, "switch") == 0)
		socle_foreign_call(suspend_in_callback, NULL);
	else if (strcmp(what, "trace") == 0)
		socle_foreign_call(run_one_fiber, &job);
	else
		repeatedly(all);
	return finish();
}
