/* Mutexes, read-write locks, conditions, wait groups, once, semaphores: exclusion, order, hand-over, errors. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "qemu-tests/check.h"

#define MS 1000000ll

static char order[64];

static void step(char c) { strncat(order, &c, 1); }

static bool steps_were(const char *expected)
{
	bool same = strcmp(order, expected) == 0;

	if (!same)
		printf("steps: %s, not %s\n", order, expected);
	order[0] = '\0';
	return same;
}

static void yield_often(void)
{
	for (int i = 0; i < 8; i++)
		socle_yield();
}

/* ---- Mutexes ---- */

static struct socle_mutex mutex;

static void test_mutex_free(void)
{
	CHECK(socle_mutex_lock(&mutex) == 0);
	CHECK(socle_mutex_trylock(&mutex) == -1 && errno == EBUSY);
	CHECK(socle_mutex_unlock(&mutex) == 0);
	CHECK(socle_mutex_trylock(&mutex) == 0);
	CHECK(socle_mutex_unlock(&mutex) == 0);
	CHECK(mutex.state == 0);
}

enum { CROWD = 40, ROUNDS = 50 };
static struct socle_waitgroup crowd;
static int inside;
static volatile int shared;
static atomic_int overlaps;

static void adds(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		int seen;

		socle_mutex_lock(&mutex);
		overlaps += inside++ != 0;
		seen = shared;
		if (i % 3 == 0)
			socle_yield();
		shared = seen + 1;
		inside--;
		socle_mutex_unlock(&mutex);
		if (i % 7 == 0)
			socle_yield();
	}
	socle_waitgroup_done(&crowd);
}

static void test_mutex_crowd(void)
{
	shared = inside = 0;
	overlaps = 0;
	CHECK(socle_waitgroup_add(&crowd, CROWD) == 0);
	for (int i = 0; i < CROWD; i++)
		socle_go(adds, NULL);
	CHECK(socle_waitgroup_wait(&crowd) == 0);
	CHECK(shared == CROWD * ROUNDS && overlaps == 0);
	CHECK(mutex.state == 0 && mutex.waiters.head == NULL && !mutex.woken);
}

static void locks_once(void *letter)
{
	socle_mutex_lock(&mutex);
	step(*(char *)letter);
	socle_mutex_unlock(&mutex);
}

static void start_in_order(socle_fn fn, const char *letters)
{
	order[0] = '\0';
	for (; *letters != '\0'; letters++)
		socle_go(fn, (void *)letters);
	yield_often();
}

static void test_mutex_fifo(void)
{
	socle_mutex_lock(&mutex);
	start_in_order(locks_once, "abcdef");
	CHECK(steps_were(""));
	socle_mutex_unlock(&mutex);
	yield_often();
	CHECK(steps_were("abcdef"));
}

/* Who unlocks and locks again at once is let pass one time; then the first in line gets the mutex itself. */
static void test_mutex_starving(void)
{
	socle_mutex_lock(&mutex);
	start_in_order(locks_once, "abc");
	socle_mutex_unlock(&mutex);
	CHECK(socle_mutex_trylock(&mutex) == 0); /* a is awake, but has not run: the mutex is free */
	socle_mutex_unlock(&mutex);
	socle_mutex_lock(&mutex);
	yield_often();
	CHECK(steps_were("")); /* a has lost */
	socle_mutex_unlock(&mutex);
	CHECK(socle_mutex_trylock(&mutex) == -1 && errno == EBUSY); /* it is a's, before a runs */
	yield_often();
	CHECK(steps_were("abc"));
	CHECK(mutex.state == 0);
}

static bool stop_hogging;

static void hogs(void *arg)
{
	(void)arg;
	while (!stop_hogging) {
		socle_mutex_lock(&mutex);
		socle_yield();
		socle_mutex_unlock(&mutex);
	}
	socle_waitgroup_done(&crowd);
}

/* Three goroutines that hold it nearly always: others still get it, in no more rounds than there are in line. */
static void test_mutex_hogged(void)
{
	stop_hogging = false;
	socle_waitgroup_add(&crowd, 3);
	for (int i = 0; i < 3; i++)
		socle_go(hogs, NULL);
	start_in_order(locks_once, "ab");
	for (int i = 0; i < 16; i++)
		socle_yield();
	CHECK(steps_were("ab"));
	stop_hogging = true;
	socle_waitgroup_wait(&crowd);
}

/* ---- Read-write locks ---- */

static struct socle_rwlock rwlock;
static int readers_inside, most_readers;

static void reads(void *letter)
{
	socle_rwlock_rdlock(&rwlock);
	step(*(char *)letter);
	readers_inside++;
	most_readers = readers_inside > most_readers ? readers_inside : most_readers;
	socle_yield();
	readers_inside--;
	socle_rwlock_unlock(&rwlock);
}

static void writes(void *letter)
{
	socle_rwlock_wrlock(&rwlock);
	step(*(char *)letter);
	socle_yield();
	overlaps += readers_inside;
	socle_rwlock_unlock(&rwlock);
}

static void test_rwlock_try(void)
{
	CHECK(socle_rwlock_rdlock(&rwlock) == 0 && socle_rwlock_tryrdlock(&rwlock) == 0);
	CHECK(socle_rwlock_trywrlock(&rwlock) == -1 && errno == EBUSY);
	CHECK(socle_rwlock_unlock(&rwlock) == 0 && socle_rwlock_unlock(&rwlock) == 0);
	CHECK(socle_rwlock_trywrlock(&rwlock) == 0);
	CHECK(socle_rwlock_tryrdlock(&rwlock) == -1 && errno == EBUSY);
	CHECK(socle_rwlock_trywrlock(&rwlock) == -1 && errno == EBUSY);
	CHECK(socle_rwlock_unlock(&rwlock) == 0);
}

static void test_rwlock_turns(void)
{
	overlaps = most_readers = 0;
	socle_rwlock_wrlock(&rwlock);
	start_in_order(reads, "abc");
	socle_go(writes, "W");
	socle_go(writes, "X");
	socle_go(reads, "d");
	socle_yield();
	socle_rwlock_unlock(&rwlock);
	socle_yield();
	CHECK(socle_rwlock_tryrdlock(&rwlock) == -1); /* readers are inside, but a writer waits */
	yield_often();
	CHECK(steps_were("abcdWX"));
	CHECK(overlaps == 0 && most_readers == 4);
	CHECK(rwlock.readers == 0 && !rwlock.writer);
}

/* A stream of readers that overlap does not keep a writer out; nor a stream of writers a reader. */
static void streams(void *arg)
{
	bool as_writer = *(bool *)arg;

	for (int i = 0; i < 20; i++) {
		if (as_writer)
			socle_rwlock_wrlock(&rwlock);
		else
			socle_rwlock_rdlock(&rwlock);
		step(as_writer ? 'w' : 'r');
		socle_yield();
		socle_rwlock_unlock(&rwlock);
	}
	socle_waitgroup_done(&crowd);
}

static void test_rwlock_starving(bool as_writer)
{
	order[0] = '\0';
	socle_waitgroup_add(&crowd, 2);
	socle_go(streams, &as_writer);
	socle_yield();
	socle_go(streams, &as_writer);
	socle_yield();
	if (as_writer)
		socle_rwlock_rdlock(&rwlock);
	else
		socle_rwlock_wrlock(&rwlock);
	CHECK(strlen(order) < 10);
	socle_rwlock_unlock(&rwlock);
	socle_waitgroup_wait(&crowd);
	CHECK(strlen(order) == 40);
}

/* ---- Conditions ---- */

static struct socle_cond cond;

static void waits(void *letter)
{
	socle_mutex_lock(&mutex);
	CHECK(socle_cond_wait(&cond, &mutex) == 0);
	step(*(char *)letter);
	socle_mutex_unlock(&mutex);
}

static void test_cond(void)
{
	CHECK(socle_cond_signal(&cond) == 0 && socle_cond_broadcast(&cond) == 0); /* nobody waits: forgotten */
	start_in_order(waits, "abcde");
	CHECK(steps_were(""));
	CHECK(socle_mutex_trylock(&mutex) == 0); /* they have unlocked it */
	socle_cond_signal(&cond);
	yield_often();
	CHECK(steps_were("")); /* awake, but the mutex is ours */
	socle_mutex_unlock(&mutex);
	yield_often();
	CHECK(steps_were("a"));
	socle_cond_signal(&cond);
	socle_cond_signal(&cond);
	yield_often();
	CHECK(steps_were("cb")); /* who was readied last runs first */
	CHECK(socle_cond_broadcast(&cond) == 0);
	yield_often();
	CHECK(steps_were("de"));
}

static void test_cond_timeout(void)
{
	int64_t deadline = socle_now() + 2 * MS;

	socle_mutex_lock(&mutex);
	CHECK(socle_cond_timedwait(&cond, &mutex, deadline) == -1 && errno == ETIMEDOUT);
	CHECK(socle_now() >= deadline);
	CHECK(socle_mutex_trylock(&mutex) == -1); /* locked again */
	CHECK(socle_cond_timedwait(&cond, &mutex, 0) == -1 && errno == ETIMEDOUT);
	socle_mutex_unlock(&mutex);
	CHECK(cond.waiters.head == NULL && no_timers());
}

static void waits_a_while(void *letter)
{
	socle_mutex_lock(&mutex);
	step(socle_cond_timedwait(&cond, &mutex, socle_now() + 5000 * MS) == 0 ? *(char *)letter : '-');
	socle_mutex_unlock(&mutex);
}

static void test_cond_in_time(void)
{
	start_in_order(waits_a_while, "ab");
	socle_cond_signal(&cond);
	yield_often();
	CHECK(steps_were("a"));
	socle_cond_signal(&cond);
	yield_often();
	CHECK(steps_were("b"));
	CHECK(this_p()->timers == NULL);
}

/* A signal is not lost on one whose time is up, though it has not run since: the next in line gets it. */
static int64_t soon;

static void waits_until_soon(void *letter)
{
	socle_mutex_lock(&mutex);
	step(socle_cond_timedwait(&cond, &mutex, soon) == 0 ? *(char *)letter : '-');
	socle_mutex_unlock(&mutex);
}

static void test_cond_too_late(void)
{
	order[0] = '\0';
	soon = socle_now() + 20 * MS;
	socle_go(waits_until_soon, "a");
	socle_go(waits, "b");
	yield_often();
	while (this_p()->next_timer == soon)
		if (socle_now() > soon && this_p()->due)
			socle_yield();
	socle_cond_signal(&cond);
	yield_often();
	CHECK(steps_were("-b"));
}

/* The classic: a buffer of four, producers and consumers. */
static struct socle_cond not_empty, not_full;
static int buffer[4], filled, taken_sum;

static void produces(void *arg)
{
	for (int i = 1; i <= 100; i++) {
		socle_mutex_lock(&mutex);
		while (filled == 4)
			socle_cond_wait(&not_full, &mutex);
		buffer[filled++] = i * *(int *)arg;
		socle_mutex_unlock(&mutex);
		socle_cond_signal(&not_empty);
	}
	socle_waitgroup_done(&crowd);
}

static void consumes(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++) {
		socle_mutex_lock(&mutex);
		while (filled == 0)
			socle_cond_wait(&not_empty, &mutex);
		taken_sum += buffer[--filled];
		socle_mutex_unlock(&mutex);
		socle_cond_signal(&not_full);
	}
	socle_waitgroup_done(&crowd);
}

static void test_cond_buffer(void)
{
	static int factors[] = {1, 10, 100};

	taken_sum = 0;
	socle_waitgroup_add(&crowd, 6);
	for (int i = 0; i < 3; i++) {
		socle_go(produces, &factors[i]);
		socle_go(consumes, NULL);
	}
	socle_waitgroup_wait(&crowd);
	CHECK(taken_sum == 111 * 5050 && filled == 0);
}

/* ---- Wait groups ---- */

static struct socle_waitgroup group;

static void waits_for_group(void *letter)
{
	socle_waitgroup_wait(&group);
	step(*(char *)letter);
}

static void test_waitgroup(void)
{
	CHECK(socle_waitgroup_wait(&group) == 0);
	CHECK(socle_waitgroup_done(&group) == -1 && errno == EINVAL);
	CHECK(socle_waitgroup_add(&group, INT_MAX) == 0);
	CHECK(socle_waitgroup_add(&group, 1) == -1 && errno == EOVERFLOW);
	CHECK(socle_waitgroup_add(&group, INT_MIN) == -1 && errno == EINVAL);
	CHECK(socle_waitgroup_add(&group, 2 - INT_MAX) == 0 && group.count == 2);
	start_in_order(waits_for_group, "abc");
	CHECK(socle_waitgroup_done(&group) == 0);
	yield_often();
	CHECK(steps_were(""));
	CHECK(socle_waitgroup_done(&group) == 0);
	yield_often();
	CHECK(steps_were("abc"));
}

/* ---- Once ---- */

static int initialised;

static void initialise(void *arg)
{
	yield_often();
	initialised += *(int *)arg;
}

static void uses_once(void *once)
{
	CHECK(socle_once(once, initialise, &(int){5}) == 0);
	CHECK(initialised == 5);
	socle_waitgroup_done(&crowd);
}

static void panics(void *arg)
{
	initialised++;
	socle_panic("once is %s", (const char *)arg);
}

static void panics_once(void *once) { socle_once(once, panics, "enough"); }

static void test_once(void)
{
	struct socle_once once = {0}, panicked = {0};

	initialised = 0;
	socle_waitgroup_add(&crowd, 5);
	for (int i = 0; i < 5; i++)
		socle_go(uses_once, &once);
	socle_waitgroup_wait(&crowd);
	initialised = 0;
	CHECK(socle_try(panics_once, &panicked, NULL) == -1);
	CHECK(socle_try(panics_once, &panicked, NULL) == 0);
	CHECK(initialised == 1 && panicked.mutex.state == 0);
}

/* ---- Semaphores ---- */

static struct socle_sem sem;

static void takes_one(void *letter)
{
	CHECK(socle_sem_wait(&sem) == 0);
	step(*(char *)letter);
}

static void test_sem(void)
{
	int64_t deadline;

	CHECK(socle_sem_init(&sem, 2) == 0);
	CHECK(socle_sem_wait(&sem) == 0 && socle_sem_trywait(&sem) == 0);
	CHECK(socle_sem_trywait(&sem) == -1 && errno == EAGAIN);
	deadline = socle_now() + 2 * MS;
	CHECK(socle_sem_timedwait(&sem, deadline) == -1 && errno == ETIMEDOUT);
	CHECK(socle_now() >= deadline && sem.waiters.head == NULL);
	deadline = socle_now();
	for (int64_t past = INT64_MIN; past < 0; past /= 2)
		CHECK(socle_sem_timedwait(&sem, past) == -1 && errno == ETIMEDOUT);
	CHECK(socle_now() < deadline + 900 * MS || !one_cpu());
	start_in_order(takes_one, "abc");
	CHECK(socle_sem_post(&sem) == 0 && sem.value == 0);
	CHECK(socle_sem_trywait(&sem) == -1); /* it is a's, before a runs */
	yield_often();
	CHECK(steps_were("a"));
	for (int i = 0; i < 3; i++)
		socle_sem_post(&sem);
	yield_often();
	CHECK(steps_were("cb") && sem.value == 1);
	CHECK(socle_sem_timedwait(&sem, SOCLE_FOREVER) == 0);
	socle_sem_init(&sem, UINT_MAX);
	CHECK(socle_sem_post(&sem) == -1 && errno == EOVERFLOW && sem.value == UINT_MAX);
}

/* ---- Foreign code: refused; inside a callback: as anywhere ---- */

static int refused, not_refused;

static SOCLE_UNCHECKED void refuse(int result)
{
	refused += result == -1 && errno == EPERM;
	not_refused += result != -1 || errno != EPERM;
	errno = 0;
}

static SOCLE_UNCHECKED void tries_all(void *arg)
{
	static struct socle_once once;

	errno = 0;
	refuse(socle_mutex_lock(&mutex)); /* it is locked: would have to wait */
	refuse(socle_rwlock_rdlock(&rwlock));
	refuse(socle_rwlock_tryrdlock(&rwlock));
	refuse(socle_rwlock_wrlock(&rwlock));
	refuse(socle_rwlock_trywrlock(&rwlock));
	refuse(socle_rwlock_unlock(&rwlock));
	refuse(socle_cond_wait(&cond, &mutex));
	refuse(socle_cond_timedwait(&cond, &mutex, 0));
	refuse(socle_cond_signal(&cond));
	refuse(socle_cond_broadcast(&cond));
	refuse(socle_waitgroup_add(&group, 1));
	refuse(socle_waitgroup_done(&group));
	refuse(socle_waitgroup_wait(&group));
	refuse(socle_once(&once, initialise, arg));
	refuse(socle_sem_wait(&sem));
	refuse(socle_sem_trywait(&sem));
	refuse(socle_sem_timedwait(&sem, 0));
	refuse(socle_sem_post(&sem));
}

static void test_foreign(void)
{
	refused = not_refused = 0;
	socle_mutex_lock(&mutex);
	socle_foreign_call(tries_all, &(int){1});
	socle_mutex_unlock(&mutex);
	CHECK(refused == 18 && not_refused == 0);
}

static void adds_in_callback(void *arg)
{
	(void)arg;
	socle_mutex_lock(&mutex);
	inside++;
	socle_yield();
	shared += inside == 1;
	inside--;
	socle_mutex_unlock(&mutex);
	socle_sem_wait(&sem);
}

static SOCLE_UNCHECKED void calls_back(void *arg)
{
	volatile int local = shared;
	int seen = local;

	socle_callback(adds_in_callback, arg);
	overlaps += local != seen;
}

static void calls_foreign(void *arg)
{
	socle_foreign_call(calls_back, arg);
	socle_waitgroup_done(&crowd);
}

static void test_callbacks(void)
{
	shared = inside = 0;
	overlaps = 0;
	socle_sem_init(&sem, 0);
	socle_waitgroup_add(&crowd, 10);
	socle_mutex_lock(&mutex);
	for (int i = 0; i < 10; i++)
		socle_go(calls_foreign, NULL);
	socle_yield();
	socle_mutex_unlock(&mutex);
	while (shared < 10)
		let_others_run();
	for (int i = 0; i < 10; i++)
		socle_sem_post(&sem);
	socle_waitgroup_wait(&crowd);
	CHECK(shared == 10 && overlaps == 0);
}

/* What must come out the same in whatever order goroutines run: for chaos. */
static void in_any_order(void)
{
	test_mutex_free();
	test_mutex_crowd();
	test_rwlock_try();
	test_cond_timeout();
	test_cond_buffer();
	test_once();
	test_foreign();
	test_callbacks();
	wait_for_others();
}

static void all(void)
{
	in_any_order();
	test_mutex_fifo();
	test_mutex_starving();
	test_mutex_hogged();
	test_rwlock_turns();
	test_rwlock_starving(false);
	test_rwlock_starving(true);
	test_cond();
	test_cond_in_time();
	test_cond_too_late();
	test_waitgroup();
	test_sem();
	wait_for_others();
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	if (strcmp(how, "unlock") == 0)
		socle_mutex_unlock(&mutex);
	if (strcmp(how, "unlock-rw") == 0)
		socle_rwlock_unlock(&rwlock);
	if (strcmp(how, "twice") == 0) {
		socle_mutex_lock(&mutex);
		socle_mutex_lock(&mutex);
	}
	repeatedly(strcmp(how, "any-order") == 0 ? in_any_order : all);
	return finish();
}
