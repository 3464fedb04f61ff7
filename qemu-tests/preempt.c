/*
 * Preemption: loops without calls do not stop the others, and find every register as they left it, thousands of times.
 * Run plainly and with chaos=SEED (tests.toml), which makes turns short.
 */
#include <stdlib.h>

#include "qemu-tests/check.h"
#include "qemu-tests/hold.h"
#include "runtime/runq.h"

#define MS 1000000ll

static volatile bool stop;

/* ---- a loop without calls ---- */

static void spins(void *count)
{
	while (!stop)
		++*(volatile unsigned long *)count;
}

/* main sleeps, and is woken in time, though nobody ever yields: not behind the others, which would each have a turn first. */
static void test_sleeper(void)
{
	volatile unsigned long count[3] = {0};
	int64_t before = socle_now(), late;

	stop = false;
	for (int i = 0; i < 3; i++)
		socle_go(spins, (void *)&count[i]);
	socle_sleep(50 * MS);
	late = socle_now() - before - 50 * MS;
	CHECK(late >= 0 && (late < (chaos_started ? 10 : 1) * MS || !one_cpu()));
	CHECK(SOON(count[0] > 0 && count[1] > 0 && count[2] > 0));
	stop = true;
	wait_for_others();
}

static void naps(void *count)
{
	while (!stop) {
		socle_sleep(1);
		++*(volatile unsigned long *)count;
	}
}

/* However often somebody comes first, the others come, too. */
static void test_naps(void)
{
	volatile unsigned long naps_taken[3] = {0}, spun = 0;
	int64_t end = socle_now() + 5000 * MS;

	stop = false;
	for (int i = 0; i < 3; i++)
		socle_go(naps, (void *)&naps_taken[i]);
	socle_go(spins, (void *)&spun);
	while ((spun < 1000 || naps_taken[0] < 20 || naps_taken[1] < 20 || naps_taken[2] < 20) && socle_now() < end)
		let_others_run();
	CHECK(socle_now() < end);
	stop = true;
	wait_for_others();
}

/* Nobody sleeps: the turn alone lets main go on. Chaos may pick main and one of the others a few times in a row. */
static void test_turns(void)
{
	volatile unsigned long count[2] = {0};
	int64_t end = socle_now() + 5000 * MS;

	stop = false;
	socle_go(spins, (void *)&count[0]);
	socle_go(spins, (void *)&count[1]);
	for (int i = 0; i < 5 || ((count[0] == 0 || count[1] == 0) && socle_now() < end); i++)
		let_others_run();
	stop = true;
	wait_for_others();
	CHECK(count[0] > 0 && count[1] > 0);
}

/* ---- two that hand to each other, beside two that compute ---- */

enum { ROUND_TRIPS = 200 };

struct players {
	socle_chan *there, *back;
};

static void answers(void *players)
{
	struct players *p = players;
	int ball;

	while (socle_chan_recv(p->there, &ball) == 0)
		socle_chan_send(p->back, &ball);
}

static bool returns(struct players *p, int ball)
{
	int back = -1;

	return socle_chan_send(p->there, &ball) == 0 && socle_chan_recv(p->back, &back) == 0 && back == ball;
}

/* They do not wait for a turn of the others each time; nor do the others wait for ever. */
static void test_players(void)
{
	struct players p = {socle_chan_make(sizeof(int), 0), socle_chan_make(sizeof(int), 0)};
	volatile unsigned long count[2] = {0};
	int64_t end = socle_now() + 20000 * MS;
	unsigned long before, seen, turns;
	int lost = 0;

	stop = false;
	socle_go(answers, &p);
	for (int i = 0; i < 2; i++)
		socle_go(spins, (void *)&count[i]);
	while ((count[0] == 0 || count[1] == 0) && socle_now() < end)
		let_others_run();
	before = this_p()->preempted;
	for (int i = 0; i < ROUND_TRIPS; i++)
		lost += !returns(&p, i);
	turns = this_p()->preempted - before;
	CHECK(turns < ROUND_TRIPS / 10 || !one_cpu() || chaos_started);
	for (int turn = 0; turn < 3; turn++) {
		seen = count[0];
		for (int i = 0; count[0] == seen && socle_now() < end; i++)
			lost += !returns(&p, i);
	}
	CHECK(lost == 0 && socle_now() < end);
	stop = true;
	socle_chan_close(p.there);
	wait_for_others();
	socle_chan_free(p.there);
	socle_chan_free(p.back);
}

/* Who has readied somebody and does not make room does not keep it from running: on one CPU until its own turn is over, on
 * several until another takes it. */
static atomic_bool served;

static void is_served(void *chan)
{
	int ball;

	served = socle_chan_recv(chan, &ball) == 0;
}

static void test_readied(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	int64_t end = socle_now() + 5000 * MS;
	struct g *g;

	served = false;
	socle_go(is_served, c);
	let_others_run();
	CHECK(socle_chan_send(c, &(int){1}) == 0);
	g = one_cpu() ? NULL : stay();
	while (!served && socle_now() < end)
		arch_pause();
	if (g != NULL)
		move_on(g);
	CHECK(served);
	wait_for_others();
	socle_chan_free(c);
}

/* The same in a callback, so that only one m can run it, and all other CPUs are busy: nobody takes it from this one. */
static SOCLE_UNCHECKED void waits_in_callback(void *chan) { socle_callback(is_served, chan); }
static void calls_who_waits(void *chan) { socle_foreign_call(waits_in_callback, chan); }

static void test_readied_in_callback(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	volatile unsigned long count[MAX_CPUS] = {0};
	int64_t end = socle_now() + 5000 * MS;

	stop = false;
	served = false;
	socle_go(calls_who_waits, c);
	for (int cpu = 1; cpu < socle_ncpu(); cpu++) {
		socle_go(spins, (void *)&count[cpu]);
		while (count[cpu] == 0 && socle_now() < end)
			let_others_run();
	}
	let_others_run();
	CHECK(socle_chan_send(c, &(int){1}) == 0);
	while (!served && socle_now() < end)
		;
	CHECK(served);
	stop = true;
	wait_for_others();
	socle_chan_free(c);
}

/* ---- more than a run queue holds: those in it are not forgotten for those in the global one ---- */

enum { CROWD = RUN_QUEUE + 44 };

static void is_of_crowd(void *ran)
{
	*(volatile bool *)ran = true;
	while (!stop) {
		end_turn_soon();
		for (volatile int i = 0; i < 5000 && !stop; i++)
			;
	}
}

static void test_crowd(void)
{
	static volatile bool ran[CROWD];
	int64_t end = socle_now() + 20000 * MS;
	int n = 0;

	stop = false;
	for (int i = 0; i < CROWD; i++) {
		ran[i] = false;
		socle_go(is_of_crowd, (void *)&ran[i]);
	}
	while (n < CROWD && socle_now() < end) {
		let_others_run();
		n = 0;
		for (int i = 0; i < CROWD; i++)
			n += ran[i];
	}
	stop = true;
	wait_for_others();
	CHECK(n == CROWD);
}

/* ---- a loop at the end of its stack, or where what saves its registers reaches a page that is not there yet ---- */

struct place {
	bool page;   /* above the first page's end, not above stackguard */
	unsigned at; /* bytes */
	volatile unsigned long rounds;
};

static atomic_uint spoilt;

/* Checked, so no deeper than stackguard less the small frame that is compared without its size. */
static __attribute__((noinline)) void spins_below(uintptr_t sp, volatile unsigned long *rounds)
{
	volatile uintptr_t canary = sp ^ (uintptr_t)&canary;

	if ((uintptr_t)&canary > sp)
		spins_below(sp, rounds);
	else
		while (!stop)
			++*rounds;
	spoilt += canary != (sp ^ (uintptr_t)&canary);
}

static void spins_at(void *arg)
{
	struct place *p = arg;
	const struct g *g = getg();
	uintptr_t from = p->page ? (uintptr_t)(g->stack + 1) - PAGE_SIZE : g->tcb.stack_limit;

	spins_below(from + p->at, &p->rounds);
}

static void test_end_of_stack(void)
{
	static const struct socle_go_attr smallest = {.name = "smallest", .stack_size = 8192};
	struct place places[] = {
		{.at = 64}, {.at = 200}, {.at = 600}, {.page = true, .at = 160}, {.page = true, .at = 900}};
	enum { PLACES = sizeof places / sizeof places[0] };
	int64_t end = socle_now() + 5000 * MS;
	int spun = 0;

	stop = false;
	for (int i = 0; i < PLACES; i++)
		CHECK(socle_go_attr(i % 2 ? NULL : &smallest, spins_at, &places[i]) == 0);
	for (int i = 0; i < PLACES; i++) {
		while (places[i].rounds == 0 && socle_now() < end)
			let_others_run();
		spun += places[i].rounds > 0;
	}
	stop = true;
	wait_for_others();
	CHECK(spun == PLACES && spoilt == 0);
}

/* ---- a turn that ends in a yield ---- */

static volatile unsigned long yields;

static void yields_on(void *unused)
{
	(void)unused;
	while (!stop) {
		yields++;
		socle_yield();
	}
}

/* Wherever that is: the one that does not yield any more does not keep the other waiting for ever. */
static void test_yields(void)
{
	unsigned long before = 0;

	stop = false;
	socle_go(yields_on, NULL);
	for (int64_t ns = 0; ns < 600; ns += chaos_started ? 2 : 50) {
		end_turn_in(ns);
		socle_yield();
		for (before = yields; before == yields;)
			;
	}
	stop = true;
	wait_for_others();
	CHECK(before > 0);
}

/* ---- loops that are in the runtime, or in a handler, nearly all the time: no tick finds them elsewhere ---- */

static SOCLE_UNCHECKED void touches_nothing(void *unused)
{
	(void)unused;
	*(volatile int *)0 = 0;
}

static void polls(void *chan)
{
	struct socle_case receive = {.op = SOCLE_RECV, .chan = chan};

	while (!stop)
		socle_select(&receive, 1, 0);
}

static void panics_on(void *unused)
{
	while (!stop)
		socle_try(touches_nothing, unused, NULL);
}

static void fails(void *unused)
{
	while (!stop)
		socle_foreign_call(touches_nothing, unused);
}

static void fails_elsewhere(void *unused)
{
	static const struct socle_foreign_attr own = {.stack_size = 65536};

	while (!stop)
		socle_foreign_call_attr(&own, touches_nothing, unused);
}

static unsigned elsewhere; /* how often main came upon a g0 that was still a call's */

static int64_t latest_of(int naps)
{
	int64_t latest = 0;

	for (; naps > 0; naps--) {
		int64_t until = socle_now() + 2 * MS, late;

		socle_sleep(2 * MS);
		late = socle_now() - until;
		elsewhere += !g0_is_own();
		if (late > latest)
			latest = late;
	}
	return latest;
}

/* Sleepers are woken in time, and each of the others has its turn, and no longer one. */
static void test_in_the_runtime(socle_fn loop)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	volatile unsigned long spun = 0;
	int64_t late, end;

	stop = false;
	elsewhere = 0;
	for (int i = 0; i < 2; i++)
		socle_go(loop, c);
	late = latest_of(5);
	CHECK(late < MS || chaos_started || !one_cpu());
	socle_go(spins, (void *)&spun);
	end = socle_now() + (one_cpu() && !chaos_started ? 50 : 5000) * MS;
	while (spun == 0 && socle_now() < end)
		let_others_run();
	CHECK(spun > 0);
	stop = true;
	wait_for_others();
	CHECK(elsewhere == 0 && g0_is_own());
	socle_chan_free(c);
}

/* Whose turn was found over, for somebody who has gone elsewhere since, goes on: a yield may change its m for nothing. */
static void test_due_for_nobody(void)
{
	struct socle_case receive = {.op = SOCLE_RECV, .chan = socle_chan_make(sizeof(int), 0)};
	unsigned before;

	socle_yield();
	before = this_p()->until_global;
	this_p()->due |= TURN_DUE | THREADS_DUE;
	CHECK(socle_select(&receive, 1, 0) == -1);
	CHECK(this_p()->until_global == before);
	socle_chan_free(receive.chan);
}

/* More of them than a run queue holds. */
static volatile unsigned switches;

static void polls_in_crowd(void *chan)
{
	static void *volatile last;
	struct socle_case receive = {.op = SOCLE_RECV, .chan = chan};

	while (!stop) {
		switches += last != &receive;
		last = &receive;
		socle_select(&receive, 1, 0);
	}
}

static void test_crowd_in_the_runtime(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);

	stop = false;
	for (int i = 0; i < CROWD; i++)
		socle_go(polls_in_crowd, c);
	switches = 0;
	socle_sleep(60 * MS);
	CHECK(switches >= 3 && switches <= 10);
	stop = true;
	wait_for_others();
	socle_chan_free(c);
}

/* ---- who came back from a foreign turn by the global queue does not keep all others there ---- */

/* Or, where the others have gone to another CPU, waits some turns in vain. */
static SOCLE_UNCHECKED void has_a_turn_ended(void *unused)
{
	unsigned long before = this_p()->preempted;
	int64_t end = socle_now() + 50 * MS;

	(void)unused;
	while (this_p()->preempted == before && socle_now() < end)
		;
}

static void yields_on_after_turn(void *unused)
{
	socle_foreign_call(has_a_turn_ended, NULL);
	yields_on(unused);
}

static void test_after_foreign_turn(socle_fn yielder)
{
	unsigned times = 0;

	stop = false;
	yields = 0;
	for (int i = 0; i < 2; i++)
		socle_go(yielder, NULL);
	CHECK(socle_foreign_call(has_a_turn_ended, NULL) == 0);
	while (yields < 100)
		socle_yield();
	for (int i = 0; i < 20; i++) {
		socle_yield();
		times += !global_queue_empty();
	}
	CHECK(times == 0 || chaos_started || !one_cpu());
	stop = true;
	wait_for_others();
}

/* ---- registers ---- */

struct holder {
	uint32_t seed;
	bool wrong;
	unsigned long rounds;
};

static void holds(void *arg)
{
	struct holder *h = arg;
	char c = 0;

	while (!stop) {
		h->wrong |= !held(h->seed++, &c, 20000);
		__atomic_store_n(&h->rounds, h->rounds + 1, __ATOMIC_RELAXED);
	}
}

static bool all_have_held(const struct holder *h, int n)
{
	for (int i = 0; i < n; i++)
		if (__atomic_load_n(&h[i].rounds, __ATOMIC_RELAXED) == 0)
			return false;
	return true;
}

static unsigned long all_preempted(void)
{
	unsigned long n = 0;

	for (int i = 0; i < socle_ncpu(); i++)
		n += ps[i].preempted;
	return n;
}

static void test_registers(void)
{
	struct holder h[4 * MAX_CPUS];
	unsigned long before = all_preempted();
	int n = 4 * socle_ncpu(), right = 0;

	stop = false;
	for (int i = 0; i < n; i++) {
		h[i] = (struct holder){(uint32_t)(i + 1) * 1000, false, 0};
		socle_go(holds, &h[i]);
	}
	socle_sleep(300 * MS);
	CHECK(SOON(all_have_held(h, n)));
	stop = true;
	wait_for_others();
	CHECK(all_preempted() - before > (!one_cpu() ? 0 : chaos_random() != 0 ? 1000 : 20));
	for (int i = 0; i < n; i++)
		right += !h[i].wrong;
	CHECK(right == n);
}

/* ---- in callbacks, while growing, while allocating: wherever a turn may end ---- */

static int recursions;

static int __attribute__((noinline)) recurse(volatile int *above, int n)
{
	volatile int here[64];

	here[0] = *above + 1;
	return n == 0 ? here[0] : recurse(here, n - 1);
}

static void grows_in_callback(void *arg)
{
	volatile int zero = 0;

	__atomic_fetch_add(&recursions, recurse(&zero, 100) == 101, __ATOMIC_RELAXED); /* a turn may end in a += */
	(void)arg;
}

static SOCLE_UNCHECKED void calls_back(void *arg) { socle_callback(grows_in_callback, arg); }

static void works(void *unused)
{
	(void)unused;
	for (int i = 0; i < 200; i++) {
		char *volatile text = malloc(100 + (size_t)i);

		snprintf(text, 100, "%d %.3f", i, i / 3.0);
		socle_foreign_call(calls_back, NULL);
		free(text);
	}
}

static void test_work(void)
{
	recursions = 0;
	for (int i = 0; i < 8; i++)
		socle_go(works, NULL);
	wait_for_others();
	CHECK(recursions == 1600);
}

/* ---- nobody waits: soon no tick comes any more ---- */

static void yields_once(void *unused)
{
	(void)unused;
	socle_yield();
}

static bool no_tick_will_come(void)
{
	const struct p *p = this_p();

	return !p->ticking && p->turn_end == INT64_MAX && p->due == 0;
}

static void test_quiet(void)
{
	int64_t end;

	for (int i = 0; i < 2; i++)
		socle_go(yields_once, NULL);
	wait_for_others();
	socle_sleep(50 * MS);
	for (end = socle_now() + 200 * MS; !no_tick_will_come() && socle_now() < end;)
		for (volatile int i = 0; i < 10000; i++)
			;
	CHECK(no_tick_will_come());
}

static void all(void)
{
	test_sleeper();
	test_naps();
	test_crowd();
	test_end_of_stack();
	test_turns();
	test_players();
	test_readied();
	test_readied_in_callback();
	test_yields();
	test_in_the_runtime(polls);
	test_in_the_runtime(panics_on);
	test_in_the_runtime(fails);
	test_in_the_runtime(fails_elsewhere);
	if (one_cpu() && !chaos_started) {
		test_due_for_nobody();
		test_crowd_in_the_runtime();
	}
	test_after_foreign_turn(yields_on);
	test_after_foreign_turn(yields_on_after_turn);
	test_registers();
	test_work();
	test_quiet();
}

int main(void)
{
	repeatedly(all);
	return finish();
}
