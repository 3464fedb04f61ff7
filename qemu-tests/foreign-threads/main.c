/*
 * Foreign threads: their callbacks get a goroutine and give it up. With an argument: what must end the image.
 */
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

#define US 1000ll
#define MS 1000000ll

enum { THREADS = 6, CALLS = 10 };

static struct socle_waitgroup running;

static void done(void *unused)
{
	(void)unused;
	socle_waitgroup_done(&running);
}

static void thread(size_t stack_size, socle_fn fn, void *arg)
{
	struct socle_foreign_attr attr = {.stack_size = stack_size};

	socle_waitgroup_add(&running, 1);
	CHECK(socle_foreign_thread(stack_size != 0 ? &attr : NULL, fn, arg) == 0);
}

/* The last one still gives up its goroutine when it has said that it is done. */
static void all_done(void)
{
	socle_waitgroup_wait(&running);
	sleep_for_others();
	CHECK(foreign_threads_attached() == 0);
}

static void nothing(void *unused) { (void)unused; }

static void call_from_threads(int times, socle_fn fn, void *arg)
{
	struct caller callers[THREADS];
	int errors = 0;

	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){.fn = fn, .done = done, .arg = arg, .times = times};
		thread(0, call_back, &callers[i]);
	}
	all_done();
	for (int i = 0; i < THREADS; i++)
		errors += callers[i].errors;
	CHECK(errors == 0);
}

/* ---- callbacks that fail, and recover ---- */

struct sum {
	struct socle_mutex mutex;
	int faults, panics, cleanups, wrong;
};

static void panics(void *sum)
{
	struct socle_cleanup c;

	socle_cleanup_push(&c, done, NULL);
	socle_panic("callback %d", ((struct sum *)sum)->panics);
}

static void fails(void *arg)
{
	struct socle_fault fault = {0};
	struct socle_foreign_attr attr = {.fault = &fault};
	struct socle_panic panic;
	struct sum *s = arg;

	socle_mutex_lock(&s->mutex);
	if (socle_foreign_call_attr(&attr, read_null, NULL) == -1 && errno == EFAULT && fault.address == 8)
		s->faults++;
	socle_waitgroup_add(&running, 1);
	if (socle_try(panics, s, &panic) == -1 && strncmp(panic.message, "callback", 8) == 0)
		s->panics++;
	s->wrong += getg()->callbacks != 1 || foreign_threads_attached() == 0 || !is_foreign_thread(&getg()->m->g0);
	socle_mutex_unlock(&s->mutex);
}

static void test_failures(void)
{
	struct sum s = {0};

	call_from_threads(CALLS, fails, &s);
	CHECK(s.faults == THREADS * CALLS && s.panics == THREADS * CALLS && s.wrong == 0);
}

/* ---- callbacks that block ---- */

static struct socle_chan *channel;

static void sends(void *n)
{
	int value = ++*(atomic_int *)n;

	socle_chan_send(channel, &value);
}

static void receives(void *total)
{
	int value;

	while (socle_chan_recv(channel, &value) == 0)
		*(long *)total += value;
}

static void test_channel(void)
{
	long total = 0;
	atomic_int n = 0;

	channel = socle_chan_make(sizeof(int), 0);
	socle_go(receives, &total);
	socle_waitgroup_add(&running, 1); /* the receiver must not be waited for yet */
	struct caller c[THREADS];
	for (int i = 0; i < THREADS; i++) {
		c[i] = (struct caller){.fn = sends, .done = done, .arg = &n, .times = CALLS};
		thread(0, call_back, &c[i]);
	}
	socle_waitgroup_done(&running);
	socle_waitgroup_wait(&running);
	socle_chan_close(channel);
	all_done();
	CHECK(n == THREADS * CALLS && total == (long)n * (n + 1) / 2);
	socle_chan_free(channel);
}

static volatile bool stop;
static volatile int most_attached;

static void sleeps(void *n)
{
	int attached = (int)foreign_threads_attached();

	most_attached = attached > most_attached ? attached : most_attached;
	socle_sleep(100 * US);
	++*(atomic_int *)n;
}

/* An interrupt every 50 us, during all of an attach. */
static void storm(void *count)
{
	while (!stop) {
		socle_sleep(50 * US);
		++*(int *)count;
	}
}

static void test_sleep_in_a_storm(void)
{
	struct caller c[THREADS];
	atomic_int n = 0;
	int interrupts = 0;

	stop = false;
	most_attached = 0;
	socle_go(storm, &interrupts);
	for (int i = 0; i < THREADS; i++) {
		c[i] = (struct caller){.fn = sleeps, .done = done, .arg = &n, .times = CALLS};
		thread(0, call_back, &c[i]);
	}
	socle_waitgroup_wait(&running);
	stop = true;
	all_done();
	CHECK(n == THREADS * CALLS && interrupts > (one_cpu() ? 10 : 0));
	CHECK(most_attached == THREADS || !one_cpu());
}

/* ---- a callback that calls foreign code that calls back ---- */

static atomic_int depth;

static void inner(void *unused)
{
	(void)unused;
	depth += getg()->callbacks == 2;
	socle_sleep(US);
	socle_panic("from the depth");
}

static void middle(void *unused)
{
	(void)unused;
	socle_foreign_call(call_back_once, (void *)inner);
}

static void outer(void *unused)
{
	struct socle_panic panic;
	unsigned long id = socle_id();

	(void)unused;
	for (int i = 0; i < 2; i++)
		if (socle_try(middle, NULL, &panic) == -1 && getg()->callbacks == 1 && socle_id() == id)
			depth++;
}

static void test_nested(void)
{
	depth = 0;
	call_from_threads(CALLS, outer, NULL);
	CHECK(depth == THREADS * CALLS * 4);
}

/* ---- stacks ---- */

static void asks_for_stack(void *arg)
{
	struct filler *f = arg;
	struct socle_stack_info lowest, highest;

	CHECK(socle_stack_query((void *)f->lo, &lowest) == 0 && socle_stack_query((void *)f->hi, &highest) == 0);
	CHECK(lowest.kind == SOCLE_STACK_THREAD && lowest.id == socle_id() && lowest.lo == highest.lo);
	CHECK(lowest.high_water <= f->lo && lowest.backed >= f->bytes);
	CHECK(strcmp(lowest.owner, "foreign thread") == 0);
}

static void test_stacks(void)
{
	struct filler f = {.bytes = 1000 << 10, .fn = asks_for_stack, .done = done};
	struct socle_foreign_attr small = {.stack_size = 4096}, huge = {.stack_size = (size_t)1 << 31};

	thread(1 << 20, fill_stack, &f);
	all_done();
	CHECK(f.result == 0 && f.kept);

	CHECK(socle_foreign_thread(&small, fill_stack, &f) == -1 && errno == EINVAL);
	CHECK(socle_foreign_thread(&huge, fill_stack, &f) == -1 && errno == EINVAL);
	CHECK(socle_foreign_thread(NULL, NULL, &f) == -1 && errno == EINVAL);
}

/* However little is left, the callback is made or refused. */
static void test_little_stack(void)
{
	int made = 0, refused = 0;

	for (size_t left = 4400; left < 7600; left += 16) {
		struct filler f = {.bytes = (256 << 10) - left, .fn = nothing, .done = nothing};

		socle_foreign_thread(NULL, fill_stack, &f);
		sleep_for_others();
		made += f.result == 0 && f.kept;
		refused += f.result == -1 && f.error == EOVERFLOW && f.kept;
	}
	CHECK(made > 5 && refused > 5 && made + refused == 200);
}

/* ---- the C library ---- */

static void sees_errno(void *arg)
{
	struct worker *w = arg;

	socle_yield();
	if (errno < w->value || errno > w->value + w->rounds)
		w->errors++;
	errno++;
}

static void test_libc(void)
{
	struct worker w[THREADS];
	int errors = 0;

	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.fn = sees_errno, .done = done, .value = 1000 * (i + 1), .rounds = 300};
		thread(0, work, &w[i]);
	}
	errno = 77;
	all_done();
	CHECK(errno == 77);
	for (int i = 0; i < THREADS; i++)
		errors += w[i].errors;
	CHECK(errors == 0);
}

/* ---- threads that compute ---- */

static void test_share(void)
{
	struct spinner s[3];
	unsigned long before;
	int64_t late = 0;

	stop = false;
	for (int i = 0; i < 3; i++) {
		s[i] = (struct spinner){.done = done, .stop = &stop};
		thread(0, spin, &s[i]);
	}
	for (int i = 0; i < 6; i++) {
		int64_t due = socle_now() + 10 * MS, by;

		socle_sleep(10 * MS);
		by = socle_now() - due;
		late = by > late ? by : late;
	}
	CHECK(late < 20 * MS || !one_cpu());
	CHECK(SOON(s[0].rounds > 0 && s[1].rounds > 0 && s[2].rounds > 0));
	before = s[0].rounds;
	for (int64_t end = socle_now() + (one_cpu() ? 50 : 5000) * MS; socle_now() < end && s[0].rounds == before;)
		for (volatile int i = 0; i < 1000; i++)
			;
	CHECK(s[0].rounds > before); /* a goroutine that computes leaves them their turns */
	stop = true;
	all_done();
}

static void test_registers(void)
{
	struct holder h[THREADS];
	unsigned before = thread_switches();
	int kept = 0;

	for (int i = 0; i < THREADS; i++) {
		h[i] = (struct holder){.done = done, .times = 5000000, .seed = (unsigned char)(i * 31)};
		thread(0, hold_registers, &h[i]);
	}
	all_done();
	for (int i = 0; i < THREADS; i++)
		kept += h[i].kept;
	CHECK(kept == THREADS && (thread_switches() - before > 3 * THREADS || !one_cpu()));
}

/* ---- started by a thread, and by a callback of one ---- */

static void starts_one_more(void *caller) { CHECK(socle_foreign_thread(NULL, call_back, caller) == 0); }
static void test_start_from_thread(void)
{
	struct caller last = {.fn = nothing, .done = done, .times = 1};
	struct caller first = {.fn = starts_one_more, .done = nothing, .arg = &last, .times = 1};

	thread(0, starts_another, &first);
	all_done();
	CHECK(first.errors == 0 && last.errors == 0);
}

/* ---- many, one after the other ---- */

static void test_churn(void)
{
	struct caller c = {.fn = nothing, .done = done, .times = 1};

	for (int i = 0; i < 200; i++) {
		socle_waitgroup_add(&running, 1);
		c.errors += socle_foreign_thread(NULL, call_back, &c) != 0;
		socle_waitgroup_wait(&running);
	}
	all_done();
	CHECK(c.errors == 0);
}

static void all(void)
{
	test_little_stack(); /* first: no goroutine's stack is there for reuse, which takes the most of the thread's */
	test_failures();
	test_channel();
	test_sleep_in_a_storm();
	test_nested();
	test_stacks();
	test_libc();
	test_share();
	test_registers();
	test_start_from_thread();
	test_churn();
}

/* ---- what ends the image ---- */

static void panic_uncaught(void *unused)
{
	(void)unused;
	socle_panic("nobody catches this");
}

static void exits(void *unused)
{
	(void)unused;
	socle_exit();
}

static int end(const char *how)
{
	struct caller c = {.fn = strcmp(how, "exit") == 0 ? exits : panic_uncaught, .done = done, .times = 1};

	if (strcmp(how, "fault") == 0)
		socle_foreign_thread(NULL, read_null, NULL);
	else if (strcmp(how, "overflow") == 0)
		socle_foreign_thread(NULL, overflow, NULL);
	else
		socle_foreign_thread(NULL, call_back, &c);
	socle_sleep(1000 * MS);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strncmp(argv[1], "chaos", 5) != 0)
		return end(argv[1]);
	repeatedly(all);
	return finish();
}
