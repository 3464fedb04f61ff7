/* Select: readiness, close, fairness, deadlines, what is left behind in the queues, many channels, callbacks. */
#include <errno.h>
#include <string.h>

#include "qemu-tests/check.h"

#define MS 1000000ll
#define SEND(c, e)                                         \
	{                                                  \
		.op = SOCLE_SEND, .chan = (c), .elem = (e) \
	}
#define RECV(c, e)                                         \
	{                                                  \
		.op = SOCLE_RECV, .chan = (c), .elem = (e) \
	}

static socle_chan *unbuffered(void) { return socle_chan_make(sizeof(int), 0); }

static bool poll_says(struct socle_case sc, int index) { return socle_select(&sc, 1, 0) == index; }

static bool can_send(socle_chan *c, int value) { return poll_says((struct socle_case)SEND(c, &value), 0); }

static socle_chan *queue_chan;
static char order[64];

static void step(char c) { strncat(order, &c, 1); }

/* ---- nothing ready, and what is asked for wrongly ---- */

static void test_nothing_ready(void)
{
	socle_chan *c = unbuffered();
	int n = 7;
	struct socle_case cases[] = {RECV(c, &n), SEND(NULL, &n), SEND(c, &n), RECV(NULL, NULL)};
	int64_t before;

	CHECK(socle_select(cases, 4, 0) == -1 && errno == ETIMEDOUT);
	CHECK(socle_select(cases, 4, -1) == -1 && errno == ETIMEDOUT);
	CHECK(socle_select(cases, 4, 1) == -1 && errno == ETIMEDOUT);
	CHECK(socle_select(NULL, 0, 0) == -1 && errno == ETIMEDOUT);
	CHECK(socle_select(cases, -1, 0) == -1 && errno == EINVAL);
	CHECK(socle_select(cases, SOCLE_SELECT_MAX + 1, 0) == -1 && errno == EINVAL);
	before = socle_now();
	CHECK(socle_select(NULL, 0, before + 2 * MS) == -1 && errno == ETIMEDOUT);
	CHECK(socle_now() >= before + 2 * MS);
	CHECK(n == 7);
	socle_chan_free(c);
}

static void from_foreign(void *error)
{
	errno = 0;
	*(int *)error = socle_select(NULL, 0, 0) == -1 ? errno : 0;
}

static void test_foreign(void)
{
	int error = 0;

	socle_foreign_call(from_foreign, &error);
	CHECK(error == EPERM);
}

/* ---- ready at once ---- */

static void test_ready(void)
{
	socle_chan *a = socle_chan_make(sizeof(int), 1), *b = socle_chan_make(sizeof(int), 1);
	int out = 41, in = 0;
	struct socle_case cases[] = {RECV(a, &in), RECV(NULL, &in), SEND(b, &out)};

	CHECK(socle_select(cases, 3, SOCLE_FOREVER) == 2 && cases[2].error == 0);
	CHECK(socle_select(cases, 3, 0) == -1);
	CHECK(socle_chan_recv(b, &in) == 0 && in == 41);
	CHECK(socle_chan_send(b, &out) == 0 && socle_chan_send(a, &(int){42}) == 0);
	CHECK(socle_select(cases, 3, SOCLE_FOREVER) == 0 && cases[0].error == 0 && in == 42);
	socle_chan_free(a);
	socle_chan_free(b);
}

/* ---- waiting: the partner comes later; the element goes straight to its place ---- */

struct selection {
	struct socle_case cases[4];
	int n, index, error;
	int64_t deadline;
	char letter;
};

static void selects(void *arg)
{
	struct selection *s = arg;

	s->index = socle_select(s->cases, s->n, s->deadline);
	s->error = s->index < 0 ? errno : s->cases[s->index].error;
	step(s->letter);
}

/* Runs it in a goroutine until it waits. */
static void start(struct selection *s)
{
	s->index = -2;
	socle_go(selects, s);
	socle_yield();
}

static void test_waits_to_receive(void)
{
	socle_chan *a = unbuffered(), *b = unbuffered();
	int in_a = 0, in_b = 0;
	struct selection s = {.cases = {RECV(a, &in_a), RECV(b, &in_b)}, .n = 2, .deadline = SOCLE_FOREVER};

	start(&s);
	CHECK(s.index == -2);
	CHECK(can_send(b, 5));
	CHECK(in_b == 5 && in_a == 0);
	CHECK(!can_send(a, 6) && !can_send(b, 6)); /* one select takes one element */
	socle_yield();
	CHECK(s.index == 1 && s.error == 0 && in_a == 0);
	CHECK(!can_send(a, 6) && !can_send(b, 6));
	socle_chan_free(a);
	socle_chan_free(b);
}

static void test_waits_to_send(void)
{
	socle_chan *a = unbuffered(), *b = socle_chan_make(sizeof(int), 1);
	int out_a = 1, out_b = 2, in = 0;
	struct selection s = {.cases = {SEND(a, &out_a), SEND(b, &out_b)}, .n = 2, .deadline = SOCLE_FOREVER};

	socle_chan_send(b, &(int){9});
	start(&s);
	CHECK(s.index == -2);
	CHECK(socle_chan_recv(b, &in) == 0 && in == 9);
	CHECK(poll_says((struct socle_case)RECV(a, &in), -1));
	CHECK(socle_chan_recv(b, &in) == 0 && in == 2);
	socle_yield();
	CHECK(s.index == 1 && s.error == 0);
	socle_chan_free(a);
	socle_chan_free(b);
}

/* ---- close ---- */

static void test_closed(void)
{
	socle_chan *c = socle_chan_make(sizeof(int), 2);
	int in = 3, out = 4;
	struct socle_case cases[] = {RECV(c, &in), SEND(c, &out)};

	socle_chan_send(c, &(int){8});
	socle_chan_close(c);
	CHECK(socle_select(cases, 1, SOCLE_FOREVER) == 0 && cases[0].error == 0 && in == 8);
	CHECK(socle_select(cases, 1, SOCLE_FOREVER) == 0 && cases[0].error == EPIPE && in == 0);
	CHECK(socle_select(cases + 1, 1, SOCLE_FOREVER) == 0 && cases[1].error == EPIPE);
	socle_chan_free(c);
}

static void test_closed_while_waiting(void)
{
	socle_chan *a = unbuffered(), *b = unbuffered();
	int in = 3, out = 4;
	struct selection r = {.cases = {RECV(a, &in), RECV(NULL, NULL)}, .n = 2, .deadline = SOCLE_FOREVER};
	struct selection s = {.cases = {RECV(NULL, NULL), SEND(b, &out)}, .n = 2, .deadline = SOCLE_FOREVER};
	struct selection both = {.cases = {RECV(b, &in), RECV(a, &in)}, .n = 2, .deadline = SOCLE_FOREVER};

	start(&r);
	start(&s);
	socle_chan_close(a);
	socle_chan_close(b);
	socle_yield();
	CHECK(r.index == 0 && r.error == EPIPE && in == 0);
	CHECK(s.index == 1 && s.error == EPIPE);
	socle_chan_free(a);
	socle_chan_free(b);
	a = unbuffered();
	b = unbuffered();
	start(&both);
	socle_chan_close(a); /* wakes it; the second close must not wake it again */
	socle_chan_close(b);
	socle_yield();
	CHECK(both.index == 1 && both.error == EPIPE);
	socle_chan_free(a);
	socle_chan_free(b);
}

/* Who waits for a channel that is closed does not look at it afterwards: it may have been freed, and used again. */
static void receives_into(void *in) { socle_chan_recv(queue_chan, in); }

static void test_freed_once_closed(void)
{
	socle_chan *c = queue_chan = socle_chan_make(sizeof(int), 4), *next;
	int in[2][4] = {{1, 2, 3, 4}, {1, 2, 3, 4}};
	struct selection s = {.cases = {RECV(c, in[0]), RECV(NULL, NULL)}, .n = 2, .deadline = SOCLE_FOREVER};

	socle_go(receives_into, in[1]);
	start(&s);
	socle_chan_close(c);
	socle_chan_free(c);
	next = socle_chan_make(4 * sizeof(int), 1);
	CHECK(next == c);
	socle_yield();
	CHECK(s.index == 0 && s.error == EPIPE && in[0][0] == 0 && in[0][1] == 2);
	CHECK(in[1][0] == 0 && in[1][1] == 2);
	socle_chan_free(next);
}

/* ---- the same channel several times ---- */

static void test_same_channel(void)
{
	socle_chan *c = unbuffered(), *other = unbuffered();
	int in = 0, out = 7, other_in = 0, other_out = 8;
	struct selection s = {.cases = {SEND(c, &out), RECV(c, &in), RECV(other, &in), SEND(c, &out)},
			      .n = 4,
			      .deadline = SOCLE_FOREVER};
	struct socle_case cases[] = {RECV(c, &other_in), SEND(c, &other_out)};
	int i;

	CHECK(socle_select(s.cases, 4, socle_now() + MS) == -1); /* does not meet itself */
	start(&s);
	CHECK(s.index == -2);
	i = socle_select(cases, 2, SOCLE_FOREVER);
	CHECK(i == 0 || i == 1);
	CHECK(i == 0 ? other_in == 7 : in == 8);
	CHECK(socle_select(cases, 2, 0) == -1); /* all its waiters are void now */
	socle_yield();
	CHECK(s.error == 0 && (i == 0 ? s.index == 0 : s.index == 1));
	socle_chan_free(c);
	socle_chan_free(other);
}

/* ---- fair: 10,000 times among those that are ready, wherever they stand ---- */

static bool draws_evenly(const char *pattern)
{
	socle_chan *full = socle_chan_make(0, 1), *empty = socle_chan_make(0, 1);
	int n = (int)strlen(pattern), counts[10] = {0}, ready_cases = 0;
	struct socle_case cases[10];
	bool even = true;

	socle_chan_send(full, NULL);
	for (int i = 0; i < n; i++) {
		cases[i] = (struct socle_case){.op = SOCLE_RECV, .chan = pattern[i] == 'r' ? full : empty};
		ready_cases += pattern[i] == 'r';
	}
	for (int i = 0; i < 10000; i++) {
		counts[socle_select(cases, n, SOCLE_FOREVER)]++;
		socle_chan_send(full, NULL);
	}
	for (int i = 0; i < n; i++) { /* 250 are at least five standard deviations */
		int expected = pattern[i] == 'r' ? 10000 / ready_cases : 0;

		even = even && counts[i] >= expected - (expected ? 250 : 0) &&
		       counts[i] <= expected + (expected ? 250 : 0);
	}
	socle_chan_free(full);
	socle_chan_free(empty);
	return even;
}

static void test_fair(void)
{
	CHECK(draws_evenly("rrrr"));
	CHECK(draws_evenly("rr--------"));
	CHECK(draws_evenly("-r--r----r"));
	CHECK(draws_evenly("rrrrrrrrrr"));
	CHECK(draws_evenly("---r"));
}

/* Of two producers that are always ready, neither is favoured over runs either. */
static void test_no_runs(void)
{
	socle_chan *c[2] = {socle_chan_make(0, 1), socle_chan_make(0, 1)};
	struct socle_case cases[] = {RECV(c[0], NULL), RECV(c[1], NULL)};
	int changes = 0, last = 0;

	socle_chan_send(c[0], NULL);
	socle_chan_send(c[1], NULL);
	for (int i = 0; i < 10000; i++) {
		int now = socle_select(cases, 2, SOCLE_FOREVER);

		changes += now != last;
		last = now;
		socle_chan_send(c[now], NULL);
	}
	CHECK(changes > 4750 && changes < 5250);
	socle_chan_free(c[0]);
	socle_chan_free(c[1]);
}

/* ---- first come, first served, among plain waiters; taken out of any place in the queue ---- */

static void receives(void *letter)
{
	int value;

	socle_chan_recv(queue_chan, &value);
	step(*(char *)letter);
}

static void test_place_in_queue(int place)
{
	socle_chan *other = unbuffered();
	int in;
	struct selection s = {.cases = {RECV(queue_chan = unbuffered(), &in), RECV(other, &in)},
			      .n = 2,
			      .letter = 's',
			      .deadline = SOCLE_FOREVER};

	for (int i = 0; i < 3; i++) {
		if (i == place)
			start(&s);
		else
			socle_go(receives, &"abc"[i]);
		socle_yield();
	}
	order[0] = '\0';
	CHECK(can_send(other, 1));
	socle_go(receives, "d");
	socle_yield();
	CHECK(can_send(queue_chan, 1) && can_send(queue_chan, 1) && can_send(queue_chan, 1));
	CHECK(!can_send(queue_chan, 1));
	socle_yield();
	CHECK(strcmp(order, place == 0 ? "sdbc" : place == 1 ? "sdac" : "sdab") == 0); /* the last readied runs first */
	socle_chan_free(queue_chan);
	socle_chan_free(other);
}

static void test_fifo(void)
{
	int in;
	struct selection s = {.n = 1, .letter = 'b', .deadline = SOCLE_FOREVER};

	queue_chan = unbuffered();
	s.cases[0] = (struct socle_case)RECV(queue_chan, &in);
	order[0] = '\0';
	socle_go(receives, "a");
	start(&s);
	socle_go(receives, "c");
	socle_yield();
	for (int i = 0; i < 3; i++)
		socle_chan_send(queue_chan, &i);
	socle_yield();
	CHECK(strcmp(order, "cab") == 0);
	socle_chan_free(queue_chan);
	for (int place = 0; place < 3; place++)
		test_place_in_queue(place);
}

/* A channel may be freed as soon as the select on it is decided, though its goroutine has not run since. */
static void test_free_decided(void)
{
	socle_chan *a = unbuffered(), *b = unbuffered();
	int in = 0;
	struct selection s = {.cases = {RECV(a, &in), RECV(b, &in), SEND(b, &in)}, .n = 3, .deadline = SOCLE_FOREVER};

	start(&s);
	CHECK(can_send(a, 3));
	socle_chan_free(b);
	socle_yield();
	CHECK(s.index == 0 && in == 3);
	socle_chan_free(a);
}

/* ---- deadlines ---- */

/* Until the first timer has fired, whose deadline that is. */
static void let_fire(int64_t deadline)
{
	while (this_p()->next_timer == deadline)
		if (socle_now() > deadline && this_p()->due)
			socle_yield();
}

static void test_deadline(void)
{
	socle_chan *c = unbuffered();
	int in = 0;
	struct socle_case cases[] = {RECV(c, &in)};
	int64_t deadline = socle_now() + 3 * MS;

	CHECK(socle_select(cases, 1, deadline) == -1 && errno == ETIMEDOUT);
	CHECK(socle_now() >= deadline);
	CHECK(!can_send(c, 1));
	CHECK(no_timers());
	socle_chan_free(c);
}

/* The send comes first; then the deadline passes before the select's goroutine runs. */
static void test_in_time(void)
{
	socle_chan *c = unbuffered();
	int in = 0;
	struct selection s = {.cases = {RECV(c, &in)}, .n = 1, .deadline = socle_now() + 5000 * MS};

	start(&s);
	CHECK(this_p()->timers != NULL);
	CHECK(can_send(c, 4));
	socle_yield();
	CHECK(s.index == 0 && in == 4);
	CHECK(this_p()->timers == NULL); /* cancelled */
	s.deadline = socle_now() + 2 * MS;
	start(&s);
	if (s.index == -2 && can_send(c, 5)) {
		let_fire(s.deadline);
		socle_yield();
		CHECK(s.index == 0 && in == 5);
	} else {
		CHECK(s.index == -1); /* a slow host: 2 ms were over already */
	}
	socle_chan_free(c);
}

/* The deadline comes first; then there is a send before the select's goroutine has run. */
static void sends_too_late(void *arg)
{
	struct selection *s = arg;

	let_fire(s->deadline); /* and the select's goroutine comes behind this one */
	CHECK(!can_send(s->cases[0].chan, 1));
	socle_chan_free(s->cases[0].chan);
}

static void test_too_late(void)
{
	int in = 0;
	struct selection s = {.cases = {RECV(unbuffered(), &in)}, .n = 1, .deadline = socle_now() + 30 * MS};

	start(&s);
	socle_go(sends_too_late, &s);
	while (s.index == -2)
		socle_sleep(40 * MS);
	CHECK(s.index == -1 && s.error == ETIMEDOUT && in == 0);
}

/* A sleeping sender and a deadline for the same moment, many times: every element arrives exactly once. */
static socle_chan *raced;
static int64_t moment;
static atomic_bool sender_done;

static void sends_at_moment(void *value)
{
	socle_sleep(moment - socle_now());
	socle_chan_send(raced, value);
	sender_done = true;
}

static void test_race(void)
{
	int lost = 0;

	raced = unbuffered();
	for (int i = 1; i <= 60; i++) {
		int in = 0;
		struct socle_case cases[] = {RECV(raced, &in), RECV(NULL, NULL)};

		sender_done = false;
		moment = socle_now() + MS / 2;
		socle_go(sends_at_moment, &i);
		if (socle_select(cases, 2, moment + (i % 3 - 1) * 20000) < 0) {
			lost += in != 0;
			socle_chan_recv(raced, &in);
		}
		lost += in != i;
		while (!sender_done)
			let_others_run();
	}
	CHECK(lost == 0);
	CHECK(no_timers());
	socle_chan_free(raced);
}

/* ---- as many as there may be ---- */

static void test_many(void)
{
	static socle_chan *c[SOCLE_SELECT_MAX];
	static struct socle_case cases[SOCLE_SELECT_MAX];
	static struct selection s;
	int wrong = 0, in = 0;

	for (int i = 0; i < SOCLE_SELECT_MAX; i++) {
		c[i] = unbuffered();
		cases[(i * 37 + 11) % SOCLE_SELECT_MAX] = (struct socle_case)RECV(c[i], &in);
	}
	for (int i = 0; i < SOCLE_SELECT_MAX; i += 5) {
		s = (struct selection){.cases = {SEND(c[i], &i)}, .n = 1, .index = -2, .deadline = SOCLE_FOREVER};
		socle_go(selects, &s);
		wrong += socle_select(cases, SOCLE_SELECT_MAX, SOCLE_FOREVER) != (i * 37 + 11) % SOCLE_SELECT_MAX ||
			 in != i;
		wait_for_others();
		wrong += s.index != 0;
	}
	CHECK(wrong == 0);
	for (int i = 0; i < SOCLE_SELECT_MAX; i++)
		socle_chan_free(c[i]);
}

/* ---- a crowd, each sending and receiving on all channels at once: what is sent is received ---- */

enum { CROWD = 12, CHANNELS = 4 };
static socle_chan *crowd_chans[CHANNELS], *quit;
static atomic_long sent, received, exchanges;
static atomic_int gone;

static void mingles(void *arg)
{
	struct socle_case cases[2 * CHANNELS + 1];
	int out = *(int *)arg, in, i;

	for (;;) {
		for (int k = 0; k < CHANNELS; k++) {
			cases[2 * k] = (struct socle_case)SEND(crowd_chans[k], &out);
			cases[2 * k + 1] = (struct socle_case)RECV(crowd_chans[k], &in);
		}
		cases[2 * CHANNELS] = (struct socle_case)RECV(quit, NULL);
		i = socle_select(cases, 2 * CHANNELS + 1, exchanges % 3 == 0 ? socle_now() + MS : SOCLE_FOREVER);
		if (i == 2 * CHANNELS)
			break;
		if (i >= 0 && i % 2 == 0)
			sent += out;
		else if (i >= 0)
			received += in;
		out = out * 5 % 1009 + 1;
		exchanges++;
	}
	gone++;
}

static void test_crowd(void)
{
	static int values[CROWD];

	sent = received = exchanges = 0;
	gone = 0;
	quit = unbuffered();
	for (int k = 0; k < CHANNELS; k++)
		crowd_chans[k] = unbuffered();
	for (int i = 0; i < CROWD; i++) {
		values[i] = i + 1;
		socle_go(mingles, &values[i]);
	}
	while (exchanges < 10000)
		let_others_run();
	socle_chan_close(quit);
	while (gone < CROWD)
		let_others_run();
	CHECK(sent == received && sent > 0);
	CHECK(no_timers());
	for (int k = 0; k < CHANNELS; k++)
		socle_chan_free(crowd_chans[k]);
	socle_chan_free(quit);
}

/* ---- inside a callback: the foreign frames stay on g0 meanwhile ---- */

enum { IN_CALLBACKS = 10 };
static socle_chan *into[IN_CALLBACKS];
static int got[IN_CALLBACKS];
static atomic_int finished;

static void selects_in_callback(void *arg)
{
	int i = *(int *)arg;
	struct socle_case cases[] = {RECV(NULL, NULL), RECV(into[i], &got[i])};

	CHECK(socle_select(cases, 1, socle_now() + MS) == -1);
	CHECK(socle_select(cases, 2, SOCLE_FOREVER) == 1);
}

static SOCLE_UNCHECKED void calls_back(void *arg)
{
	volatile int before = *(int *)arg;

	socle_callback(selects_in_callback, arg);
	finished += before == *(int *)arg;
}

static void calls_foreign(void *arg) { socle_foreign_call(calls_back, arg); }

static void test_callbacks(void)
{
	static int numbers[IN_CALLBACKS];

	finished = 0;
	for (int i = 0; i < IN_CALLBACKS; i++) {
		numbers[i] = i;
		got[i] = -1;
		into[i] = unbuffered();
		socle_go(calls_foreign, &numbers[i]);
	}
	for (int i = IN_CALLBACKS - 1; i >= 0; i--)
		socle_chan_send(into[i], &(int){i * 3});
	while (finished < IN_CALLBACKS)
		let_others_run();
	for (int i = 0; i < IN_CALLBACKS; i++) {
		CHECK(got[i] == i * 3);
		socle_chan_free(into[i]);
	}
}

/* ---- wrong arguments: nothing is done, nothing stays locked ---- */

static int select_error(struct socle_case *cases, int n)
{
	errno = 0;
	return socle_select(cases, n, 0) == -1 ? errno : 0;
}

static void test_wrong(void)
{
	socle_chan *chan[3] = {socle_chan_make(4, 1), socle_chan_make(4, 1), socle_chan_make(4, 1)};
	enum { MANY = 12 };
	struct socle_case cases[MANY];
	int x = 5, wrong = 0;

	CHECK(select_error(cases, -1) == EINVAL && select_error(cases, SOCLE_SELECT_MAX + 1) == EINVAL);
	CHECK(select_error(NULL, 1) == EINVAL);
	for (int n = 1; n <= MANY; n++)
		for (int i = 0; i < n; i++) {
			for (int j = 0; j < n; j++)
				cases[j] = (struct socle_case)RECV(chan[j * 3 / MANY], &x);
			cases[i].op = i % 2 ? 2 : -1;
			wrong += select_error(cases, n) != EINVAL;
		}
	CHECK(wrong == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(socle_chan_send(chan[i], &x) == 0);
		socle_chan_free(chan[i]);
	}
	CHECK(socle_chan_make(SIZE_MAX, 0) == NULL && errno == EINVAL);
}

/* What must come out the same in whatever order goroutines run: for chaos. */
static void in_any_order(void)
{
	test_nothing_ready();
	test_foreign();
	test_ready();
	test_closed();
	test_fair();
	test_no_runs();
	test_deadline();
	test_race();
	test_many();
	test_crowd();
	test_callbacks();
	test_wrong();
	wait_for_others();
}

static void all(void)
{
	in_any_order();
	test_waits_to_receive();
	test_waits_to_send();
	test_closed_while_waiting();
	test_freed_once_closed();
	test_same_channel();
	test_fifo();
	test_free_decided();
	test_in_time();
	test_too_late();
	wait_for_others();
}

int main(int argc, char **argv)
{
	struct socle_case nothing[] = {RECV(NULL, NULL)};

	const char *how = argc > 1 ? argv[1] : "";

	if (strcmp(how, "null") == 0 || strcmp(how, "nothing") == 0)
		return socle_select(nothing, how[1] == 'u', SOCLE_FOREVER);
	repeatedly(strcmp(how, "any-order") == 0 ? in_any_order : all);
	return finish();
}
