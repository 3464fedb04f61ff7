#include "vendor.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#define EXPECT(condition) expect(errors, condition, #condition, __LINE__)
#define N 4

static void expect(int *errors, int condition, const char *text, int line)
{
	if (condition)
		return;
	printf("vendor.c:%d: failed: %s\n", line, text);
	++*errors;
}

/* For a while, which a tick may end. */
static void dawdle(int n)
{
	for (volatile int i = 0; i < n; i++)
		;
}

static void create(pthread_t *t, void *(*fn)(void *), void *arg, int n, int *errors)
{
	for (int i = 0; i < n; i++)
		EXPECT(pthread_create(&t[i], NULL, fn, arg) == 0);
}

static void join(const pthread_t *t, int n, int *errors)
{
	for (int i = 0; i < n; i++)
		EXPECT(pthread_join(t[i], NULL) == 0);
}

/* ---- mutual exclusion ---- */

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static int count;

static void *counts(void *unused)
{
	for (int i = 0; i < 500; i++) {
		int n;

		pthread_mutex_lock(&counting);
		n = count;
		dawdle(100);
		count = n + 1;
		pthread_mutex_unlock(&counting);
	}
	return unused;
}

void mutual_exclusion(void *errors)
{
	pthread_t t[N];

	count = 0;
	create(t, counts, NULL, N, errors);
	join(t, N, errors);
	EXPECT(count == N * 500);
}

/* ---- producers and consumers ---- */

#define ITEMS 500

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t not_full, not_empty;
	int items[3], n, taken;
	long sum;
} buffer = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0, 0, 0};

static void *produces(void *unused)
{
	for (int i = 1; i <= ITEMS; i++) {
		pthread_mutex_lock(&buffer.mutex);
		while (buffer.n == 3)
			pthread_cond_wait(&buffer.not_full, &buffer.mutex);
		buffer.items[buffer.n++] = i;
		pthread_cond_signal(&buffer.not_empty);
		pthread_mutex_unlock(&buffer.mutex);
	}
	return unused;
}

static void *consumes(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&buffer.mutex);
		while (buffer.n == 0 && buffer.taken < 2 * ITEMS)
			pthread_cond_wait(&buffer.not_empty, &buffer.mutex);
		if (buffer.n == 0)
			break;
		buffer.sum += buffer.items[--buffer.n];
		if (++buffer.taken == 2 * ITEMS)
			pthread_cond_broadcast(&buffer.not_empty);
		pthread_cond_signal(&buffer.not_full);
		pthread_mutex_unlock(&buffer.mutex);
	}
	pthread_mutex_unlock(&buffer.mutex);
	return unused;
}

void producers_and_consumers(void *errors)
{
	pthread_t t[4];

	buffer.n = buffer.taken = 0;
	buffer.sum = 0;
	create(t, produces, NULL, 2, errors);
	create(t + 2, consumes, NULL, 2, errors);
	join(t, 4, errors);
	EXPECT(buffer.sum == (long)ITEMS * (ITEMS + 1) && buffer.n == 0);
}

/* ---- results, and what cannot be joined ---- */

static void *twice(void *n) { return (void *)((uintptr_t)n * 2); }

__attribute__((noinline)) static void exit_deep(int depth, void *result)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	if (depth == 0)
		pthread_exit(result);
	exit_deep(depth - 1, result);
	dawdle(frame[0]);
}

static void *exits(void *result)
{
	exit_deep(20, result);
	return NULL;
}

static void *joins_itself(void *unused)
{
	(void)unused;
	return (void *)(uintptr_t)pthread_join(pthread_self(), NULL);
}

void results(void *errors)
{
	pthread_attr_t detached;
	pthread_t t[N], d;
	void *result;

	for (uintptr_t i = 0; i < N; i++)
		EXPECT(pthread_create(&t[i], NULL, i % 2 ? exits : twice, (void *)(i + 1)) == 0);
	for (uintptr_t i = 0; i < N; i++)
		EXPECT(pthread_join(t[i], &result) == 0 && result == (void *)((i + 1) * (i % 2 ? 1 : 2)));
	EXPECT(pthread_join(t[0], NULL) == ESRCH);
	EXPECT(pthread_detach(t[0]) == ESRCH);

	EXPECT(pthread_create(&d, NULL, joins_itself, NULL) == 0);
	EXPECT(pthread_join(d, &result) == 0 && result == (void *)EDEADLK);

	pthread_attr_init(&detached);
	EXPECT(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0);
	EXPECT(pthread_create(&d, &detached, twice, NULL) == 0);
	result = NULL;
	EXPECT(pthread_join(d, &result) == EINVAL || pthread_join(d, &result) == ESRCH);
	EXPECT(pthread_attr_destroy(&detached) == 0);
	EXPECT(pthread_create(&d, NULL, twice, NULL) == 0);
	EXPECT(pthread_detach(d) == 0);
	EXPECT(pthread_detach(pthread_self()) == EINVAL);
	EXPECT(pthread_equal(pthread_self(), pthread_self()) && !pthread_equal(pthread_self(), d));
}

/* ---- stack sizes ---- */

static void *fills(void *kib)
{
	size_t size = (uintptr_t)kib << 10;
	volatile unsigned char bytes[size];
	uintptr_t sum = 0;

	for (size_t i = 0; i < size; i += 512)
		bytes[i] = 1;
	for (size_t i = 0; i < size; i += 512)
		sum += bytes[i];
	return (void *)sum;
}

void stack_sizes(void *errors)
{
	pthread_attr_t attr;
	pthread_t t;
	size_t size;
	void *result;

	EXPECT(pthread_attr_init(&attr) == 0);
	EXPECT(pthread_attr_getstacksize(&attr, &size) == 0 && size == 256 << 10);
	EXPECT(pthread_attr_setstacksize(&attr, 0) == EINVAL);
	EXPECT(pthread_attr_setstacksize(&attr, 1 << 20) == 0);
	EXPECT(pthread_attr_getstacksize(&attr, &size) == 0 && size == 1 << 20);
	EXPECT(pthread_create(&t, &attr, fills, (void *)1000) == 0);
	EXPECT(pthread_join(t, &result) == 0 && result == (void *)2000);
	EXPECT(pthread_attr_setstacksize(&attr, 4096) == 0);
	EXPECT(pthread_create(&t, &attr, fills, (void *)50) == 0);
	EXPECT(pthread_join(t, &result) == 0 && result == (void *)100);
}

/* ---- types of mutex ---- */

static void *tries(void *mutex)
{
	return (void *)(uintptr_t)(pthread_mutex_trylock(mutex) * 1000 + pthread_mutex_unlock(mutex));
}

static int tried_by_another(pthread_mutex_t *m)
{
	pthread_t t;
	void *result;

	pthread_create(&t, NULL, tries, m);
	pthread_join(t, &result);
	return (int)(uintptr_t)result;
}

static void init_mutex(pthread_mutex_t *m, int type, int *errors)
{
	pthread_mutexattr_t attr;
	int is;

	EXPECT(pthread_mutexattr_init(&attr) == 0);
	EXPECT(pthread_mutexattr_settype(&attr, type) == 0);
	EXPECT(pthread_mutexattr_gettype(&attr, &is) == 0 && is == type);
	EXPECT(pthread_mutex_init(m, &attr) == 0);
	EXPECT(pthread_mutexattr_destroy(&attr) == 0);
}

void mutex_types(void *errors)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;

	EXPECT(pthread_mutex_unlock(&m) == EPERM);
	EXPECT(pthread_mutex_trylock(&m) == 0 && pthread_mutex_trylock(&m) == EBUSY);
	EXPECT(pthread_mutex_destroy(&m) == EBUSY);
	EXPECT(pthread_mutex_unlock(&m) == 0 && pthread_mutex_destroy(&m) == 0);

	init_mutex(&m, PTHREAD_MUTEX_RECURSIVE, errors);
	for (int i = 0; i < 3; i++)
		EXPECT(pthread_mutex_lock(&m) == 0);
	EXPECT(pthread_mutex_trylock(&m) == 0);
	EXPECT(tried_by_another(&m) == EBUSY * 1000 + EPERM);
	for (int i = 0; i < 4; i++)
		EXPECT(pthread_mutex_unlock(&m) == 0);
	EXPECT(pthread_mutex_unlock(&m) == EPERM);
	EXPECT(tried_by_another(&m) == 0);

	init_mutex(&m, PTHREAD_MUTEX_ERRORCHECK, errors);
	EXPECT(pthread_mutex_lock(&m) == 0 && pthread_mutex_lock(&m) == EDEADLK);
	EXPECT(pthread_mutex_trylock(&m) == EBUSY);
	EXPECT(tried_by_another(&m) == EBUSY * 1000 + EPERM);
	EXPECT(pthread_mutex_unlock(&m) == 0 && pthread_mutex_unlock(&m) == EPERM);
}

/* ---- first come, first served ---- */

static pthread_mutex_t line = PTHREAD_MUTEX_INITIALIZER;
static volatile int came, served, order[N];

static void *lines_up(void *unused)
{
	int n = came++;

	pthread_mutex_lock(&line);
	order[served++] = n;
	pthread_mutex_unlock(&line);
	return unused;
}

void in_line(void *errors)
{
	pthread_t t[N];

	came = served = 0;
	pthread_mutex_lock(&line);
	for (int i = 0; i < N; i++) {
		create(&t[i], lines_up, NULL, 1, errors);
		while (came == i)
			dawdle(10);
		for (int64_t end = socle_now() + 30000000; socle_now() < end;) /* and now it waits */
			dawdle(1000);
	}
	EXPECT(served == 0);
	pthread_mutex_unlock(&line);
	pthread_mutex_lock(&line); /* behind them all */
	EXPECT(served == N);
	pthread_mutex_unlock(&line);
	join(t, N, errors);
	for (int i = 0; i < N; i++)
		EXPECT(order[i] == i);
}

/* ---- conditions ---- */

void wait_at_gate(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->mutex);
	g->waiting++;
	while (!g->open)
		pthread_cond_wait(&g->cond, &g->mutex);
	g->waiting--;
	if (g->open > 0)
		g->open--;
	pthread_mutex_unlock(&g->mutex);
}

void open_gate(void *arg)
{
	struct gate *g = arg;

	pthread_mutex_lock(&g->mutex);
	g->open = -1;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->mutex);
}

static void *waits(void *gate)
{
	wait_at_gate(gate);
	return NULL;
}

static int waiting_at(struct gate *g)
{
	int n;

	pthread_mutex_lock(&g->mutex);
	n = g->waiting;
	pthread_mutex_unlock(&g->mutex);
	return n;
}

void conditions(void *errors)
{
	struct gate g = {.open = 0};
	pthread_mutex_t free_one = PTHREAD_MUTEX_INITIALIZER;
	pthread_t t[N];

	EXPECT(pthread_mutex_init(&g.mutex, NULL) == 0 && pthread_cond_init(&g.cond, NULL) == 0);
	EXPECT(pthread_cond_wait(&g.cond, &free_one) == EPERM);
	EXPECT(pthread_cond_signal(&g.cond) == 0); /* nobody is there: lost */
	create(t, waits, &g, N, errors);
	while (waiting_at(&g) < N)
		dawdle(1000);
	pthread_mutex_lock(&g.mutex);
	g.open = 1;
	pthread_cond_signal(&g.cond);
	pthread_mutex_unlock(&g.mutex);
	while (waiting_at(&g) > N - 1)
		dawdle(1000);
	dawdle(100000);
	EXPECT(waiting_at(&g) == N - 1);
	open_gate(&g);
	join(t, N, errors);
	EXPECT(g.waiting == 0 && pthread_cond_destroy(&g.cond) == 0);
}

/* ---- with a deadline ---- */

static struct timespec in_ms(int ms)
{
	struct timeval now;
	int64_t then;

	gettimeofday(&now, NULL);
	then = now.tv_sec * 1000000000ll + now.tv_usec * 1000ll + ms * 1000000ll;
	return (struct timespec){.tv_sec = (time_t)(then / 1000000000), .tv_nsec = (long)(then % 1000000000)};
}

static struct gate late = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void *waits_for_ms(void *ms)
{
	struct timespec until = in_ms((int)(uintptr_t)ms);
	int error = 0;

	pthread_mutex_lock(&late.mutex);
	late.waiting++;
	while (!late.open && error == 0)
		error = pthread_cond_timedwait(&late.cond, &late.mutex, &until);
	late.waiting--;
	if (pthread_mutex_trylock(&late.mutex) != EBUSY)
		error += 1000;
	pthread_mutex_unlock(&late.mutex);
	return (void *)(uintptr_t)error;
}

void deadlines(void *errors)
{
	struct timespec wrong = {.tv_sec = 0, .tv_nsec = 1000000000};
	int64_t from = socle_now();
	pthread_t t[3];
	void *result;

	late.open = 0;
	EXPECT(pthread_create(&t[0], NULL, waits_for_ms, (void *)20) == 0);
	EXPECT(pthread_create(&t[1], NULL, waits_for_ms, (void *)0) == 0);
	EXPECT(pthread_create(&t[2], NULL, waits_for_ms, (void *)1000000) == 0);
	EXPECT(pthread_join(t[1], &result) == 0 && result == (void *)ETIMEDOUT);
	EXPECT(pthread_join(t[0], &result) == 0 && result == (void *)ETIMEDOUT);
	EXPECT(socle_now() - from >= 19000000);
	EXPECT(waiting_at(&late) == 1);
	open_gate(&late);
	EXPECT(pthread_join(t[2], &result) == 0 && result == NULL);
	EXPECT(socle_now() - from < 500000000000);
	EXPECT(pthread_cond_timedwait(&late.cond, &late.mutex, &wrong) == EINVAL);

	/* Signalled in time, it waits for the mutex beyond the deadline. */
	late.open = 0;
	EXPECT(pthread_create(&t[0], NULL, waits_for_ms, (void *)20) == 0);
	while (waiting_at(&late) == 0)
		dawdle(1000);
	pthread_mutex_lock(&late.mutex);
	late.open = 1;
	pthread_cond_signal(&late.cond);
	for (from = socle_now(); socle_now() < from + 40000000;)
		dawdle(1000);
	pthread_mutex_unlock(&late.mutex);
	EXPECT(pthread_join(t[0], &result) == 0 && result == NULL);
}

/* ---- specific data ---- */

static pthread_key_t keys[2];
static volatile int destroyed[2];

static void destroy(void *value) { __atomic_add_fetch(&destroyed[0], (int)(uintptr_t)value, __ATOMIC_RELAXED); }

/* Sets itself anew once. */
static void destroy_and_set(void *value)
{
	__atomic_add_fetch(&destroyed[1], (int)(uintptr_t)value, __ATOMIC_RELAXED);
	if (value == (void *)1)
		pthread_setspecific(keys[1], (void *)100);
}

static void *uses_keys(void *unused)
{
	long wrong = pthread_getspecific(keys[0]) != NULL || pthread_getspecific(keys[1]) != NULL;

	(void)unused;
	wrong += pthread_setspecific(keys[0], (void *)7) != 0 || pthread_setspecific(keys[1], (void *)1) != 0;
	dawdle(10000);
	wrong += pthread_getspecific(keys[0]) != (void *)7 || pthread_getspecific(keys[1]) != (void *)1;
	return (void *)wrong;
}

void specific_data(void *errors)
{
	pthread_t t[N];
	pthread_key_t k;
	void *wrong;

	destroyed[0] = destroyed[1] = 0;
	EXPECT(pthread_key_create(&keys[0], destroy) == 0 && pthread_key_create(&keys[1], destroy_and_set) == 0);
	create(t, uses_keys, NULL, N, errors);
	for (int i = 0; i < N; i++)
		EXPECT(pthread_join(t[i], &wrong) == 0 && wrong == NULL);
	EXPECT(destroyed[0] == 7 * N && destroyed[1] == 101 * N);

	EXPECT(pthread_setspecific(keys[0], &k) == 0 && pthread_getspecific(keys[0]) == &k);
	EXPECT(pthread_key_delete(keys[0]) == 0 && pthread_key_delete(keys[0]) == EINVAL);
	EXPECT(pthread_setspecific(keys[0], &k) == EINVAL);
	EXPECT(pthread_key_create(&k, NULL) == 0 && k == keys[0] && pthread_getspecific(k) == NULL);
	EXPECT(pthread_key_delete(k) == 0 && pthread_key_delete(keys[1]) == 0);
}

/* ---- once ---- */

static pthread_once_t once;
static volatile int initialised, ran;

static void initialise(void)
{
	ran++;
	dawdle(8000000);
	initialised = 1;
}

static void *needs_it(void *unused)
{
	(void)unused;
	pthread_once(&once, initialise);
	return (void *)(uintptr_t)initialised;
}

void run_once(void *errors)
{
	pthread_t t[N];
	void *was_initialised;

	once = (pthread_once_t)PTHREAD_ONCE_INIT;
	ran = initialised = 0;
	create(t, needs_it, NULL, N, errors);
	for (int i = 0; i < N; i++)
		EXPECT(pthread_join(t[i], &was_initialised) == 0 && was_initialised == (void *)1);
	EXPECT(ran == 1);
}

/* ---- many ---- */

void churn(void *errors)
{
	pthread_t t;
	void *result;

	for (uintptr_t i = 0; i < 1000; i++)
		EXPECT(pthread_create(&t, NULL, twice, (void *)i) == 0 && pthread_join(t, &result) == 0 &&
		       result == (void *)(2 * i));
	for (int i = 0; i < 200; i++)
		EXPECT(pthread_create(&t, NULL, twice, NULL) == 0 && pthread_detach(t) == 0);
}

/* ---- for main.c ---- */

void who_am_i(void *identity) { ((struct identity *)identity)->in_callback = pthread_self(); }
void leave_by_exit(void *unused) { pthread_exit(unused); }

void *call_back(void *arg)
{
	struct identity *i = arg;

	i->thread = pthread_self();
	i->error = socle_callback(i->callback, i);
	return i;
}

void *lock_both_ways(void *one_first)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(one_first != NULL ? &one : &other);
	dawdle(30000000);
	pthread_mutex_lock(one_first != NULL ? &other : &one);
	return NULL;
}
