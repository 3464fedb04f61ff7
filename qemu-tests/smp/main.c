/*
 * Goroutines, their channels, foreign calls, callbacks, faults and sleeps on all CPUs at once. Argument: how often more
 * than usual; or `together N` (with chaos=SEED, or it takes long): until there were N contained foreign faults, N overflows
 * of goroutines and N preemptions, on all CPUs together. None is lost. `spread`: how long work takes to come to all CPUs,
 * where time counts instructions. `panic`: nobody catches what all CPUs raise at once.
 */
#include <stdlib.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define MS 1000000ll

enum { WORKERS = 16 };

static int times = 1;
static struct socle_waitgroup running;
static atomic_uint wrong;

struct job {
	void (*fn)(unsigned worker);
	unsigned worker;
};

static void run_job(void *arg)
{
	struct job *j = arg;

	j->fn(j->worker);
	socle_waitgroup_done(&running);
}

/* Whether all were started; `wrong` counts what went wrong. */
static bool run_all(int n, void (*fn)(unsigned worker))
{
	static struct job jobs[64];
	int started = 0;

	wrong = 0;
	socle_waitgroup_add(&running, n);
	for (int i = 0; i < n; i++) {
		jobs[i] = (struct job){fn, (unsigned)i};
		started += socle_go(run_job, &jobs[i]) == 0;
	}
	socle_waitgroup_wait(&running);
	return started == n;
}

static void run_together(int n, void (*fn)(unsigned worker))
{
	CHECK(run_all(n, fn));
	CHECK(wrong == 0);
}

static void wrong_if(bool condition) { wrong += condition; }

/* ---- As many goroutines run at once as there are CPUs ---- */

static atomic_uint here, seen_on[MAX_CPUS];

/* None of them gives up its CPU: they meet only if each has one. (Or one after the other, by preemption: but then they
 * would not be on CPUs of their own.) */
static void meets(unsigned worker)
{
	unsigned n = (unsigned)socle_ncpu();

	(void)worker;
	here++;
	while (here < n)
		arch_pause(); /* QEMU may have one thread for all of them */
	seen_on[arch_cpu()]++;
	here++;
	while (here < 2 * n)
		arch_pause();
}

/* Whether each CPU ran one of them. */
static bool spread(void)
{
	unsigned all = 0, n = (unsigned)socle_ncpu();

	here = 0;
	memset(seen_on, 0, sizeof seen_on);
	if (!run_all((int)n, meets))
		return false;
	for (unsigned cpu = 0; cpu < n; cpu++)
		all += seen_on[cpu] == 1;
	return all == n;
}

/* The host may stop a CPU for so long that another comes to run two of them, as do the short turns of chaos. */
static void test_spread(void)
{
	bool did = false;

	for (int i = 0; i < 100 && !did; i++)
		did = spread();
	CHECK(did);
	if (!one_cpu())
		printf("spread over %d CPUs\n", socle_ncpu());
}

/* When the others sleep; when they have just run out of work. */
static void test_spread_time(void)
{
	int64_t longest = 0;
	int right = 0;

	for (int i = 0; i < 100; i++) {
		int64_t start, took;

		if (i % 2 == 0)
			socle_sleep(MS);
		start = socle_now();
		right += spread();
		took = socle_now() - start;
		longest = took > longest ? took : longest;
	}
	CHECK(right == 100);
	CHECK(longest < MS);
	printf("spread over %d CPUs, and together again, in at most %d us\n", socle_ncpu(), (int)(longest / 1000));
}

/* ---- Nobody waits who could run while a CPU is idle ---- */

enum { MEETINGS = 40 };
static struct socle_sem called[MAX_CPUS];
static atomic_uint arrived;
static atomic_bool missed;

/* As if a spin lock were held no tick takes the CPU away: whoever is readied and not seen to at once never runs. */
static void wait_on_cpu(unsigned until)
{
	int64_t end = socle_now() + 10000 * MS; /* for ever, but that the host may be busy */

	arrived++;
	while (arrived < until && !missed) {
		if (socle_now() > end)
			missed = true;
		arch_pause();
	}
}

static void comes(unsigned worker)
{
	unsigned n = (unsigned)socle_ncpu();

	for (unsigned i = 1; i <= MEETINGS && !missed; i++) {
		struct g *g;

		socle_sem_wait(&called[worker]);
		g = stay();
		wait_on_cpu(i * n);
		move_on(g);
	}
}

/* The others are about to sleep, or sleep, or look for work, when they are called. */
static void calls_others(void)
{
	unsigned n = (unsigned)socle_ncpu();

	for (unsigned i = 1; i <= MEETINGS && !missed; i++) {
		struct g *g;

		for (volatile unsigned delay = i * 37 % 512; delay > 0; delay--)
			arch_pause();
		g = stay();
		for (unsigned worker = 1; worker < n; worker++)
			socle_sem_post(&called[worker]);
		wait_on_cpu(i * n);
		move_on(g);
	}
	for (unsigned worker = 1; worker < n; worker++)
		socle_sem_post(&called[worker]);
}

static void meets_often(unsigned worker)
{
	if (worker == 0)
		calls_others();
	else
		comes(worker);
}

static void test_idle(void)
{
	arrived = 0;
	missed = false;
	for (int i = 0; i < socle_ncpu(); i++)
		socle_sem_init(&called[i], 0);
	run_together(socle_ncpu(), meets_often);
	CHECK(!missed);
}

/* ---- Channels and locks ---- */

static socle_chan *pipes[3];
static atomic_uint senders;
static atomic_ulong sent, received;

static void sends(unsigned worker)
{
	for (int i = 0; i < 150 * times; i++) {
		uintptr_t value = worker * 1000u + (unsigned)i;
		struct socle_case cases[] = {{SOCLE_SEND, pipes[0], &value, 0},
					     {SOCLE_SEND, pipes[1], &value, 0},
					     {SOCLE_SEND, pipes[2], &value, 0}};

		if (i % 2 == 0)
			wrong_if(socle_chan_send(pipes[i % 3], &value) < 0);
		else
			while (socle_select(cases, 3, i % 5 == 0 ? socle_now() + 30000 : SOCLE_FOREVER) < 0)
				wrong_if(errno != ETIMEDOUT);
		sent += value;
	}
	if (--senders == 0)
		for (int i = 0; i < 3; i++)
			socle_chan_close(pipes[i]);
}

static void receives(void)
{
	uintptr_t value;
	struct socle_case cases[] = {{SOCLE_RECV, pipes[2], &value, 0},
				     {SOCLE_RECV, pipes[0], &value, 0},
				     {SOCLE_RECV, pipes[1], &value, 0}};

	for (int open = 3; open > 0;) {
		int i = socle_select(cases, 3, socle_now() + 50000);

		if (i < 0)
			continue;
		if (cases[i].error == 0) {
			received += value;
		} else {
			cases[i].chan = NULL;
			open--;
		}
	}
}

/* What waits just then loses the unused part of its stack. */
static void trims(void)
{
	while (senders > 0) {
		socle_stack_trim();
		socle_sleep(10000);
	}
}

static void sends_or_receives(unsigned worker)
{
	if (worker == WORKERS)
		trims();
	else if (worker % 2 == 0)
		sends(worker);
	else
		receives();
}

static void test_channels(void)
{
	for (int i = 0; i < 3; i++)
		pipes[i] = socle_chan_make(sizeof(uintptr_t), (size_t)i * 20);
	senders = WORKERS / 2;
	sent = received = 0;
	run_together(WORKERS + 1, sends_or_receives);
	CHECK(sent == received && sent > 0);
	for (int i = 0; i < 3; i++)
		socle_chan_free(pipes[i]);
}

static struct {
	struct socle_mutex mutex;
	struct socle_rwlock rwlock;
	struct socle_sem sem;
	struct socle_cond cond;
	unsigned by_mutex, by_rwlock, by_sem, waiting, released;
} shared;

/* All wait until the last has come. */
static void meet_by_cond(void)
{
	unsigned turn;

	socle_mutex_lock(&shared.mutex);
	turn = shared.released;
	if (++shared.waiting == WORKERS) {
		shared.waiting = 0;
		shared.released++;
		socle_cond_broadcast(&shared.cond);
	}
	while (turn == shared.released)
		socle_cond_wait(&shared.cond, &shared.mutex);
	socle_mutex_unlock(&shared.mutex);
}

static void uses_locks(unsigned worker)
{
	(void)worker;
	for (int i = 0; i < 100 * times; i++) {
		socle_mutex_lock(&shared.mutex);
		shared.by_mutex++;
		socle_mutex_unlock(&shared.mutex);
		socle_rwlock_rdlock(&shared.rwlock);
		wrong_if(shared.by_rwlock > WORKERS * 100u * (unsigned)times);
		socle_rwlock_unlock(&shared.rwlock);
		socle_rwlock_wrlock(&shared.rwlock);
		shared.by_rwlock++;
		socle_rwlock_unlock(&shared.rwlock);
		while (socle_sem_timedwait(&shared.sem, socle_now() + 20000) < 0)
			wrong_if(errno != ETIMEDOUT);
		shared.by_sem++;
		socle_sem_post(&shared.sem);
		if (i % 20 == 0)
			meet_by_cond();
	}
}

static void test_locks(void)
{
	unsigned all = WORKERS * 100u * (unsigned)times;

	memset(&shared, 0, sizeof shared);
	socle_sem_init(&shared.sem, 1);
	run_together(WORKERS, uses_locks);
	CHECK(shared.by_mutex == all && shared.by_rwlock == all && shared.by_sem == all);
}

/* ---- Goroutines that come and go, and their stacks ---- */

static atomic_uint leaves;

/* Its frames lie on memory that other CPUs have used a moment ago. */
static __attribute__((noinline)) unsigned use_stack(unsigned depth, unsigned id)
{
	volatile unsigned frame[300];

	for (unsigned i = 0; i < 300; i += 25)
		frame[i] = id + i;
	if (depth > 0)
		wrong_if(use_stack(depth - 1, id) != id);
	for (unsigned i = 0; i < 300; i += 25)
		wrong_if(frame[i] != id + i);
	return frame[0];
}

static void branch(void *arg)
{
	uintptr_t depth = (uintptr_t)arg;

	use_stack((unsigned)depth * 3, (unsigned)socle_id());
	if (depth == 0) {
		leaves++;
		socle_waitgroup_done(&running);
		return;
	}
	while (socle_go(branch, (void *)(depth - 1)) < 0 || socle_go(branch, (void *)(depth - 1)) < 0)
		wrong_if(true);
}

static void grows_tree(unsigned worker)
{
	for (int i = 0; i < times; i++) {
		socle_waitgroup_add(&running, 64);
		branch((void *)6);
		use_stack(10 + worker, worker);
	}
}

static void test_spawn(void)
{
	leaves = 0;
	run_together(8, grows_tree);
	CHECK(leaves == 8 * 64 * (unsigned)times);
}

/* ---- Time ---- */

static void sleeps(unsigned worker)
{
	uint32_t x = worker + 1;

	for (int i = 0; i < 15 * times; i++) {
		int64_t ns = (x = x * 1103515245 + 12345) >> 13 & 0x7ffff, start = socle_now();

		socle_sleep(ns);
		wrong_if(socle_now() < start + ns);
	}
}

static void test_sleep(void) { run_together(32, sleeps); }

/* ---- Foreign calls, callbacks, faults ---- */

static void blocks(void *worker)
{
	struct caller inner = {.fn = blocks, .arg = (void *)((uintptr_t)worker / 4)};

	switch ((uintptr_t)worker % 4) {
	case 0: socle_yield(); break;
	case 1: socle_sleep(20000); break;
	case 2: meet_by_cond(); break;
	}
	if (inner.arg != NULL) {
		wrong_if(socle_foreign_call(call_back, &inner) < 0);
		wrong_if(inner.error != 0 || !inner.intact);
	}
}

static void calls_foreign(unsigned worker)
{
	for (int i = 0; i < 20 * times; i++) {
		struct caller c = {.fn = blocks,
				   .arg = (void *)(uintptr_t)((worker + (unsigned)i) % 2 + 4u * (worker % 3 == 0))};

		wrong_if(socle_foreign_call(call_back, &c) < 0);
		wrong_if(c.error != 0 || !c.intact);
		if (i % 10 == 0) {
			c = (struct caller){.fn = blocks, .arg = (void *)2};
			wrong_if(socle_foreign_call(call_back, &c) < 0);
		}
	}
}

static void test_foreign(void)
{
	memset(&shared, 0, sizeof shared);
	run_together(WORKERS, calls_foreign);
}

static void overflows(void *arg) { use_stack(10000, (unsigned)(uintptr_t)arg); }
static void panics(void *arg) { socle_panic("%d", (int)(uintptr_t)arg); }
static void reads_null(void *unused) { read_null(unused); }

static void fails(unsigned worker)
{
	struct socle_fault fault;
	struct socle_foreign_attr attr = {.fault = &fault};
	struct socle_panic panic;

	for (int i = 0; i < 8 * times; i++) {
		wrong_if(socle_foreign_call_attr(&attr, read_null, NULL) != -1 || errno != EFAULT ||
			 fault.address != 8);
		wrong_if(socle_try(overflows, (void *)(uintptr_t)worker, &panic) != -1 ||
			 panic.kind != SOCLE_PANIC_OVERFLOW);
		wrong_if(socle_try(reads_null, NULL, &panic) != -1 || panic.kind != SOCLE_PANIC_MEMORY ||
			 panic.address != 8);
		wrong_if(socle_try(panics, (void *)(uintptr_t)i, &panic) != -1 || atoi(panic.message) != i);
		if (i % 4 == 0)
			wrong_if(socle_foreign_call_attr(&attr, recurse, NULL) != -1 || errno != EOVERFLOW);
	}
}

static void test_faults(void) { run_together(WORKERS, fails); }

static void computes(unsigned worker)
{
	int64_t until = socle_now() + (int64_t)(worker % 4) * MS;

	wrong_if(socle_foreign_call(compute, &until) < 0);
	use_stack(20, worker);
	while (socle_now() < until + MS)
		; /* preempted */
}

static void test_long_calls(void) { run_together(WORKERS, computes); }

static void ends(void *caller)
{
	struct caller *c = caller;

	wrong_if(!c->intact || c->error != 0);
	socle_waitgroup_done(&running);
}

static struct caller callers[8];

static void thread(void *caller)
{
	struct caller *c = caller;

	for (int i = 0; i < 5; i++) {
		call_back(c);
		wrong_if(!c->intact || c->error != 0);
	}
	socle_callback(ends, c);
}

static void test_threads(void)
{
	wrong = 0;
	socle_waitgroup_add(&running, 8);
	for (uintptr_t i = 0; i < 8; i++) {
		callers[i] = (struct caller){.fn = blocks, .arg = (void *)(i % 2)};
		CHECK(socle_foreign_thread(NULL, thread, &callers[i]) == 0);
	}
	socle_waitgroup_wait(&running);
	sleep_for_others();
	CHECK(wrong == 0);
}

/* ---- N of each, together ---- */

static unsigned wanted;
static atomic_uint foreign_faults, overflows_caught;

static unsigned preemptions(void)
{
	unsigned n = 0;

	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		n += ps[cpu].preempted;
	return n;
}

static bool enough(void) { return foreign_faults >= wanted && overflows_caught >= wanted && preemptions() >= wanted; }

/* In turn, so that none is counted that was not seen. */
static void fault_and_overflow(unsigned worker)
{
	struct socle_fault fault = {0};
	struct socle_foreign_attr attr = {.fault = &fault};
	struct socle_panic panic = {0};

	wrong_if(socle_foreign_call_attr(&attr, read_null, NULL) != -1 || errno != EFAULT || fault.address != 8);
	foreign_faults++;
	wrong_if(socle_try(overflows, (void *)(uintptr_t)worker, &panic) != -1 || panic.kind != SOCLE_PANIC_OVERFLOW);
	overflows_caught++;
}

/* Every register that it has counts: what a preemption loses shows in the sum. */
static void be_preempted(unsigned round)
{
	unsigned long sum = 0;
	double x = 1;

	end_turn_in(round % 64 * 50);
	for (unsigned i = 0; i < 1000; i++) {
		sum += i * 3;
		x += 0.5;
	}
	wrong_if(sum != 3ul * 1000 * 999 / 2 || x != 501);
}

/* Of which there are fewer so far. Who computes alone on its CPU is never preempted: so each sleeps now and then, and the
 * CPU steals from the others meanwhile. */
static void fails_or_computes(unsigned worker)
{
	for (unsigned i = 1; !enough(); i++) {
		if (i % 64 == 0)
			socle_sleep(10000);
		if (overflows_caught <= preemptions())
			fault_and_overflow(worker);
		else
			be_preempted(i);
	}
}

static void test_together(void)
{
	static struct job jobs[WORKERS];
	struct socle_go_attr small = {.stack_size = 16384};

	socle_waitgroup_add(&running, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		jobs[i] = (struct job){fails_or_computes, i};
		CHECK(socle_go_attr(&small, run_job, &jobs[i]) == 0);
	}
	socle_waitgroup_wait(&running);
	CHECK(wrong == 0 && enough());
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
		CHECK(ps[cpu].preempted >= wanted / 20);
	printf("%u foreign faults, %u overflows, %u preemptions on %d CPUs\n", foreign_faults, overflows_caught,
	       preemptions(), socle_ncpu());
}

static void panics_with_others(unsigned worker)
{
	meets(worker);
	socle_panic("worker %u", worker);
}

/* ---- Who is resumed is as it was when it last gave up its CPU ---- */

enum { PAIRS = 3, TURNS = 16000 };
static struct socle_sem turn_of[2 * PAIRS];

static void gives_up(unsigned worker, unsigned i)
{
	if (i % 3 != 0) {
		socle_yield();
	} else {
		socle_sem_post(&turn_of[worker ^ 1]);
		socle_sem_wait(&turn_of[worker]);
	}
}

/* At another depth than before: a context that is resumed too early lies elsewhere, and is an older one. */
static void __attribute__((noinline)) gives_up_at(unsigned depth, unsigned worker, unsigned i)
{
	volatile unsigned mark[4] = {depth, worker, i, ~i};

	if (depth > 0)
		gives_up_at(depth - 1, worker, i);
	else
		gives_up(worker, i);
	wrong_if(mark[0] != depth || mark[1] != worker || mark[2] != i || mark[3] != ~i);
}

static void wanders(unsigned worker)
{
	for (unsigned i = 0; i < (unsigned)(TURNS * times); i++)
		gives_up_at(i * 7 % 16, worker, i);
}

static void test_switches(void)
{
	for (int i = 0; i < 2 * PAIRS; i++)
		socle_sem_init(&turn_of[i], 0);
	run_together(2 * PAIRS, wanders);
}

static void test(void)
{
	static void (*const tests[])(void) = {test_spread,     test_idle,    test_channels, test_locks,
					      test_spawn,      test_sleep,   test_foreign,  test_faults,
					      test_long_calls, test_threads, test_switches};

	for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
		tests[i]();
		sleep_for_others();
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "panic") == 0)
		run_together(socle_ncpu(), panics_with_others);
	if (argc == 2 && strcmp(argv[1], "spread") == 0) {
		test_spread_time();
		return finish();
	}
	if (argc > 2) {
		wanted = (unsigned)atoi(argv[2]);
		test_together();
		return finish();
	}
	if (argc > 1)
		times = atoi(argv[1]);
	repeatedly(test);
	return finish();
}
