/* Goroutines and channels: order, identity, hand-over, close, errors, many at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-tests/check.h"

static char order[64];
static size_t steps;

static void step(char c)
{
	if (steps < sizeof order - 1)
		order[steps++] = c;
	order[steps] = '\0';
}

static void start_order(void) { steps = 0; }

/* ---- yield ---- */

static void three_steps(void *letter)
{
	for (int i = 0; i < 3; i++) {
		step(*(char *)letter);
		socle_yield();
	}
}

static void test_yield(void)
{
	start_order();
	socle_go(three_steps, "a");
	socle_go(three_steps, "b");
	for (int i = 0; i < 4; i++)
		socle_yield();
	CHECK(strcmp(order, "ababab") == 0);
}

/* ---- exit, ids ---- */

static unsigned long seen_id;

static void exits(void *arg)
{
	seen_id = socle_id();
	step('x');
	socle_exit();
	step(*(char *)arg);
}

static void test_exit(void)
{
	unsigned long before;

	start_order();
	socle_go(exits, "y");
	socle_yield();
	before = seen_id;
	socle_go(exits, "y");
	socle_yield();
	CHECK(strcmp(order, "xx") == 0);
	CHECK(seen_id == before + 1);
	CHECK(socle_id() == 1);
}

/* ---- what is asked for wrongly ---- */

static void nothing(void *arg) { (void)arg; }

static void test_errors(void)
{
	static const size_t absurd[] = {1, 4096, 8191, SIZE_MAX / 2 + 1, SIZE_MAX};

	for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
		struct socle_go_attr attr = {.stack_size = absurd[i]};

		errno = 0;
		CHECK(socle_go_attr(&attr, nothing, NULL) == -1 && errno == EINVAL);
	}
	errno = 0;
	CHECK(socle_go(NULL, NULL) == -1 && errno == EINVAL);
	CHECK(socle_go_attr(NULL, nothing, NULL) == 0);
	CHECK(socle_chan_make(SIZE_MAX / 2, 3) == NULL && errno == EINVAL);
	CHECK(socle_chan_make(SIZE_MAX / 4, 1) == NULL && errno == ENOMEM);
	CHECK(socle_chan_send(NULL, NULL) == -1 && errno == EINVAL);
	CHECK(socle_chan_recv(NULL, NULL) == -1 && errno == EINVAL);
	CHECK(socle_chan_close(NULL) == -1 && errno == EINVAL);
	socle_chan_free(NULL);
}

/* ---- sizes: from the smallest to large, used to near their ends ---- */

static size_t reached;

static void __attribute__((noinline)) use_stack(size_t depth)
{
	volatile char frame[512];

	frame[0] = 1;
	reached += 512;
	if (depth > 1024)
		use_stack(depth - 1024);
	frame[511] = frame[0];
}

static void use_most(void *size) { use_stack(*(size_t *)size - 4096); }

/* The largest that there are, from the far end: 1 GiB, 256 MiB on 32 bits. */
static void use_ends(void *size)
{
	struct socle_stack_info stack;
	volatile char *lowest;

	CHECK(socle_stack_query(NULL, &stack) == 0 && stack.hi - stack.lo > *(size_t *)size - PAGE_SIZE);
	lowest = (volatile char *)stack.lo;
	lowest[0] = 1;
	lowest[(stack.hi - stack.lo) / 2] = 2;
	reached += lowest[0] + lowest[(stack.hi - stack.lo) / 2];
}

static void test_largest(void)
{
	size_t size = (size_t)(sizeof(void *) == 8 ? 1024 : 256) << 20;
	struct socle_go_attr attr = {.name = "largest", .stack_size = size + 1};

	errno = 0;
	CHECK(socle_go_attr(&attr, use_ends, &size) == -1 && errno == EINVAL);
	attr.stack_size = size;
	reached = 0;
	CHECK(socle_go_attr(&attr, use_ends, &size) == 0);
	wait_for_others();
	CHECK(reached == 3);
}

static void test_sizes(void)
{
	static size_t sizes[] = {8192, 16384, 65536, 1 << 20, 16 << 20};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct socle_go_attr attr = {.name = "sized", .stack_size = sizes[i]};

		reached = 0;
		CHECK(socle_go_attr(&attr, use_most, &sizes[i]) == 0);
		wait_for_others();
		CHECK(reached >= (sizes[i] - 4096) / 2);
	}
}

/* ---- unbuffered ---- */

static void sends_three(void *chan)
{
	for (int i = 1; i <= 3; i++) {
		step((char)('0' + i));
		CHECK(socle_chan_send(chan, &i) == 0);
	}
	step('e');
}

static void test_unbuffered(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	int n = 0;

	start_order();
	socle_go(sends_three, c);
	socle_yield();
	CHECK(strcmp(order, "1") == 0); /* the sender waits for us */
	for (int i = 1; i <= 3; i++)
		CHECK(socle_chan_recv(c, &n) == 0 && n == i);
	socle_yield();
	CHECK(strcmp(order, "123e") == 0);
	socle_chan_free(c);
}

/* ---- a receiver first: the value goes straight into its variable ---- */

static int received;

static void receives(void *chan) { CHECK(socle_chan_recv(chan, &received) == 0); }

static void test_receiver_waits(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 0);
	int n = 77;

	received = 0;
	socle_go(receives, c);
	socle_yield();
	CHECK(socle_chan_send(c, &n) == 0);
	CHECK(received == 77);
	wait_for_others();
	socle_chan_free(c);
}

/* ---- buffered, with large elements, around the ring's end ---- */

struct large {
	unsigned char bytes[300];
};

static void sends_large(void *chan)
{
	struct large l;

	for (int i = 0; i < 20; i++) {
		memset(&l, i, sizeof l);
		socle_chan_send(chan, &l);
	}
	socle_chan_close(chan);
}

static void test_buffered(void)
{
	socle_chan *c = socle_chan_make(sizeof(struct large), 3);
	struct large l;
	int n = 0, wrong = 0;

	socle_go(sends_large, c);
	while (socle_chan_recv(c, &l) == 0) {
		for (size_t i = 0; i < sizeof l; i++)
			wrong += l.bytes[i] != n;
		n++;
	}
	CHECK(n == 20 && wrong == 0);
	CHECK(errno == EPIPE && l.bytes[0] == 0 && l.bytes[299] == 0);
	socle_chan_free(c);
}

static void test_capacity(void)
{
	socle_chan *c = socle_chan_make(0, 2);

	start_order();
	CHECK(socle_chan_send(c, NULL) == 0);
	CHECK(socle_chan_send(c, NULL) == 0);
	CHECK(socle_chan_recv(c, NULL) == 0);
	CHECK(socle_chan_send(c, NULL) == 0);
	CHECK(socle_chan_close(c) == 0);
	CHECK(socle_chan_recv(c, NULL) == 0 && socle_chan_recv(c, NULL) == 0); /* drained after the close */
	CHECK(socle_chan_recv(c, NULL) == -1 && errno == EPIPE);
	socle_chan_free(c);
}

/* ---- close ---- */

static void recv_until_closed(void *chan)
{
	int n = 5;

	CHECK(socle_chan_recv(chan, &n) == -1 && errno == EPIPE && n == 0);
	step('r');
}

static void send_until_closed(void *chan)
{
	int n = 5;

	CHECK(socle_chan_send(chan, &n) == -1 && errno == EPIPE);
	step('s');
}

static void test_close(void)
{
	socle_chan *a = socle_chan_make(sizeof(int), 0), *b = socle_chan_make(sizeof(int), 0);

	start_order();
	for (int i = 0; i < 3; i++) {
		socle_go(recv_until_closed, a);
		socle_go(send_until_closed, b);
	}
	socle_yield();
	CHECK(socle_chan_close(a) == 0 && socle_chan_close(b) == 0);
	socle_yield();
	CHECK(strcmp(order, "rrrsss") == 0);
	CHECK(socle_chan_close(a) == -1 && errno == EPIPE);
	CHECK(socle_chan_send(a, &(int){1}) == -1 && errno == EPIPE);
	socle_chan_free(a);
	socle_chan_free(b);
}

/* ---- first come, first served; and who was readied last runs first ---- */

enum { IN_LINE = 10 };

static socle_chan *line;

static void receive_in_turn(void *place)
{
	char c = 0;

	CHECK(socle_chan_recv(line, &c) == 0 && c == 'a' + *(char *)place);
	step(c);
}

static void test_fifo(void)
{
	char places[IN_LINE];

	line = socle_chan_make(1, 0);
	start_order();
	for (int i = 0; i < IN_LINE; i++) {
		places[i] = (char)i;
		socle_go(receive_in_turn, &places[i]);
	}
	socle_yield();
	for (char letter = 'a'; letter < 'a' + IN_LINE; letter++)
		CHECK(socle_chan_send(line, &letter) == 0);
	socle_yield();
	CHECK(strcmp(order, "jabcdefghi") == 0);
	socle_chan_free(line);
}

/* But when the turn is over, behind those that have waited for all of it. */
static void steps_x(void *unused)
{
	(void)unused;
	step('x');
}

/* As a tick that finds the runtime at work. */
static void note_turn_over(void)
{
	uintptr_t irq = arch_irq_disable();

	this_p()->due |= TURN_DUE;
	arch_irq_restore(irq);
}

static void test_turn_over(void)
{
	char place = 0;

	line = socle_chan_make(1, 0);
	socle_go(receive_in_turn, &place);
	socle_yield();
	start_order();
	socle_go(steps_x, NULL);
	CHECK(socle_chan_send(line, "a") == 0);
	note_turn_over();
	socle_yield();
	CHECK(strcmp(order, "x") == 0);
	socle_yield();
	CHECK(strcmp(order, "xa") == 0);
	socle_chan_free(line);
}

/* But a sleeper whose time has come then goes first, as ever. */
static void naps(void *unused)
{
	(void)unused;
	socle_sleep(100000);
	step('s');
}

static void test_sleeper_at_end_of_turn(void)
{
	struct g *g;

	start_order();
	socle_go(naps, NULL);
	socle_yield();
	socle_go(steps_x, NULL);
	g = stay(); /* or the tick ends the turn */
	while (!(this_p()->due & TIMERS_DUE))
		arch_pause();
	note_turn_over();
	move_on(g);
	socle_yield();
	CHECK(strcmp(order, "sx") == 0);
}

/* Who makes room for the one it has readied finds the ring full: nobody is lost. */
static atomic_int arrived;

static void arrives(void *unused)
{
	(void)unused;
	arrived++;
}

static void test_full_ring(void)
{
	char place = 0;

	line = socle_chan_make(1, 0);
	socle_go(receive_in_turn, &place);
	socle_yield();
	start_order();
	arrived = 0;
	for (int i = 0; i < RUN_QUEUE; i++)
		socle_go(arrives, NULL);
	CHECK(socle_chan_send(line, "a") == 0);
	socle_yield();
	CHECK(order[0] == 'a');
	wait_for_others();
	CHECK(arrived == RUN_QUEUE);
	socle_chan_free(line);
}

/* ---- more than a run queue holds; a chain through all of them ---- */

enum { CHAIN = 1000 };
struct link {
	socle_chan *from, *to;
};

static void pass_on(void *arg)
{
	struct link *l = arg;
	int n = 0;

	socle_chan_recv(l->from, &n);
	n++;
	socle_chan_send(l->to, &n);
}

static void test_chain(void)
{
	static struct link links[CHAIN];
	socle_chan *first = socle_chan_make(sizeof(int), 0), *last = first;
	int n = 0, started = 0;

	for (int i = 0; i < CHAIN; i++) {
		links[i] = (struct link){last, socle_chan_make(sizeof(int), 0)};
		last = links[i].to;
		started += socle_go(pass_on, &links[i]) == 0;
	}
	CHECK(started == CHAIN);
	socle_chan_send(first, &n);
	socle_chan_recv(last, &n);
	CHECK(n == CHAIN);
	wait_for_others();
	for (int i = 0; i < CHAIN; i++)
		socle_chan_free(links[i].from);
	socle_chan_free(last);
}

/* ---- errno is each goroutine's own ---- */

static void sets_errno(void *value)
{
	errno = *(int *)value;
	socle_yield();
	CHECK(errno == *(int *)value);
}

static void test_errno(void)
{
	static int values[] = {3, 4, 5};

	errno = 99;
	for (int i = 0; i < 3; i++)
		socle_go(sets_errno, &values[i]);
	wait_for_others();
	CHECK(errno == 99);
}

/* ---- A stack and its g are used again ---- */

static void just_exits(void *arg)
{
	(void)arg;
	socle_exit();
}

static void exits_in_try(void *arg)
{
	(void)arg;
	errno = 1; /* gives it a struct _reent */
	getg()->panicking = true;
	socle_try(just_exits, NULL, NULL);
}

static void is_clean(void *clean)
{
	struct g *g = getg();

	*(bool *)clean = g->try == NULL && g->cleanups == NULL && g->crossings == NULL && g->reent == NULL &&
			 g->locked_m == NULL && g->callbacks == 0 && g->locks == 0 && g->call_ended == 0 &&
			 !g->panicking;
}

static void test_reuse(void)
{
	bool clean = false;

	socle_go(exits_in_try, NULL);
	socle_yield();
	socle_go(is_clean, &clean); /* on the stack that was freed last */
	socle_yield();
	CHECK(clean);
}

/* ---- More goroutines than a local queue holds: those in the global one get their turn ---- */

static bool last_has_run;
static int tired;

static void yields_until_last(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100 && !last_has_run; i++)
		socle_yield();
	tired += !last_has_run;
}

static void is_last(void *arg)
{
	(void)arg;
	last_has_run = true;
}

static void test_global_queue(void)
{
	last_has_run = false;
	tired = 0;
	for (int i = 0; i < RUN_QUEUE; i++)
		socle_go(yields_until_last, NULL);
	socle_go(is_last, NULL);
	for (int i = 0; i < 5; i++)
		socle_yield();
	CHECK(last_has_run && tired == 0);
}

/* What must come out the same in whatever order goroutines run, and on however many CPUs. */
static void in_any_order(void)
{
	test_errors();
	test_sizes();
	test_largest();
	test_receiver_waits();
	test_buffered();
	test_capacity();
	test_chain();
	test_errno();
}

static void all(void)
{
	in_any_order();
	test_yield();
	test_exit();
	test_unbuffered();
	test_close();
	test_fifo();
	test_turn_over();
	test_sleeper_at_end_of_turn();
	test_full_ring();
	test_reuse();
	test_global_queue();
}

int main(int argc, char **argv)
{
	repeatedly(argc > 1 && strcmp(argv[1], "any-order") == 0 ? in_any_order : all);
	return finish();
}
