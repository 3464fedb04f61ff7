/*
 * What a goroutine calls when hardly any of its stack is left: at each distance from its stackguard, every operation is
 * either done or panics before it has done anything. Then it is repeated where there is room, and whoever waits for it
 * must have got what it waits for, once. The same at each distance from the lowest page that is backed, when there is no
 * frame for another.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-tests/check.h"

#define MS 1000000ll

enum { FARTHEST = 1800, STEP = 16 };

/* ---- The other side ---- */

static socle_chan *chan, *other, *buffered;
static struct socle_mutex mutex;
static struct socle_rwlock rwlock;
static struct socle_cond cond;
static struct socle_sem sem;
static struct socle_waitgroup group;
static bool happened, no_memory;
static uintptr_t received;

static unsigned done, caught, wrong;

static struct g *peer;
static socle_fn peer_fn;
static atomic_bool peer_done;

static void run_peer(void *unused)
{
	peer = getg();
	peer_fn(unused);
	peer_done = true;
}

static void start_peer(socle_fn fn)
{
	peer = NULL;
	peer_done = false;
	peer_fn = fn;
	wrong += socle_go(run_peer, NULL) != 0;
}

/* The peer's: until main waits for it, or has been woken by it. */
static struct g *main_g;
static void let_main_wait(void)
{
	while (!is_waiting(main_g))
		let_others_run();
}

/* ---- What is done at the edge, and by the other side meanwhile ---- */

static const uintptr_t word = 4711;

static void recv_word(void *unused) { (void)unused, socle_chan_recv(chan, &received); }
static void recv_later(void *unused) { let_main_wait(), recv_word(unused); }
static void send_word(void *unused) { (void)unused, socle_chan_send(chan, &word); }
static void send_later(void *unused) { let_main_wait(), send_word(unused); }
static void send_buffered(void *unused) { (void)unused, socle_chan_send(buffered, &word); }
static void recv_buffered(void *unused) { (void)unused, socle_chan_recv(buffered, &received); }

static void select_any(enum socle_op op, int64_t deadline)
{
	struct socle_case cases[] = {{op, chan, op == SOCLE_SEND ? (void *)&word : &received, 0},
				     {SOCLE_RECV, other, NULL, 0}};

	socle_select(cases, 2, deadline);
}

static void select_many(void *unused)
{
	static struct socle_case cases[9];

	(void)unused;
	cases[8] = (struct socle_case){SOCLE_RECV, chan, &received, 0};
	socle_select(cases, 9, SOCLE_FOREVER);
}

static void select_send(void *unused) { (void)unused, select_any(SOCLE_SEND, SOCLE_FOREVER); }
static void select_recv(void *unused) { (void)unused, select_any(SOCLE_RECV, SOCLE_FOREVER); }
static void select_timed(void *unused) { (void)unused, select_any(SOCLE_RECV, socle_now() + 20000); }

static void lock_mutex(void *unused) { (void)unused, socle_mutex_lock(&mutex); }
static void unlock_mutex(void *unused) { (void)unused, socle_mutex_unlock(&mutex); }
static void lock_once(void *unused) { lock_mutex(unused), unlock_mutex(unused); }
static void hold_lock(void *unused) { lock_mutex(unused), let_main_wait(), unlock_mutex(unused); }
static void read_lock(void *unused) { (void)unused, socle_rwlock_rdlock(&rwlock); }
static void write_lock(void *unused) { (void)unused, socle_rwlock_wrlock(&rwlock); }
static void rw_unlock(void *unused) { (void)unused, socle_rwlock_unlock(&rwlock); }
static void read_once(void *unused) { read_lock(unused), rw_unlock(unused); }
static void hold_write_lock(void *unused) { write_lock(unused), let_main_wait(), rw_unlock(unused); }

static void wait_for_signal(void *unused)
{
	(void)unused;
	happened = false;
	socle_mutex_lock(&mutex);
	while (!happened)
		socle_cond_wait(&cond, &mutex);
	socle_mutex_unlock(&mutex);
}

static void cond_wait(void *unused) { (void)unused, socle_cond_wait(&cond, &mutex); }
static void signal_one(void *unused) { (void)unused, happened = true, socle_cond_signal(&cond); }
static void broadcast(void *unused) { (void)unused, happened = true, socle_cond_broadcast(&cond); }

/* Main is to find the mutex held. */
static void signal_later(void *unused)
{
	let_main_wait();
	lock_mutex(unused);
	signal_one(unused);
	let_main_wait();
	unlock_mutex(unused);
}

static void sem_wait(void *unused) { (void)unused, socle_sem_wait(&sem); }
static void sem_timedwait(void *unused) { (void)unused, socle_sem_timedwait(&sem, socle_now() + 1000 * MS); }
static void sem_post(void *unused) { (void)unused, socle_sem_post(&sem); }
static void post_later(void *unused) { let_main_wait(), sem_post(unused); }
static void group_wait(void *unused) { (void)unused, socle_waitgroup_wait(&group); }
static void group_add(void) { socle_waitgroup_add(&group, 1); }
static void group_done(void *unused) { (void)unused, socle_waitgroup_done(&group); }
static void done_later(void *unused) { let_main_wait(), group_done(unused); }

static void happens(void *unused) { (void)unused, happened = true; }
static struct socle_once one;
static void new_once(void)
{
	one = (struct socle_once){0};
	happened = false;
}
static SOCLE_UNCHECKED void happens_once(void *unused)
{
	(void)unused, happened = true;
} /* else its own overflow is once, too */
static void once(void *unused) { (void)unused, socle_once(&one, happens_once, NULL); }

static void sleeps(void *unused) { (void)unused, socle_sleep(20000); }
static void yields(void *unused) { (void)unused, socle_yield(); }
static void starts(void *unused) { (void)unused, socle_go(happens, NULL); }
static void trims(void *unused) { (void)unused, socle_stack_trim(); }
static void calls(void *unused) { (void)unused, socle_foreign_call(happens, NULL); }
static void calls_back(void *unused) { (void)unused, socle_callback(happens, NULL); }
static void calls_and_back(void *unused) { (void)unused, socle_foreign_call(calls_back, NULL); }

static void calls_leaf(void *unused)
{
	static const struct socle_foreign_attr leaf = {.flags = SOCLE_NOCALLBACK};

	(void)unused;
	socle_foreign_call_attr(&leaf, happens, NULL);
}

static void calls_on_own_stack(socle_fn fn)
{
	static const struct socle_foreign_attr own = {.stack_size = 65536};

	socle_foreign_call_attr(&own, fn, NULL);
}

/* Its stack grows, if it can: CPUs keep such ones for a time, and then release many. */
static SOCLE_UNCHECKED void goes_deep(void *unused)
{
	volatile char frame[6000];

	if (!no_memory)
		frame[0] = 0;
	happens(unused);
}

static void calls_deep(void *unused) { (void)unused, calls_on_own_stack(goes_deep); }
static void calls_on_own_stack_and_back(void *unused) { (void)unused, calls_on_own_stack(calls_back); }

static void SOCLE_UNCHECKED read_null(void *unused) { (void)unused, (void)*(volatile int *)8; }
/* It gives its p away, as when its turn ends: the other side can run, and sleeps then. */
static SOCLE_UNCHECKED void takes_long(void *unused)
{
	end_turn(unused);
	happened = true;
}

static void calls_for_long(void *unused) { (void)unused, socle_foreign_call(takes_long, NULL); }
static void faults(void *unused) { (void)unused, socle_foreign_call(read_null, NULL); }
static void raises(void *unused) { (void)unused, socle_panic("at the %s", "edge"); }
static void tries(void *unused) { (void)unused, socle_try(raises, NULL, NULL); }

static void cleans_up(void *unused)
{
	struct socle_cleanup c;

	(void)unused;
	socle_cleanup_push(&c, happens, NULL);
	socle_cleanup_pop(&c, true);
}

static void makes_channel(void *unused) { (void)unused, socle_chan_free(socle_chan_make(sizeof word, 16)); }

static FILE *file;
static char text[64];
static void new_file(void) { file = fmemopen(text, sizeof text, "w"); }

static void prints(void *unused)
{
	(void)unused;
	rewind(file);
	fprintf(file, "%s %.17g", "text", 0.1);
	fflush(file);
}

static void has_printed(void)
{
	wrong += strcmp(text, "text 0.10000000000000001") != 0;
	fclose(file);
}

static void closes(void *unused)
{
	(void)unused;
	socle_chan_close(other);
}

static void new_other(void) { other = socle_chan_make(sizeof word, 0); }
static void recv_closed(void *unused) { (void)unused, socle_chan_recv(other, NULL); }
static void free_other(void) { socle_chan_free(other), other = NULL; }

static void *empty_thread(void *unused) { return unused; }
static void starts_thread(void *unused) { (void)unused, socle_foreign_thread(NULL, happens, NULL); }

static void starts_pthread(void *unused)
{
	pthread_t thread;

	(void)unused;
	if (pthread_create(&thread, NULL, empty_thread, NULL) == 0)
		pthread_join(thread, NULL);
}

/* ---- The edge ---- */

struct operation {
	const char *name;
	socle_fn fn;	      /* at the edge, and again if that panicked */
	void (*before)(void); /* the other side starts */
	socle_fn peer;	      /* the other side */
	bool (*until)(void);  /* before fn */
	void (*after)(void);
};

static bool peer_waits(void) { return is_waiting(peer); }
static bool mutex_held(void) { return mutex.state & SOCLE_MUTEX_LOCKED; }
static bool rwlock_held(void) { return rwlock.writer; }
static void lock_now(void) { socle_mutex_lock(&mutex); }
static void unlock_now(void) { socle_mutex_unlock(&mutex); }
static void write_lock_now(void) { socle_rwlock_wrlock(&rwlock); }
static void rw_unlock_now(void) { socle_rwlock_unlock(&rwlock); }
static void send_now(void) { socle_chan_send(buffered, &word); }
static void recv_now(void) { socle_chan_recv(buffered, NULL); }
static void not_yet(void) { happened = false; }

static void has_happened(void)
{
	while (!__atomic_load_n(&happened, __ATOMIC_ACQUIRE))
		socle_sleep(20000); /* a thread gets the CPU at once */
}

static const struct operation operations[] = {
	{"send to one that waits", send_word, NULL, recv_word, peer_waits, NULL},
	{"receive from one that waits", recv_word, NULL, send_word, peer_waits, NULL},
	{"send and wait", send_word, NULL, recv_later, NULL, NULL},
	{"receive and wait", recv_word, NULL, send_later, NULL, NULL},
	{"buffered send", send_buffered, NULL, NULL, NULL, recv_now},
	{"buffered receive", recv_buffered, send_now, NULL, NULL, NULL},
	{"close", closes, new_other, recv_closed, peer_waits, free_other},
	{"select a send to one that waits", select_send, NULL, recv_word, peer_waits, NULL},
	{"select a receive from one that waits", select_recv, NULL, send_word, peer_waits, NULL},
	{"select and wait, to send", select_send, NULL, recv_later, NULL, NULL},
	{"select and wait, to receive", select_recv, NULL, send_later, NULL, NULL},
	{"send to a select", send_word, NULL, select_recv, peer_waits, NULL},
	{"select over many", select_many, NULL, send_word, peer_waits, NULL},
	{"select until a time", select_timed, NULL, NULL, NULL, NULL},
	{"lock a mutex", lock_mutex, NULL, hold_lock, mutex_held, unlock_now},
	{"unlock one that is waited for", unlock_mutex, lock_now, lock_once, peer_waits, NULL},
	{"lock to read", read_lock, NULL, hold_write_lock, rwlock_held, rw_unlock_now},
	{"lock to write", write_lock, NULL, hold_write_lock, rwlock_held, rw_unlock_now},
	{"unlock for a reader", rw_unlock, write_lock_now, read_once, peer_waits, NULL},
	{"wait for a condition", cond_wait, lock_now, signal_later, NULL, unlock_now},
	{"signal", signal_one, NULL, wait_for_signal, peer_waits, NULL},
	{"broadcast", broadcast, NULL, wait_for_signal, peer_waits, NULL},
	{"wait for a semaphore", sem_wait, NULL, post_later, NULL, NULL},
	{"the same until a time", sem_timedwait, NULL, post_later, NULL, NULL},
	{"post", sem_post, NULL, sem_wait, peer_waits, NULL},
	{"wait for a group", group_wait, group_add, done_later, NULL, NULL},
	{"the last of a group", group_done, group_add, group_wait, peer_waits, NULL},
	{"once", once, new_once, NULL, NULL, has_happened},
	{"sleep", sleeps, NULL, NULL, NULL, NULL},
	{"yield", yields, NULL, NULL, NULL, NULL},
	{"foreign call", calls, not_yet, NULL, NULL, has_happened},
	{"foreign call that calls back", calls_and_back, not_yet, NULL, NULL, has_happened},
	{"foreign call without callbacks", calls_leaf, not_yet, NULL, NULL, has_happened},
	{"foreign call on its own stack", calls_deep, not_yet, NULL, NULL, has_happened},
	{"that calls back", calls_on_own_stack_and_back, not_yet, NULL, NULL, has_happened},
	{"foreign call that takes long", calls_for_long, not_yet, sleeps, NULL, has_happened},
	{"foreign fault", faults, NULL, NULL, NULL, NULL},
	{"print", prints, new_file, NULL, NULL, has_printed},
	{"start a goroutine", starts, not_yet, NULL, NULL, has_happened},
	{"trim", trims, NULL, NULL, NULL, NULL},
	{"panic", tries, NULL, NULL, NULL, NULL},
	{"cleanup", cleans_up, not_yet, NULL, NULL, has_happened},
	{"make and free a channel", makes_channel, NULL, NULL, NULL, NULL},
	{"start a foreign thread", starts_thread, not_yet, NULL, NULL, has_happened},
	{"start a POSIX thread", starts_pthread, NULL, NULL, NULL, NULL},
};

static size_t distance;
static bool returned, cleaned;

static uintptr_t edge(const struct g *g) { return no_memory ? g->stack->touched : g->tcb.stack_limit; }

static void __attribute__((noinline)) at_edge(void *fn)
{
	size_t n = (uintptr_t)__builtin_frame_address(0) - edge(getg()) - distance;
	volatile char taken[n];

	taken[0] = 0;
	((socle_fn)fn)(NULL);
	returned = true;
}

/* What a panic runs may block: so its goroutine is on an m that holds a p, with a g0 of its own or locked to it. */
static void may_block(void *unused)
{
	const struct g *g = getg();

	(void)unused;
	cleaned = true;
	wrong += !holds_p() || (g->callbacks == 0 && !g0_is_own());
	socle_yield();
}

static void above_edge(void *fn)
{
	struct socle_cleanup c;

	socle_cleanup_push(&c, may_block, NULL);
	at_edge(fn);
	socle_cleanup_pop(&c, 1);
}

static void do_at_edge(const struct operation *o)
{
	struct socle_panic panic;

	if (o->before != NULL)
		o->before();
	if (o->peer != NULL)
		start_peer(o->peer);
	while (o->until != NULL && !o->until())
		let_others_run();
	returned = cleaned = false;
	if (socle_try(above_edge, (void *)o->fn, &panic) < 0) {
		caught++;
		wrong += !cleaned;
		wrong += o->before == not_yet && happened;
		if (panic.kind != (no_memory ? SOCLE_PANIC_NO_MEMORY : SOCLE_PANIC_OVERFLOW) || returned) {
			printf("%s, %zu from the edge: %s in %s\n", o->name, distance, panic.message, panic.function);
			wrong++;
		}
		o->fn(NULL);
	}
	done += returned;
	while (o->peer != NULL && !peer_done)
		let_others_run();
	if (o->after != NULL)
		o->after();
}

enum { OPERATIONS = sizeof operations / sizeof *operations, THREADS = 2 /* at the end */, WITHOUT_MEMORY = 39 };

static void do_between(unsigned i, size_t from, size_t to)
{
	done = caught = wrong = 0;
	for (distance = from; distance < to; distance += STEP)
		do_at_edge(&operations[i]);
	if (done == 0 || caught == 0)
		printf("%s, %zu to %zu from the edge: never %s\n", operations[i].name, from, to,
		       done ? "caught" : "done");
	CHECK(done > 0 && caught > 0);
	CHECK(wrong == 0);
}

static size_t needed[OPERATIONS];

static void do_alone(void)
{
	for (unsigned i = 0; i < OPERATIONS; i++) {
		do_between(i, 0, FARTHEST);
		needed[i] = caught * STEP; /* each of the first panicked */
	}
}

/* So many can run that the run queues are full: who is readied goes to the global one. */
static atomic_bool enough;

static void is_in_the_way(void *unused)
{
	(void)unused;
	while (!enough)
		let_others_run();
}

static void do_in_a_crowd(void)
{
	enough = false;
	wrong = 0;
	for (int i = 0; i < (RUN_QUEUE + 10) * socle_ncpu(); i++)
		wrong += socle_go(is_in_the_way, NULL) != 0;
	CHECK(wrong == 0);
	for (unsigned i = 0; i < OPERATIONS - THREADS; i++) /* threads would wait for turns of all of these */
		if (operations[i].fn != calls_for_long)
			do_between(i, needed[i] > 256 ? needed[i] - 256 : 0, needed[i] + 192);
	enough = true;
}

static void waits_at(void *gate) { socle_chan_recv(gate, NULL); }

static atomic_bool memory_is_back;

static size_t reclaims_nothing(void) { return 0; }

/* On a stack of a page, and those of the others have that page from before. malloc() gets those of stacks that are free:
 * so some are in use until it has no more. */
static void do_without_memory(void *unused)
{
	socle_chan *gate = socle_chan_make(0, 0);
	void **page, **pages = NULL;

	(void)unused;
	main_g = getg();
	for (int i = 0; i < 16; i++)
		CHECK(socle_go(waits_at, gate) == 0);
	socle_sleep(1000000);
	for (; (page = malloc(PAGE_SIZE / 2)) != NULL; pages = page)
		*page = pages;
	page = pages;
	pages = *page;
	free(page); /* to make a channel of */
	socle_chan_close(gate);
	socle_sleep(1000000);
	socle_chan_free(gate);
	no_memory = true;
	stacks_reclaim = reclaims_nothing; /* else free stacks would do */
	for (unsigned i = 0; i < WITHOUT_MEMORY; i++)
		do_between(i, 0, FARTHEST + OPERATION_ROOM);
	no_memory = false;
	stacks_reclaim = stacks_release_if_room;
	for (; (page = pages) != NULL; free(page))
		pages = *page;
	memory_is_back = true;
}

/* A stack that is neither in use nor kept would never be used again. */
static bool no_stack_is_lost(void)
{
	size_t n = 0;

	for (const struct stack *s = stack_next(NULL); s != NULL; s = stack_next(s))
		n++;
	return n == stacks_in_use();
}

static void test(void)
{
	main_g = getg();
	do_alone();
	sleep_for_others();
	do_in_a_crowd();
	sleep_for_others();
	CHECK(SOON(no_stack_is_lost())); /* other CPUs may be at it */
}

int main(void)
{
	chan = socle_chan_make(sizeof word, 0);
	buffered = socle_chan_make(sizeof word, 4);
	repeatedly(test);
	if (one_cpu()) { /* others keep frames */
		CHECK(socle_go(do_without_memory, NULL) == 0);
		while (!memory_is_back) /* stacks are given back meanwhile, so nobody may look at the goroutines on them */
			let_others_run();
		wait_for_others();
	}
	return finish();
}
