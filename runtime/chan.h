/* What select.c shares with chan.c. */
#ifndef SOCLE_CHAN_H
#define SOCLE_CHAN_H

#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"
#include "runtime/wait.h"

struct socle_chan {
	size_t elem_size, capacity;
	/* lock: */
	struct lock lock;
	bool closed;
	size_t count, first; /* in the ring */
	/* One of them is empty, but for a select that waits for both: it does not meet itself. */
	struct socle_waiters senders, receivers;
	char ring[];
};

static inline void *ring_slot(socle_chan *c, size_t i)
{
	size_t at = c->first + i;

	return c->ring + (at < c->capacity ? at : at - c->capacity) * c->elem_size;
}

static inline void copy_elem(socle_chan *c, void *to, const void *from)
{
	if (to == NULL)
		return;
	if (c->elem_size == sizeof(uintptr_t))
		__builtin_memcpy(to, from, sizeof(uintptr_t));
	else
		memcpy(to, from, c->elem_size);
}

static inline void zero_elem(socle_chan *c, void *elem)
{
	if (elem != NULL)
		memset(elem, 0, c->elem_size);
}

/* What a send or receive that need not wait comes to, all locks let go: 0, or an errno. WOULD_WAIT: it must; then they
 * are still held. */
enum { WOULD_WAIT = -1 };

/* c->lock is held; in a select, the locks of all its channels. Inlined, for the plain case to be free of the other. */
struct select;
void unlock_channels(struct select *s);

static inline void unlock_for(socle_chan *c, struct select *s)
{
	if (s == NULL)
		unlock(&c->lock);
	else
		unlock_channels(s);
}

/* The element of w has changed hands. */
static inline int finish(socle_chan *c, struct select *s, struct waiter *w)
{
	struct g *g = w->g;

	w->done = true;
	unlock_for(c, s);
	ready(g);
	return 0;
}

static ALWAYS_INLINE int try_send(socle_chan *c, const void *elem, struct select *s)
{
	struct waiter *w;

	if (c->closed) {
		unlock_for(c, s);
		return EPIPE;
	}
	if ((w = take_waiter(&c->receivers)) != NULL) {
		copy_elem(c, w->elem, elem);
		return finish(c, s, w);
	}
	if (c->count == c->capacity)
		return WOULD_WAIT;
	copy_elem(c, ring_slot(c, c->count++), elem);
	unlock_for(c, s);
	return 0;
}

static inline void take_first(socle_chan *c, void *elem)
{
	copy_elem(c, elem, ring_slot(c, 0));
	c->first = c->first + 1 == c->capacity ? 0 : c->first + 1;
	c->count--;
}

static ALWAYS_INLINE int try_recv(socle_chan *c, void *elem, struct select *s)
{
	struct waiter *w;

	if (c->count > 0) {
		take_first(c, elem);
		if ((w = take_waiter(&c->senders)) == NULL) {
			unlock_for(c, s);
			return 0;
		}
		copy_elem(c, ring_slot(c, c->count++),
			  w->elem); /* the ring was full: the first in line takes the place */
		return finish(c, s, w);
	}
	if ((w = take_waiter(&c->senders)) != NULL) {
		copy_elem(c, elem, w->elem);
		return finish(c, s, w);
	}
	if (!c->closed)
		return WOULD_WAIT;
	unlock_for(c, s);
	return EPIPE; /* elem is to be zeroed */
}

#endif
