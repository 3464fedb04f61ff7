/* What select.c shares with chan.c. */
#ifndef SOCLE_CHAN_H
#define SOCLE_CHAN_H

#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"
#include "runtime/switch.h"
#include "runtime/wait.h"

struct socle_chan {
	struct spin_lock lock;
	uintptr_t closed;	    /* then nobody waits */
	size_t count, first;	    /* in the ring */
	size_t elem_size, capacity; /* never change */
	/* One of them is empty, but for a select that waits for both: it does not meet itself. */
	struct socle_waiters senders, receivers;
	char ring[];
};

/* What a send or receive that need not wait comes to, all locks let go: 0, or an errno. WOULD_WAIT: it must; then they
 * are still held. Inlined into each way in, with what that knows: the size of an element, or that s is NULL. */

/* c->lock is held; in a select, the locks of all its channels. */
struct select;
void unlock_channels(struct select *s);

static ALWAYS_INLINE void unlock_for(socle_chan *c, struct select *s)
{
	if (s == NULL)
		unlock(&c->lock);
	else
		unlock_channels(s);
}

static ALWAYS_INLINE void copy_elem(void *to, const void *from, size_t size)
{
	if (to == NULL)
		return;
	if (size == sizeof(uintptr_t)) /* known to be so or not, except in a select */
		memcpy(to, from, sizeof(uintptr_t));
	else
		memcpy(to, from, size);
}

static ALWAYS_INLINE void zero_elem(void *elem, size_t size)
{
	if (elem != NULL)
		memset(elem, 0, size);
}

/* There is room. */
static ALWAYS_INLINE void put_last(socle_chan *c, const void *elem, size_t size)
{
	size_t at = c->first + c->count++;

	memcpy(c->ring + (at < c->capacity ? at : at - c->capacity) * size, elem, size);
}

/* There is one. */
static ALWAYS_INLINE void take_first(socle_chan *c, void *elem, size_t size)
{
	size_t at = c->first;

	c->count--;
	c->first = at + 1 == c->capacity ? 0 : at + 1;
	copy_elem(elem, c->ring + at * size, size);
}

/* Its element has changed hands. */
static ALWAYS_INLINE int wake(struct waiter *w)
{
	w->done = true;
	ready(w->g);
	return 0;
}

/* A waiter that was taken from its queue is the taker's alone, and waits on: no lock is needed to copy. But it must be
 * woken: so as far as panics and turns are concerned, a lock is held until then. */
static ALWAYS_INLINE void unlock_counted(socle_chan *c, struct select *s)
{
	if (s == NULL) {
		spin_unlock(&c->lock);
	} else {
		getg()->locks++;
		unlock_channels(s);
	}
}

static ALWAYS_INLINE int wake_counted(struct waiter *w)
{
	wake(w);
	getg()->locks--;
	return 0;
}

static ALWAYS_INLINE int try_send(socle_chan *c, const void *elem, size_t size, struct select *s)
{
	struct waiter *w;

	if ((w = take_waiter(&c->receivers)) != NULL) {
		unlock_counted(c, s);
		copy_elem(w->elem, elem, size);
		return wake_counted(w);
	}
	if (c->closed) {
		unlock_for(c, s);
		return EPIPE;
	}
	if (c->count == c->capacity)
		return WOULD_WAIT;
	put_last(c, elem, size);
	unlock_for(c, s);
	return 0;
}

static ALWAYS_INLINE int try_recv(socle_chan *c, void *elem, size_t size, struct select *s)
{
	struct waiter *w;

	if (c->count > 0) {
		take_first(c, elem, size);
		if ((w = take_waiter(&c->senders)) != NULL) /* the ring was full: the first in line takes the place */
			put_last(c, w->elem, size);
		unlock_for(c, s);
		return w == NULL ? 0 : wake(w);
	}
	if ((w = take_waiter(&c->senders)) != NULL) {
		unlock_counted(c, s);
		copy_elem(elem, w->elem, size);
		return wake_counted(w);
	}
	if (!c->closed)
		return WOULD_WAIT;
	unlock_for(c, s);
	zero_elem(elem, size);
	return EPIPE;
}

#endif
