/*
 * Locks, races of waiters and timers, channels, select and sync with goroutines on several threads of the host at once.
 * What is handed from one to the other is plain memory, so that TSan sees where an ordering or a lock is missing; what
 * others may still look at when they should not is freed or overwritten, so that ASan and TSan see that.
 */
#include <string.h>

#include "runtime/wait.h"
#include "tests/goroutines.h"

#define ROUNDS 4000

static struct goroutine timers, workers[8];
static atomic_bool timers_stop;

/* What the tick and the scheduler would do. */
static void run_timers(void *unused)
{
	(void)unused;
	while (!timers_stop) {
		for (struct p *p = ps; p < ps + MAX_CPUS; p++)
			timers_run(p, false);
		sched_yield();
	}
}

static int64_t soon(void) { return clock_now() + random_number() % 30000; }

static void run_together(int n, void (*const fns[])(void *), void *arg)
{
	timers_stop = false;
	memset(workers, 0, sizeof workers);
	for (int i = 0; i < n; i++)
		start(&workers[i], fns[i], arg);
	start(&timers, run_timers, NULL);
	for (int i = 0; i < n; i++)
		join(&workers[i]);
	timers_stop = true;
	join(&timers);
}

#define TOGETHER(arg, ...) \
	run_together(sizeof((void (*[])(void *)){__VA_ARGS__}) / sizeof(void *), (void (*[])(void *)){__VA_ARGS__}, arg)

/* ---- Locks ---- */

static struct spin_lock counter_lock;
static unsigned counter;

static void counts(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS * 5; i++) {
		if (i % 2 == 0)
			spin_lock(&counter_lock);
		else if (!spin_try(&counter_lock))
			continue;
		counter++;
		spin_unlock(&counter_lock);
	}
}

static void test_locks(void)
{
	TOGETHER(NULL, counts, counts, counts, counts);
	CHECK(counter >= 4 * ROUNDS * 5 / 2, "each that locked has counted");
}

/* ---- Waiting in a queue with a deadline ---- */

struct place {
	struct spin_lock lock;
	struct socle_waiters queue;
	atomic_int waiting; /* how many goroutines have not ended */
	atomic_uint woken, got;
};

static void waits(void *arg)
{
	struct place *p = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct waiter w;
		bool won;

		lock(&p->lock);
		won = wait_in(&p->queue, &p->lock, &w, i % 4 == 0 ? SOCLE_FOREVER : soon(), "testing", p);
		p->got += won;
		CHECK(won == w.done, "woken by the queue, or by the timer: not both");
		memset(&w, 0x55, sizeof w); /* it is nobody else's any more */
	}
	p->waiting--;
}

static void wakes(void *arg)
{
	struct place *p = arg;

	while (p->waiting > 0) {
		struct waiter *w;
		struct g *g = NULL;

		lock(&p->lock);
		if ((w = take_waiter(&p->queue)) != NULL) {
			w->done = true;
			g = w->g;
		}
		unlock(&p->lock);
		if (g != NULL) {
			p->woken++;
			ready(g);
		} else {
			sched_yield();
		}
	}
}

static void test_deadlines(void)
{
	static struct place p = {.waiting = 4};

	TOGETHER(&p, waits, waits, waits, waits, wakes, wakes);
	CHECK(p.queue.head == NULL && p.woken == p.got, "each wake-up reached one goroutine");
}

/* ---- Channels and select ---- */

struct pipe {
	socle_chan *a, *b;
	atomic_uint sent, received, senders;
};

/* A message is plain memory, the receiver's from then on. */
static unsigned *message(void)
{
	unsigned *m = malloc(sizeof *m);

	*m = 42;
	return m;
}

static bool is_message(unsigned *m)
{
	bool right = *m == 42;

	free(m);
	return right;
}

static void close_when_last(struct pipe *p)
{
	if (--p->senders == 0) {
		socle_chan_close(p->a);
		socle_chan_close(p->b);
	}
}

static void sends(void *arg)
{
	struct pipe *p = arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned *m = message();

		p->sent++;
		socle_chan_send(i % 2 ? p->a : p->b, &m);
	}
	close_when_last(p);
}

static void sends_selecting(void *arg)
{
	struct pipe *p = arg;

	for (int i = 0; i < ROUNDS; i++) {
		unsigned *m = message();
		struct socle_case cases[] = {{SOCLE_SEND, p->a, &m, 0}, {SOCLE_SEND, p->b, &m, 0}};

		p->sent++;
		if (socle_select(cases, 2, i % 3 == 0 ? SOCLE_FOREVER : soon()) < 0) {
			p->sent--;
			free(m);
		}
	}
	close_when_last(p);
}

static void receives_selecting(void *arg)
{
	struct pipe *p = arg;
	unsigned *m, closed = 0;
	struct socle_case cases[] = {{SOCLE_RECV, p->b, &m, 0}, {SOCLE_RECV, p->a, &m, 0}}; /* not as they are sent */

	while (closed < 2) {
		int i = socle_select(cases, 2, soon());

		if (i < 0)
			continue;
		if (cases[i].error == 0) {
			p->received += is_message(m);
		} else {
			cases[i].chan = NULL;
			closed++;
		}
	}
}

static void test_channels(size_t capacity)
{
	struct pipe p = {.a = socle_chan_make(sizeof(void *), capacity),
			 .b = socle_chan_make(sizeof(void *), capacity),
			 .senders = 4};

	TOGETHER(&p, sends, sends, sends_selecting, sends_selecting, receives_selecting, receives_selecting,
		 receives_selecting);
	CHECK(p.sent == p.received && p.sent > 2 * ROUNDS, "what was sent has arrived, whole, once");
	socle_chan_free(p.a);
	socle_chan_free(p.b);
}

/* A select that another channel has ended does not keep a channel from being freed, though it is still queued there. */
struct two {
	socle_chan *c[2];
};

static void offers_two(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct two two = {{socle_chan_make(sizeof(int), 0), socle_chan_make(sizeof(int), 0)}};
		struct socle_case cases[] = {{SOCLE_SEND, two.c[0], &(int){0}, 0},
					     {SOCLE_SEND, two.c[1], &(int){1}, 0}};

		socle_chan_send(arg, &two);
		CHECK(socle_select(cases, 2, SOCLE_FOREVER) >= 0, "one of two");
	}
}

static void takes_one_frees_both(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct two two;
		int n = -1;

		socle_chan_recv(arg, &two);
		socle_chan_recv(two.c[i % 2], &n);
		CHECK(n == i % 2, "the one that was received from");
		socle_chan_free(two.c[0]);
		socle_chan_free(two.c[1]);
	}
}

static void test_free(void)
{
	socle_chan *c = socle_chan_make(sizeof(struct two), 0);

	TOGETHER(c, offers_two, takes_one_frees_both, offers_two, takes_one_frees_both);
	socle_chan_free(c);
}

/* close wakes all that wait, and does not look at their stacks after that. */
struct closing {
	socle_chan *hand_out;
	struct socle_waitgroup group;
};

static void __attribute__((noinline)) overwrite_stack(void)
{
	volatile char below[400];

	memset((char *)below, 0x55, sizeof below);
}

static void receives_close(void *arg)
{
	struct closing *closing = arg;

	for (int i = 0; i < ROUNDS / 4; i++) {
		socle_chan *c;

		socle_chan_recv(closing->hand_out, &c);
		CHECK(socle_chan_recv(c, NULL) < 0, "closed");
		overwrite_stack();
		socle_waitgroup_done(&closing->group);
	}
}

static void closes(void *arg)
{
	struct closing *closing = arg;

	for (int i = 0; i < ROUNDS / 4; i++) {
		socle_chan *c = socle_chan_make(1, 0);

		socle_waitgroup_add(&closing->group, 3);
		for (int k = 0; k < 3; k++)
			socle_chan_send(closing->hand_out, &c);
		socle_yield();
		socle_chan_close(c);
		socle_waitgroup_wait(&closing->group);
		socle_chan_free(c);
	}
}

static void test_close(void)
{
	struct closing closing = {.hand_out = socle_chan_make(sizeof(socle_chan *), 0)};

	TOGETHER(&closing, closes, receives_close, receives_close, receives_close);
	socle_chan_free(closing.hand_out);
}

/* ---- Sync ---- */

static struct {
	struct socle_mutex mutex;
	struct socle_rwlock rwlock;
	struct socle_cond cond;
	struct socle_sem sem;
	struct socle_waitgroup group;
	struct socle_once once;
	unsigned by_mutex, by_rwlock, queued, initialised;
	atomic_int items;
	atomic_uint got;
} sync_test;

static void initialises(void *unused)
{
	(void)unused;
	sync_test.initialised++;
}

static void uses_locks(void *unused)
{
	unsigned seen, last = 0;

	(void)unused;
	socle_once(&sync_test.once, initialises, NULL);
	CHECK(sync_test.initialised == 1, "once");
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 5 == 0 && socle_mutex_trylock(&sync_test.mutex) == 0)
			socle_mutex_unlock(&sync_test.mutex);
		socle_mutex_lock(&sync_test.mutex);
		sync_test.by_mutex++;
		socle_mutex_unlock(&sync_test.mutex);
		socle_rwlock_wrlock(&sync_test.rwlock);
		sync_test.by_rwlock++;
		socle_rwlock_unlock(&sync_test.rwlock);
		socle_rwlock_rdlock(&sync_test.rwlock);
		seen = sync_test.by_rwlock;
		socle_rwlock_unlock(&sync_test.rwlock);
		CHECK(seen > last, "readers see what was written");
		last = seen;
	}
	socle_waitgroup_done(&sync_test.group);
}

static void waits_for_group(void *unused)
{
	(void)unused;
	socle_waitgroup_wait(&sync_test.group);
	CHECK(sync_test.by_mutex == 3 * ROUNDS && sync_test.by_rwlock == 3 * ROUNDS, "nothing was lost");
}

static void test_sync_locks(void)
{
	sync_test.group.count = 3;
	TOGETHER(NULL, uses_locks, uses_locks, uses_locks, waits_for_group, waits_for_group);
}

static void puts_items(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		socle_mutex_lock(&sync_test.mutex);
		sync_test.queued++;
		socle_mutex_unlock(&sync_test.mutex);
		socle_cond_signal(&sync_test.cond);
		socle_sem_post(&sync_test.sem);
	}
}

static void takes_items(void *unused)
{
	(void)unused;
	for (int item; (item = sync_test.items--) > 0;) {
		socle_mutex_lock(&sync_test.mutex);
		while (sync_test.queued == 0)
			socle_cond_timedwait(&sync_test.cond, &sync_test.mutex, item % 2 ? SOCLE_FOREVER : soon());
		sync_test.queued--;
		socle_mutex_unlock(&sync_test.mutex);
		while (socle_sem_timedwait(&sync_test.sem, soon()) < 0)
			;
		sync_test.got++;
	}
}

static void test_sync_waits(void)
{
	sync_test.items = 2 * ROUNDS;
	TOGETHER(NULL, puts_items, puts_items, takes_items, takes_items, takes_items);
	CHECK(sync_test.got == 2 * ROUNDS && sync_test.queued == 0 && sync_test.sem.value == 0, "each item once");
}

int main(void)
{
	static struct goroutine self;

	become(&self);
	test_locks();
	test_deadlines();
	test_channels(0);
	test_channels(3);
	test_free();
	test_close();
	test_sync_locks();
	test_sync_waits();
	return end_checks();
}
