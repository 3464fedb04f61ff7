/*
 * Select, as in Go's select.go: waits for several sends and receives at once and does exactly one of them.
 *
 *   1. Lock every channel, in the order of their addresses, so that two selects cannot wait for each other's locks.
 *   2. Are any cases ready? Then do one of them, each as likely as the others, and be done.
 *   3. Queue a waiter on every channel; they and the deadline's timer run a race (wait.h). Unlock; park.
 *   4. Whoever won the race has done the send or receive. Take the other waiters out of their queues.
 *
 * All of it lies on the caller's stack. Drawing is reservoir sampling: the second ready case takes the place of the
 * first with a chance of 1/2, the third with 1/3; so a select that finds one ready, or none, needs no random number.
 *
 * Rejected: going through the cases in a shuffled order until one is ready, as Go does (shuffling costs more than
 * asking the few cases there are); starting at a random case and taking the next one that is ready (unfair: of two
 * ready cases next to each other among ten, the first would be taken nine times in ten).
 */
#include "runtime/chan.h"

/* One for each case. What the k-th says of locking has nothing to do with the k-th case, but so it is one array. */
struct entry {
	struct waiter waiter;	     /* of the k-th case */
	struct socle_waiters *queue; /* where that waits */
	socle_chan *channel;	     /* the k-th by address: each once, those of NULL left out */
};

struct select {
	struct socle_case *cases;
	int n;
	struct entry *entries, *end_channels;
	struct race race;
};

/* Puts c among those in [first, end), which are sorted, if it is not there. The new end. */
static NOINLINE struct entry *insert_channel(struct entry *first, struct entry *end, socle_chan *c)
{
	struct entry *at = end;

	while (at > first && at[-1].channel > c)
		at--;
	if (at > first && at[-1].channel == c)
		return end;
	for (struct entry *e = end; e > at; e--)
		e->channel = e[-1].channel;
	at->channel = c;
	return end + 1;
}

/* Insertion: nothing is locked yet, and cases are few, often in order. */
static void sort_channels(struct select *s)
{
	struct entry *end = s->entries;
	socle_chan *last = NULL;

	for (struct socle_case *sc = s->cases, *end_case = sc + s->n; sc < end_case; sc++) {
		socle_chan *c = sc->chan;

		if (c == NULL)
			continue;
		if (c > last)
			(end++)->channel = last = c;
		else
			end = insert_channel(s->entries, end, c);
	}
	s->end_channels = end;
}

static void lock_channels(struct select *s)
{
	for (struct entry *e = s->entries, *end = s->end_channels; e < end; e++)
		lock(&e->channel->lock);
}

void unlock_channels(struct select *s)
{
	for (struct entry *e = s->entries, *end = s->end_channels; e < end; e++)
		unlock(&e->channel->lock);
}

static ALWAYS_INLINE bool is_ready(const struct socle_case *sc)
{
	socle_chan *c = sc->chan;

	if (c == NULL)
		return false;
	if (sc->op == SOCLE_SEND)
		return c->closed || c->count < c->capacity || has_waiter(&c->receivers);
	return c->closed || c->count > 0 || has_waiter(&c->senders);
}

/* 0 to n - 1. A counter that steps by the golden ratio, its bits mixed: nothing of it shows in the order of cases. */
static NOINLINE unsigned random_below(unsigned n)
{
	uint32_t x = getg()->m->p->random += 0x9e3779b9;

	x = (x ^ x >> 16) * 0x85ebca6b;
	x = (x ^ x >> 13) * 0xc2b2ae35;
	return (unsigned)((uint64_t)(x ^ x >> 16) * n >> 32);
}

/* Among those that are ready, of which `drawn` is the first. */
static NOINLINE struct socle_case *draw_from(const struct select *s, struct socle_case *drawn)
{
	unsigned ready_cases = 1;

	for (struct socle_case *sc = drawn + 1, *end = s->cases + s->n; sc < end; sc++)
		if (is_ready(sc) && random_below(++ready_cases) == 0)
			drawn = sc;
	return drawn;
}

/* A ready case, NULL when there is none. The channels are locked. */
static struct socle_case *draw(const struct select *s)
{
	for (struct socle_case *sc = s->cases, *end = sc + s->n; sc < end; sc++)
		if (is_ready(sc))
			return draw_from(s, sc);
	return NULL;
}

static int end_case(const struct select *s, struct socle_case *sc, int error)
{
	sc->error = error;
	if (error != 0 && sc->op == SOCLE_RECV)
		zero_elem(sc->chan, sc->elem);
	return (int)(sc - s->cases);
}

/* Does a case that is ready, if there is any, and unlocks: its index. Otherwise -1. */
static int do_ready_case(struct select *s)
{
	struct socle_case *sc;
	int error;

	while ((sc = draw(s)) != NULL) {
		error = sc->op == SOCLE_SEND ? try_send(sc->chan, sc->elem, s) : try_recv(sc->chan, sc->elem, s);
		if (error != WOULD_WAIT)
			return end_case(s, sc, error);
		/* its partner's deadline came just now, on another CPU */
	}
	return -1;
}

static void enqueue(struct select *s)
{
	struct g *g = getg();
	struct entry *e = s->entries;

	for (struct socle_case *sc = s->cases, *end = sc + s->n; sc < end; sc++, e++) {
		struct waiter *w = &e->waiter;

		w->queued = sc->chan != NULL;
		if (!w->queued)
			continue;
		w->g = g;
		w->race = &s->race;
		w->elem = sc->elem;
		w->done = false;
		e->queue = sc->op == SOCLE_SEND ? &sc->chan->senders : &sc->chan->receivers;
		put_waiter(e->queue, w);
	}
}

/* As leave_queue(), where nobody stands in the way for all the waiters at once. */
static void dequeue(struct select *s)
{
	struct socle_case *sc = s->cases, *end = sc + s->n;
	struct entry *e = s->entries;
	bool left = false;

	lock(&s->race.lock);
	for (; sc < end; sc++, e++) {
		if (!e->waiter.queued)
			continue;
		if (!try_lock(&sc->chan->lock)) {
			left = true;
			continue;
		}
		remove_waiter(e->queue, &e->waiter);
		e->waiter.queued = false;
		unlock(&sc->chan->lock);
	}
	unlock(&s->race.lock);
	for (int i = 0; left && i < s->n; i++)
		if (s->cases[i].chan != NULL)
			leave_queue(s->entries[i].queue, &s->cases[i].chan->lock, &s->entries[i].waiter);
}

/* The channels are locked, no case is ready. */
static int wait_for_case(struct select *s, int64_t deadline)
{
	struct timer t;
	const struct entry *winner;

	lock(&s->race.lock);
	enqueue(s);
	if (deadline != SOCLE_FOREVER) {
		t = (struct timer){.deadline = deadline, .g = getg(), .race = &s->race};
		timer_arm(&t);
	}
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
	return end_case(s, &s->cases[winner - s->entries], winner->waiter.done ? 0 : EPIPE);
}

int socle_select(struct socle_case *cases, int n, int64_t deadline)
{
	int i;

	if (require_goroutine() < 0)
		return -1;
	if (n < 0 || n > SOCLE_SELECT_MAX) {
		errno = EINVAL;
		return -1;
	}
	struct entry entries[n + 1];
	struct select s = {.cases = cases, .n = n, .entries = entries};

	sort_channels(&s);
	lock_channels(&s);
	i = do_ready_case(&s);
	if (i >= 0)
		return i;
	if (deadline == SOCLE_FOREVER || (deadline > 0 && deadline > clock_now()))
		return wait_for_case(&s, deadline);
	unlock_channels(&s);
	errno = ETIMEDOUT;
	return -1;
}
