/*
 * Select, as in Go's select.go: waits for several sends and receives at once and does exactly one of them.
 *
 *   1. Lock every channel, in the order of their addresses, so that two selects cannot wait for each other's locks.
 *   2. Are any cases ready? Then do one of them, each as likely as the others, and be done.
 *   3. Queue a waiter on every channel; they and the deadline's timer run a race (wait.h). Unlock; park.
 *   4. Whoever won the race has done the send or receive. Take the other waiters out of their queues.
 *
 * All of it lies on the caller's stack. The cases are counted first and drawn then, so that a select that finds one
 * ready, or none, needs no random number.
 *
 * Rejected: going through the cases in a shuffled order until one is ready, as Go does (shuffling costs more than
 * asking the few cases there are); starting at a random case and taking the next one that is ready (unfair: of two
 * ready cases next to each other among ten, the first would be taken nine times in ten).
 */
#include "runtime/chan.h"

struct select {
	struct socle_case *cases;
	int n;
	socle_chan **channels; /* each once, by address; NULL left out */
	int nchannels;
	struct waiter *waiters; /* one for each case */
	struct race race;
};

/* Shell's sort: a plain insertion sort for the usual few, bearable for many. */
static void sort_channels(socle_chan **channels, int n)
{
	for (int gap = n > 40 ? 40 : n > 13 ? 13 : n > 4 ? 4 : 1; gap > 0; gap /= 3)
		for (int i = gap; i < n; i++) {
			socle_chan *c = channels[i];
			int j = i;

			for (; j >= gap && channels[j - gap] > c; j -= gap)
				channels[j] = channels[j - gap];
			channels[j] = c;
		}
}

static void collect_channels(struct select *s)
{
	int n = 0, distinct = 0;

	for (int i = 0; i < s->n; i++)
		if (s->cases[i].chan != NULL)
			s->channels[n++] = s->cases[i].chan;
	sort_channels(s->channels, n);
	for (int i = 0; i < n; i++)
		if (distinct == 0 || s->channels[i] != s->channels[distinct - 1])
			s->channels[distinct++] = s->channels[i];
	s->nchannels = distinct;
}

static void lock_channels(struct select *s)
{
	for (int i = 0; i < s->nchannels; i++)
		lock(&s->channels[i]->lock);
}

void unlock_channels(struct select *s)
{
	for (int i = 0; i < s->nchannels; i++)
		unlock(&s->channels[i]->lock);
}

static bool is_ready(const struct socle_case *sc)
{
	socle_chan *c = sc->chan;

	if (c == NULL)
		return false;
	if (sc->op == SOCLE_SEND)
		return c->closed || c->count < c->capacity || has_waiter(&c->receivers);
	return c->closed || c->count > 0 || has_waiter(&c->senders);
}

/* 0 to n - 1. A counter that steps by the golden ratio, its bits mixed: nothing of it shows in the order of cases. */
static unsigned random_below(unsigned n)
{
	uint32_t x = getg()->m->p->random += 0x9e3779b9;

	x = (x ^ x >> 16) * 0x85ebca6b;
	x = (x ^ x >> 13) * 0xc2b2ae35;
	return (unsigned)((uint64_t)(x ^ x >> 16) * n >> 32);
}

/* A ready case, -1 when there is none. The channels are locked. */
static int draw(const struct select *s)
{
	unsigned ready_cases = 0, skip;
	int last = -1;

	for (int i = 0; i < s->n; i++)
		if (is_ready(&s->cases[i])) {
			ready_cases++;
			last = i;
		}
	if (ready_cases <= 1)
		return last;
	skip = random_below(ready_cases);
	for (int i = 0; i < last; i++)
		if (is_ready(&s->cases[i]) && skip-- == 0)
			return i;
	return last;
}

static int end_case(struct select *s, int i, int error)
{
	struct socle_case *sc = &s->cases[i];

	sc->error = error;
	if (error != 0 && sc->op == SOCLE_RECV)
		zero_elem(sc->chan, sc->elem);
	return i;
}

/* Does a case that is ready, if there is any, and unlocks: its index. Otherwise -1. */
static int do_ready_case(struct select *s)
{
	int i, error;

	while ((i = draw(s)) >= 0) {
		struct socle_case *sc = &s->cases[i];

		error = sc->op == SOCLE_SEND ? try_send(sc->chan, sc->elem, s) : try_recv(sc->chan, sc->elem, s);
		if (error != WOULD_WAIT)
			return end_case(s, i, error);
		/* its partner's deadline came just now, on another CPU */
	}
	return -1;
}

static struct socle_waiters *queue_of(const struct socle_case *sc)
{
	return sc->op == SOCLE_SEND ? &sc->chan->senders : &sc->chan->receivers;
}

static void enqueue(struct select *s)
{
	struct g *g = getg();

	for (int i = 0; i < s->n; i++) {
		struct socle_case *sc = &s->cases[i];
		struct waiter *w = &s->waiters[i];

		if (sc->chan == NULL)
			continue;
		w->g = g;
		w->race = &s->race;
		w->elem = sc->elem;
		w->queued = true;
		w->done = false;
		put_waiter(queue_of(sc), w);
	}
}

static void dequeue(struct select *s)
{
	for (int i = 0; i < s->n; i++) {
		struct socle_case *sc = &s->cases[i];
		struct waiter *w = &s->waiters[i];

		if (sc->chan != NULL && w != s->race.winner)
			leave_queue(queue_of(sc), &sc->chan->lock, w);
	}
}

/* The channels are locked, no case is ready. */
static int wait_for_case(struct select *s, int64_t deadline)
{
	struct timer t = {.deadline = deadline, .g = getg(), .race = &s->race};
	const struct waiter *winner;

	lock(&s->race.lock);
	enqueue(s);
	if (deadline != SOCLE_FOREVER)
		timer_arm(&t);
	unlock_channels(s);
	park(&s->race.lock, "selecting", s->cases);
	if (deadline != SOCLE_FOREVER)
		timer_cancel(&t);
	dequeue(s);
	if (s->race.winner == &t) {
		errno = ETIMEDOUT;
		return -1;
	}
	winner = s->race.winner;
	return end_case(s, (int)(winner - s->waiters), winner->done ? 0 : EPIPE);
}

static int select(struct select *s, int64_t deadline)
{
	int i;

	collect_channels(s);
	lock_channels(s);
	i = do_ready_case(s);
	if (i >= 0)
		return i;
	if (deadline == SOCLE_FOREVER || (deadline > 0 && deadline > clock_now()))
		return wait_for_case(s, deadline);
	unlock_channels(s);
	errno = ETIMEDOUT;
	return -1;
}

int socle_select(struct socle_case *cases, int n, int64_t deadline)
{
	if (require_goroutine() < 0)
		return -1;
	if (n < 0 || n > SOCLE_SELECT_MAX) {
		errno = EINVAL;
		return -1;
	}
	socle_chan *channels[n + 1];
	struct waiter waiters[n + 1];
	struct select s = {.cases = cases, .n = n, .channels = channels, .waiters = waiters};

	return select(&s, deadline);
}
