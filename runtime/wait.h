/*
 * Queues of goroutines that wait, first come, first served: for channels, select and sync. A waiter lies on the stack
 * of the goroutine that waits: stacks never move, so others may write through it. The lock of a queue is the lock of
 * what it belongs to.
 *
 * A goroutine may wait for several things at once: channels of a select, a deadline. Then all its waiters, and its
 * timer, run a race: whoever calls race_win() first may wake it, and the others are passed over. The lock of a race
 * is its goroutine's from before the first waiter is queued until it parks, so nobody wins before all of them wait.
 * Lock order: that of the queue or the timers, then the race's.
 */
#ifndef SOCLE_WAIT_H
#define SOCLE_WAIT_H

#include "kernel/lock.h"
#include "socle.h"

enum { WOULD_WAIT = -1 }; /* among errnos */

struct race {
	struct spin_lock lock;
	const void *winner; /* a waiter or a timer; NULL: still open */
};

struct waiter {
	struct g *g;
	struct waiter *next, *prev; /* kept by the queue; prev is undefined in the first */
	struct race *race;	    /* NULL: only this queue wakes g; or w was in a race, and was taken out since */
	void *elem;		    /* to copy from or to; may be NULL in a receiver */
	bool hand_over;		    /* a mutex: not just to be woken */
	bool done; /* the element changed hands, the object is held; false when woken by something else */
};

/* False: somebody else was first. The caller holds the lock of the timers. */
static inline bool race_win(struct race *r, const void *who)
{
	bool won;

	spin_lock(&r->lock);
	won = r->winner == NULL;
	if (won)
		r->winner = who;
	spin_unlock(&r->lock);
	return won;
}

/* w was just taken from its queue. True: it won, the caller wakes it. */
static inline bool race_claim(struct waiter *w)
{
	struct race *r = w->race;
	bool won;

	spin_lock(&r->lock);
	w->race = NULL;
	won = r->winner == NULL;
	if (won)
		r->winner = w;
	spin_unlock(&r->lock);
	return won;
}

/* w is the first of its queue. True: it is to be taken out, nobody may wake it. */
static inline bool race_over(struct waiter *w)
{
	struct race *r = w->race;
	bool over;

	spin_lock(&r->lock);
	over = r->winner != NULL;
	if (over)
		w->race = NULL;
	spin_unlock(&r->lock);
	return over;
}

/* struct socle_waiters is in socle.h: {head, tail}. tail is undefined while head is NULL. */

static inline void put_waiter(struct socle_waiters *q, struct waiter *w)
{
	w->next = NULL;
	if (q->head == NULL) {
		q->head = w;
	} else {
		w->prev = q->tail;
		q->tail->next = w;
	}
	q->tail = w;
}

static inline void put_waiter_first(struct socle_waiters *q, struct waiter *w)
{
	w->next = q->head;
	if (q->head == NULL)
		q->tail = w;
	else
		q->head->prev = w;
	q->head = w;
}

/* From anywhere in the queue. */
static inline void remove_waiter(struct socle_waiters *q, struct waiter *w)
{
	if (q->head == w) {
		q->head = w->next;
		return;
	}
	w->prev->next = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	else
		q->tail = w->prev;
}

/* The first that can still be woken, for the caller to wake; NULL when there is none. */
static inline struct waiter *take_waiter(struct socle_waiters *q)
{
	struct waiter *w;

	while ((w = q->head) != NULL) {
		q->head = w->next;
		if (w->race == NULL || race_claim(w))
			break;
	}
	return w;
}

/* Somebody waits who can still be woken; on several CPUs this may be over a moment later. */
static inline bool has_waiter(struct socle_waiters *q)
{
	struct waiter *w;

	while ((w = q->head) != NULL && w->race != NULL) {
		struct waiter *next = w->next;

		if (!race_over(w))
			break;
		q->head = next;
	}
	return w != NULL;
}

/* Waits in q, whose lock l is held, and free on return. deadline: of socle_now(), or SOCLE_FOREVER. False: that came
 * first. w lies on the caller's stack. */
bool wait_in(struct socle_waiters *q, struct spin_lock *l, struct waiter *w, int64_t deadline, const char *why,
	     const void *on);

/* Takes w out of q if it still is there. The race is over; its lock is not held, nor is l, that of q. */
void leave_queue(struct socle_waiters *q, struct spin_lock *l, struct waiter *w, struct race *r);

#endif
