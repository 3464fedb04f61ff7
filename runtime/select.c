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
 * The race's lock is taken first, when nobody knows it yet, and let go last, by park(): until then whoever has taken
 * one of the waiters waits for it. So each channel is unlocked as soon as the select waits in its queue.
 *
 * Rejected: going through the cases in a shuffled order until one is ready, as Go does (shuffling costs more than
 * asking the few cases there are); starting at a random case and taking the next one that is ready (unfair: of two
 * ready cases next to each other among ten, the first would be taken nine times in ten).
 */
#include "runtime/chan.h"

/* One for each case whose channel is not NULL, in the order of their channels' addresses. */
struct entry {
	struct waiter waiter;
	struct socle_waiters *queue; /* where that waits */
	socle_chan *channel;
	struct socle_case *sc;
};

struct select {
	struct entry *first, *end; /* end->channel is NULL */
	struct race race;
};

static ALWAYS_INLINE bool is_wrong(const struct socle_case *sc) { return sc->op > SOCLE_RECV; }

/* False: there is surely nothing to do yet, if c is locked. */
static ALWAYS_INLINE bool fill_in(struct entry *e, struct socle_case *sc, socle_chan *c)
{
	e->channel = c;
	e->sc = sc;
	e->waiter.elem = sc->elem;
	if (sc->op == SOCLE_SEND) {
		e->queue = &c->senders;
		return (c->closed | (uintptr_t)c->receivers.head) != 0 || c->count < c->capacity;
	}
	if (is_wrong(sc))
		return true;
	e->queue = &c->receivers;
	return (c->closed | c->count | (uintptr_t)c->senders.head) != 0;
}

/* Cases of the same channel lie side by side. The race's lock is outermost, so the others are not counted. */
void unlock_channels(struct select *s)
{
	for (struct entry *e = s->first; e < s->end; e++)
		if (e[1].channel != e->channel)
			spin_unlock(&e->channel->lock);
	unlock(&s->race.lock);
}

/* Its channel is locked. */
static bool is_ready(const struct socle_case *sc)
{
	socle_chan *c = sc->chan;

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

/* Sorts by insertion: nothing is locked yet, and cases are few. */
static void sort_cases(struct select *s, struct socle_case *cases, int n)
{
	struct entry *e, *end = s->first;

	for (struct socle_case *sc = cases; sc < cases + n; sc++) {
		if (sc->chan == NULL)
			continue;
		for (e = end++; e > s->first && e[-1].sc->chan > sc->chan; e--)
			e->sc = e[-1].sc;
		e->sc = sc;
	}
	for (e = s->first; e < end; e++)
		fill_in(e, e->sc, e->sc->chan);
	end->channel = NULL;
	s->end = end;
}

/* Locks all channels; as far as `locked` they are. A ready case, NULL when there is none. */
static struct socle_case *lock_and_draw(struct select *s, struct entry *locked)
{
	struct socle_case *drawn = NULL;
	unsigned ready_cases = 0;

	for (struct entry *e = locked, *end = s->end; e < end; e++)
		if (e == s->first || e->channel != e[-1].channel)
			spin_lock(&e->channel->lock);
	for (struct entry *e = s->first, *end = s->end; e < end; e++)
		if (is_ready(e->sc) && (ready_cases++ == 0 || random_below(ready_cases) == 0))
			drawn = e->sc;
	return drawn;
}

static int end_case(struct socle_case *cases, struct socle_case *sc, int error)
{
	sc->error = error;
	return (int)(sc - cases);
}

/* Does a case that is ready, if there is any, and unlocks: its index. Otherwise -1, and all are locked. */
static int do_ready_case(struct select *s, struct entry *locked, struct socle_case *cases)
{
	struct socle_case *sc;
	socle_chan *c;
	int error;

	while ((sc = lock_and_draw(s, locked)) != NULL) {
		c = sc->chan;
		error = sc->op == SOCLE_SEND ? try_send(c, sc->elem, c->elem_size, s)
					     : try_recv(c, sc->elem, c->elem_size, s);
		if (error != WOULD_WAIT)
			return end_case(cases, sc, error);
		unlock_channels(s); /* its partner's deadline came just now, on another CPU */
		lock_new(&s->race.lock);
		locked = s->first;
	}
	return -1;
}

static NOINLINE void put_behind(struct socle_waiters *q, struct waiter *w) { put_waiter(q, w); }

static ALWAYS_INLINE void enqueue(struct entry *e, struct race *r, struct g *g)
{
	e->waiter.g = g;
	e->waiter.race = r;
	if (__builtin_expect(e->queue->head == NULL, true))
		put_waiter_first(e->queue, &e->waiter); /* fewer stores, where it is the only one */
	else
		put_behind(e->queue, &e->waiter);
}

/* The race is over, and its lock is held. False: somebody stands in the way. */
static ALWAYS_INLINE bool try_leave(struct entry *e)
{
	struct spin_lock *l = &e->channel->lock;

	if (e->waiter.race == NULL)
		return true;
	if (!spin_try(l))
		return false;
	remove_waiter(e->queue, &e->waiter);
	spin_unlock(l);
	return true;
}

/* As leave_queue(), for all the waiters at once as long as nobody stands in the way. The winner of the race. */
static ALWAYS_INLINE const void *dequeue(struct entry *e, struct entry *end, struct race *r)
{
	lock(&r->lock);
	while (e < end && try_leave(e))
		e++;
	unlock(&r->lock);
	for (; e < end; e++)
		leave_queue(e->queue, &e->channel->lock, &e->waiter, r);
	return r->winner;
}

/* The channels are locked, no case is ready. The index, or an errno, negative. */
static int wait_for_case(struct select *s, struct socle_case *cases, int64_t deadline)
{
	struct timer t = {.deadline = deadline, .g = getg(), .race = &s->race};
	const struct entry *winner;

	for (struct entry *e = s->first; e < s->end; e++) {
		enqueue(e, &s->race, t.g);
		if (e[1].channel != e->channel)
			spin_unlock(&e->channel->lock);
	}
	if (deadline != SOCLE_FOREVER)
		timer_arm(&t);
	park(&s->race.lock, "selecting", cases);
	if (deadline != SOCLE_FOREVER)
		timer_cancel(&t);
	winner = dequeue(s->first, s->end, &s->race);
	if ((const void *)winner == &t)
		return -ETIMEDOUT;
	return end_case(cases, winner->sc, winner->waiter.done ? 0 : EPIPE);
}

/* The index, or an errno, negative. */
static int select_in_order(struct select *s, struct entry *locked, struct socle_case *cases, int64_t deadline)
{
	int i = do_ready_case(s, locked, cases);

	if (i >= 0)
		return i;
	if (deadline == SOCLE_FOREVER || (deadline > 0 && deadline > clock_now()))
		return wait_for_case(s, cases, deadline);
	unlock_channels(s);
	end_turn_if_due(getg());
	return -ETIMEDOUT;
}

/* Any number of them, in any order. */
static NOINLINE int select_any(struct socle_case *cases, int n, int64_t deadline)
{
	if (n < 0 || n > SOCLE_SELECT_MAX || (n > 0 && cases == NULL))
		return -EINVAL;
	for (int i = 0; i < n; i++)
		if (is_wrong(&cases[i]))
			return -EINVAL;
	struct entry entries[n + 1];
	struct select s = {.first = entries};

	sort_cases(&s, cases, n);
	arch_touch_stack(OPERATION_ROOM);
	lock_new(&s.race.lock);
	return select_in_order(&s, s.first, cases, deadline);
}

/*
 * A few cases that are in order already, as they often are, take a short way: locking and asking in one go; and, if
 * none is ready and there is no deadline, straight to waiting.
 */

#define FEW 8

/* Locks as long as they are in order and nothing is ready. Where it stopped, all before that is locked; NULL: all. */
static ALWAYS_INLINE struct entry *lock_few(struct entry *e, struct entry *end, struct socle_case *sc)
{
	socle_chan *last = NULL;

	do {
		socle_chan *c = sc->chan;

		if (c <= last)
			return e;
		spin_lock(&c->lock);
		if (fill_in(e, sc++, c))
			return e + 1;
		last = c;
	} while (++e < end);
	return NULL;
}

/* Goes on from there. The index, or an errno, negative. */
static NOINLINE int select_few(struct select *s, struct entry *locked, struct socle_case *cases, int64_t deadline)
{
	struct entry *end = s->end;
	struct socle_case *sc = cases + (locked - s->first);
	bool in_order = locked == s->first || !is_wrong(sc - 1);

	for (struct entry *e = locked; e < end && in_order; e++, sc++) {
		in_order = sc->chan > (e > s->first ? e[-1].channel : NULL) && !is_wrong(sc);
		if (in_order)
			fill_in(e, sc, sc->chan);
	}
	if (!in_order) {
		locked->channel = NULL;
		s->end = locked;
		unlock_channels(s);
		return select_any(cases, (int)(end - s->first), deadline);
	}
	end->channel = NULL;
	return select_in_order(s, locked, cases, deadline);
}

static ALWAYS_INLINE int wait_for_few(struct entry *first, struct entry *end, struct race *r, struct socle_case *cases)
{
	const struct entry *winner;
	struct entry *e = first;
	struct g *g = getg();

	do {
		enqueue(e, r, g);
		spin_unlock(&e->channel->lock);
	} while (++e < end);
	park(&r->lock, "selecting", cases);
	winner = dequeue(first, end, r);
	return end_case(cases, winner->sc, winner->waiter.done ? 0 : EPIPE);
}

static NOINLINE int fail(int error)
{
	errno = error;
	return -1;
}

int socle_select(struct socle_case *cases, int n, int64_t deadline)
{
	struct entry entries[FEW + 1], *end = entries + n, *locked;
	struct select s;
	int i;

	if (require_goroutine() < 0)
		return -1;
	if (n > 0 && n <= FEW) {
		s.race.winner = NULL;
		if (cases == NULL)
			return fail(EINVAL);
		arch_touch_stack(OPERATION_ROOM);
		lock_new(&s.race.lock);
		locked = lock_few(entries, end, cases);
		if (locked == NULL && deadline == SOCLE_FOREVER)
			return wait_for_few(entries, end, &s.race, cases);
		s.first = entries;
		s.end = end;
		i = select_few(&s, locked != NULL ? locked : end, cases, deadline);
	} else {
		i = select_any(cases, n, deadline);
	}
	return i >= 0 ? i : fail(-i);
}
