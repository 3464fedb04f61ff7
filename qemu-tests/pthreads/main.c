/*
 * pthreads, from foreign calls, foreign threads and goroutines. With an argument: what must end the image.
 */
#include <pthread.h>
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define MS 1000000ll

static int thread_stacks(void)
{
	int n = 0;

	for (struct stack *s = stack_next(NULL); s != NULL; s = stack_next(s))
		n += s->kind == STACK_THREAD;
	return n;
}

static void test_from_foreign_call(void)
{
	static const socle_fn tests[] = {
		mutual_exclusion, producers_and_consumers, results,  stack_sizes, mutex_types, in_line, conditions,
		deadlines,	  specific_data,	   run_once, churn};

	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		int errors = 0;

		CHECK(socle_foreign_call(tests[i], &errors) == 0);
		CHECK(errors == 0);
	}
	sleep_for_others();
	CHECK(thread_stacks() <= socle_ncpu()); /* each the last to end on its CPU */
}

/* ---- a foreign call that waits holds up no goroutine ---- */

static struct gate gate;
static atomic_int through;

static void goes_through(void *unused)
{
	(void)unused;
	CHECK(socle_foreign_call(wait_at_gate, &gate) == 0);
	CHECK(holds_p());
	through++;
}

static void test_waiting_calls(void)
{
	gate = (struct gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
	through = 0;
	for (int i = 0; i < 3; i++)
		socle_go(goes_through, NULL);
	while (gate.waiting < 3)
		socle_sleep(MS);
	socle_sleep(5 * MS);
	CHECK(through == 0);
	CHECK(socle_foreign_call(open_gate, &gate) == 0);
	sleep_for_others();
	CHECK(through == 3 && gate.waiting == 0);
}

/* How many m's hold a p. */
static unsigned ps_held(void)
{
	unsigned n = m0.p != NULL;
	struct g *g = stay();

	for (struct stack *s = stack_next(NULL); s != NULL; s = stack_next(s))
		n += s->kind == STACK_G0 && ((struct m *)s->hi)->p != NULL;
	move_on(g);
	return n;
}

/* Without chaos a goroutine that yields shares the CPU with threads by turns of 10 ms. */
static void let_threads_run(void)
{
	if (chaos_started)
		socle_yield();
	else
		socle_sleep(MS / 10);
}

/* More than m's are kept: each makes a new one for its p, and hands it over once, when the turn ends in the midst of that
 * too. */
static void test_many_waiting_calls(void)
{
	unsigned most = 0;

	for (int round = 0; round < 30; round++) {
		gate = (struct gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
		through = 0;
		for (int i = 0; i < 12; i++)
			socle_go(goes_through, NULL);
		while (gate.waiting < 12) {
			unsigned n = ps_held();

			most = n > most ? n : most;
			let_threads_run();
		}
		socle_foreign_call(open_gate, &gate);
		while (through < 12)
			let_threads_run();
	}
	CHECK(most == 1 || cpu_count() > 1); /* where one may be seen in two hands */
	sleep_for_others();
}

/* ---- goroutines themselves ---- */

enum { GOROUTINES = 20 };
static pthread_mutex_t recursive;
static pthread_key_t key;
static pthread_t ids[GOROUTINES];
static int counted;
static atomic_int destroyed, destroyed_sum;

static void destroy(void *value)
{
	destroyed++;
	destroyed_sum += (int)(uintptr_t)value;
}

static void locks_itself(void *n)
{
	uintptr_t i = (uintptr_t)n;
	struct identity me;

	ids[i] = pthread_self();
	CHECK(pthread_setspecific(key, (void *)(i + 1)) == 0);
	for (int round = 0; round < 10; round++) {
		int before;

		pthread_mutex_lock(&recursive);
		pthread_mutex_lock(&recursive);
		before = counted;
		socle_yield();
		counted = before + 1;
		pthread_mutex_unlock(&recursive);
		pthread_mutex_unlock(&recursive);
	}
	socle_foreign_call(who_am_i, &me);
	CHECK(pthread_equal(me.in_callback, ids[i]) && pthread_getspecific(key) == n + 1);
}

static void test_goroutines(void)
{
	pthread_mutexattr_t attr;
	int same = 0;

	counted = 0;
	destroyed = destroyed_sum = 0;
	CHECK(pthread_key_create(&key, destroy) == 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	CHECK(pthread_mutex_init(&recursive, &attr) == 0);
	for (uintptr_t i = 0; i < GOROUTINES; i++)
		socle_go(locks_itself, (void *)i);
	sleep_for_others();
	for (int i = 0; i < GOROUTINES; i++)
		for (int j = 0; j < i; j++)
			same += pthread_equal(ids[i], ids[j]);
	CHECK(same == 0 && counted == GOROUTINES * 10);
	CHECK(destroyed == GOROUTINES && destroyed_sum == GOROUTINES * (GOROUTINES + 1) / 2);
	CHECK(pthread_key_delete(key) == 0 && pthread_mutex_destroy(&recursive) == 0);
}

/* A program's own main may be full of pthreads. */
static void *adds(void *total)
{
	++*(atomic_int *)total;
	return total;
}

static void test_join_from_goroutine(void)
{
	pthread_t t[6];
	atomic_int total = 0;

	for (int i = 0; i < 6; i++)
		CHECK(pthread_create(&t[i], NULL, adds, &total) == 0);
	for (int i = 0; i < 6; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(total == 6);
}

/* Only detached when they have ended. */
static void test_detach_late(void)
{
	enum { MANY = 200 };
	pthread_t t[MANY];
	atomic_int total = 0;
	int right = 0;

	for (int i = 0; i < MANY; i++)
		right += pthread_create(&t[i], NULL, adds, &total) == 0;
	sleep_for_others();
	for (int i = 0; i < MANY; i++)
		right += pthread_detach(t[i]) == 0 && pthread_join(t[i], NULL) == ESRCH;
	CHECK(right == 2 * MANY && total == MANY);
}

/* Its stack is left alone while it waits. */
static void *at_gate(void *g)
{
	wait_at_gate(g);
	return g;
}

static void test_trim(void)
{
	pthread_t t;
	void *result;

	gate = (struct gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
	CHECK(pthread_create(&t, NULL, at_gate, &gate) == 0);
	while (gate.waiting == 0)
		socle_sleep(MS);
	socle_sleep(MS);
	socle_stack_trim();
	CHECK(socle_foreign_call(open_gate, &gate) == 0);
	CHECK(pthread_join(t, &result) == 0 && result == &gate);
}

/* ---- a callback of a thread is still the thread ---- */

static void asks(void *identity)
{
	CHECK(socle_foreign_call(who_am_i, identity) == 0);
	socle_foreign_call(wait_at_gate, &gate); /* and waits as one: p and all */
}

static void test_identity(void)
{
	struct identity i = {.callback = asks};
	pthread_t t;
	void *result;

	gate = (struct gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
	CHECK(pthread_create(&t, NULL, call_back, &i) == 0);
	while (gate.waiting == 0)
		socle_sleep(MS);
	CHECK(foreign_threads_attached() == 1);
	CHECK(socle_foreign_call(open_gate, &gate) == 0);
	CHECK(pthread_join(t, &result) == 0 && result == &i && i.error == 0);
	CHECK(pthread_equal(i.thread, t) && pthread_equal(i.in_callback, t));
	CHECK(foreign_threads_attached() == 0);
}

static void all(void)
{
	test_from_foreign_call();
	test_waiting_calls();
	test_many_waiting_calls();
	test_goroutines();
	test_join_from_goroutine();
	test_detach_late();
	test_trim();
	test_identity();
	sleep_for_others();
}

/* ---- what ends the image ---- */

static void exits(void *unused) { socle_foreign_call(leave_by_exit, unused); }

static int end(const char *how)
{
	struct identity i = {.callback = exits};
	pthread_t t[2];

	if (strcmp(how, "exit") == 0)
		socle_foreign_call(leave_by_exit, NULL);
	if (strcmp(how, "exit-callback") == 0)
		pthread_create(&t[0], NULL, call_back, &i);
	else
		for (int n = 0; n < 2; n++)
			pthread_create(&t[n], NULL, lock_both_ways, n == 0 ? NULL : &t);
	pthread_join(t[0], NULL);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strncmp(argv[1], "chaos", 5) != 0)
		return end(argv[1]);
	repeatedly(all);
	return finish();
}
