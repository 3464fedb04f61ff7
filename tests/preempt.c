/* When a turn ends: preempt.c against a clock, a timer and a CPU that the test drives, tick by tick. */
#include "runtime/runtime.h"
#include "tests/check.h"
#include "tests/host.h"

#define US 1000ll
#define MS 1000000ll
#define TURN (10 * MS)
#define A_RETRY (200 * US) /* no tick that finds the runtime at work is longer away from the next */

/* ---- What it stands on ---- */

__asm__(".globl core_text_start, core_text_end\ncore_text_start:\n\tnop\ncore_text_end:");
struct p ps[MAX_CPUS];
static struct m m;
static struct g g;
static int64_t now, deadline;
static bool goroutine_waits, thread_waits, redirected, idle;
static unsigned switches;

unsigned long arch_irq_disable(void) { return 0; }
void arch_irq_restore(unsigned long irq) { (void)irq; }
int64_t clock_now(void) { return now; }
void timer_set(int64_t t) { deadline = t; }
bool anyone_runnable(const struct p *p) { return p == ps && goroutine_waits; }
bool thread_others_ready(void) { return thread_waits; }
unsigned thread_switches(void) { return switches; }
void end_turn(void *unused) { (void)unused; }

static bool globally;
bool global_queue_empty(void) { return !globally; }

atomic_uint idle_ps;
static int woken_for_others;
void wake_one(void) { woken_for_others++; }

static bool no_frames, absent;
bool vm_read(void *to, uintptr_t from, size_t size) { return to != NULL && from != 0 && size == 1 && !absent; }
static uintptr_t backed;
enum stack_fault stack_fault(const struct g *of, uintptr_t address, bool emergency)
{
	CHECK(of == &g, "the goroutine's own");
	backed = address;
	if (!no_frames || emergency)
		return STACK_GROWN;
	now += 300 * US; /* it looked everywhere */
	return STACK_OUT_OF_MEMORY;
}

bool wake_idle_m(struct p *p)
{
	bool was = p == ps && idle;

	idle = false;
	return was;
}

struct bounds current_bounds(const struct g *of, uintptr_t sp)
{
	(void)sp;
	return (struct bounds){of->lo, of->hi};
}

void arch_redirect(struct trap *t, uintptr_t sp, void (*fn)(void *), void *arg)
{
	CHECK(sp <= t->sp && fn == end_turn && arg == NULL, "the turn is ended on the interrupted stack");
	redirected = true;
}

/* ---- Driving it ---- */

static unsigned where_in_page = 2048;
enum place { IN_GOROUTINE, IN_CORE, ON_IDLE_STACK };

static void begin(void)
{
	ps[0] = (struct p){.turn_end = INT64_MAX, .next_timer = INT64_MAX, .until_global = 60};
	m = (struct m){.p = ps, .current = &g};
	g = (struct g){.tcb.system = &m.g0.tcb, .lo = 1 << 20, .hi = 2 << 20};
	now = 1000 * MS;
	deadline = INT64_MAX;
	goroutine_waits = thread_waits = redirected = idle = false;
}

static void tick(enum place where)
{
	static struct tcb no_thread;
	struct trap t = {.tcb = where == ON_IDLE_STACK ? &no_thread : &g.tcb,
			 .pc = where == IN_GOROUTINE ? 0 : (uintptr_t)core_text_start,
			 .sp = g.hi - 4096 + where_in_page};

	now = deadline > now ? deadline : now;
	redirected = false;
	runtime_tick(&t);
	CHECK(deadline > now, "no tick without end");
}

/* ---- */

static void test_nobody_waits(void)
{
	begin();
	start_turn(ps);
	CHECK(deadline == now + TURN, "a turn lasts 10 ms");
	tick(IN_GOROUTINE);
	CHECK(!redirected && !ps[0].ticking && deadline == INT64_MAX, "nobody waits: no turn ends, no further tick");
	begin();
	start_turn(ps);
	tick(IN_CORE);
	CHECK(ps[0].ticking && deadline == now + TURN, "who yields may be in no queue just then: it looks again");
	tick(ON_IDLE_STACK);
	CHECK(!ps[0].ticking && deadline == INT64_MAX, "but not on an idle CPU");
}

static void test_goroutine_waits(void)
{
	begin();
	goroutine_waits = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].preempted == 1, "a turn ends, for a goroutine that waits");
	begin();
	goroutine_waits = true;
	start_turn(ps);
	ps[0].until_global--;
	tick(IN_GOROUTINE);
	CHECK(!redirected && deadline == now + TURN, "who has run since the turn began has a turn, too");
	tick(IN_GOROUTINE);
	CHECK(redirected, "and no more");
}

/* Who yields may be missed by a CPU that goes to sleep. */
static void test_others_sleep(void)
{
	begin();
	woken_for_others = 0;
	idle_ps = 2;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(woken_for_others == 0, "nobody waits: the others sleep on");
	goroutine_waits = true;
	for (int i = 1; i <= 3; i++) {
		ps[0].until_global--;
		start_turn(ps);
		tick(i == 3 ? IN_CORE : IN_GOROUTINE);
		CHECK(woken_for_others == i, "a goroutine waits, and a p is idle: it is woken");
	}
	start_turn(ps);
	tick(ON_IDLE_STACK);
	CHECK(woken_for_others == 3, "not by a CPU that is idle itself");
	idle_ps = 0;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(woken_for_others == 3, "nobody is idle");
}

/* Those that hand to each other have a turn together: who was readied in it waits with the others when it is over. */
static void test_runnext(void)
{
	static struct g next;

	begin();
	goroutine_waits = true;
	ps[0].queue.runnext = &next;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].due == TURN_DUE, "a turn ends, and the scheduler is told");
	begin();
	goroutine_waits = globally = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].due == TURN_DUE, "as it is if somebody waits in the global queue");
	globally = false;
	begin();
	goroutine_waits = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].due == 0, "else a yield will do");
	begin();
	goroutine_waits = true;
	start_turn(ps);
	ps[0].inherited++;
	tick(IN_CORE);
	CHECK(!redirected && ps[0].due == TURN_DUE,
	      "the runtime is told, where it is at work, however often they switch");
	ps[0].until_global--;
	tick(IN_GOROUTINE);
	CHECK(!redirected && ps[0].due == 0 && deadline == now + TURN, "but who has come since has a turn");
	begin();
	goroutine_waits = true;
	start_turn(ps);
	tick(ON_IDLE_STACK);
	CHECK(ps[0].due == 0, "nor does the turn of an idle CPU end");
	begin();
	goroutine_waits = true;
	m.p = NULL;
	start_turn(ps);
	tick(IN_CORE);
	CHECK(ps[0].due == 0, "nor that of a thread that has no p");
}

static void test_end_of_page(void)
{
	where_in_page = 128;
	begin();
	goroutine_waits = no_frames = absent = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(!redirected && backed == g.hi - 4096 + 128 - REDIRECT_GAP - REDIRECT_ROOM, "no frame: the turn goes on");
	no_frames = false;
	tick(IN_GOROUTINE);
	CHECK(redirected, "and ends when there is one");
	begin();
	goroutine_waits = no_frames = true;
	start_turn(ps);
	for (int i = 0; i < 3; i++) {
		tick(IN_GOROUTINE);
		CHECK(!redirected && deadline > now + 50 * US, "for some ticks, and who is interrupted gets on");
	}
	tick(IN_GOROUTINE);
	CHECK(redirected, "then with one of the last frames");
	absent = false;
	begin();
	goroutine_waits = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected, "nor is one needed where the page is there");
	no_frames = false;
	where_in_page = 2048;
}

static void test_thread_waits(void)
{
	begin();
	thread_waits = true;
	start_turn(ps);
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].due == THREADS_DUE, "a turn ends, for a thread that waits");
	begin();
	thread_waits = true;
	start_turn(ps);
	switches++;
	tick(IN_GOROUTINE);
	CHECK(!redirected && ps[0].due == 0 && deadline == now + TURN, "a thread that came since has a turn, too");
	begin();
	thread_waits = true;
	start_turn(ps);
	tick(IN_CORE);
	CHECK(ps[0].due == THREADS_DUE, "where the runtime is at work it is noted");
	thread_waits = false;
	tick(ON_IDLE_STACK);
	CHECK(ps[0].due == 0 && deadline == INT64_MAX, "until none waits any more: an idle CPU has no tick");
}

static void test_runtime_at_work(void)
{
	int64_t end;

	begin();
	goroutine_waits = true;
	start_turn(ps);
	end = now + TURN;
	for (int i = 0; i < 10; i++) {
		int64_t before = deadline;

		tick(IN_CORE);
		CHECK(!redirected && deadline < before + A_RETRY, "the runtime goes on, until the next tick");
	}
	g.locks = 1;
	tick(IN_GOROUTINE);
	CHECK(!redirected, "as does who holds a lock");
	g.locks = 0;
	g.libc_locks = 1;
	tick(IN_GOROUTINE);
	CHECK(!redirected, "of the C library's, too");
	g.libc_locks = 0;
	m.current = NULL;
	tick(IN_GOROUTINE);
	CHECK(!redirected, "and an m that runs no goroutine");
	m.current = &g;
	tick(IN_GOROUTINE);
	CHECK(redirected && now < end + 14 * A_RETRY, "late, but its turn ends");
	tick(IN_GOROUTINE);
	CHECK(!redirected && deadline == now + TURN, "who comes next has only begun");
}

/* A sleeper's time comes again and again, and each tick finds the runtime at work. */
static void test_timers_postpone_no_turn(void)
{
	int64_t end;

	begin();
	thread_waits = true;
	start_turn(ps);
	end = now + TURN + A_RETRY;
	while (now < end && !(ps[0].due & THREADS_DUE)) {
		if (ps[0].next_timer == INT64_MAX)
			ps[0].next_timer = now + 100 * US;
		timers_changed(ps);
		tick(IN_CORE);
		if (ps[0].due & TIMERS_DUE) {
			ps[0].next_timer = INT64_MAX;
			timers_done(ps);
		}
	}
	CHECK(ps[0].due & THREADS_DUE, "the turn ends when it would without timers");
}

static void test_timers(void)
{
	begin();
	ps[0].next_timer = now + 5 * MS;
	timers_changed(ps);
	CHECK(deadline == now + 5 * MS, "the earliest timer");
	start_turn(ps);
	CHECK(deadline == now + 5 * MS, "before the end of the turn");
	tick(IN_GOROUTINE);
	CHECK(redirected && ps[0].due == TIMERS_DUE, "a sleeper's time ends a turn");
	begin();
	ps[0].next_timer = now + 5 * MS;
	timers_changed(ps);
	idle = true;
	tick(IN_CORE);
	CHECK(!idle && ps[0].due == TIMERS_DUE, "an idle p wakes up for a timer");
	begin();
	ps[0].next_timer = now + 5 * MS;
	timers_changed(ps);
	idle = true;
	now = deadline;
	runtime_tick(&(struct trap){.tcb = &(struct tcb){0}, .pc = (uintptr_t)core_text_start});
	CHECK(!idle && deadline == now, "on the idle stack: the thread that comes next sets the hardware");
}

int main(void)
{
	test_nobody_waits();
	test_goroutine_waits();
	test_others_sleep();
	test_runnext();
	test_end_of_page();
	test_thread_waits();
	test_runtime_at_work();
	test_timers_postpone_no_turn();
	test_timers();
	return end_checks();
}
