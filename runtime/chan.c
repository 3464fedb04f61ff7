/*
 * Channels, as in Go's chan.c: a ring of elements and two queues of waiters. A sender that finds a receiver waiting
 * copies straight into the receiver's variable, so an unbuffered channel is a ring of none. A waiter lies on the
 * stack of the goroutine that waits: stacks never move, so others may write through it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime.h"

struct waiter {
	struct g *g;
	void *elem;      /* to copy from or to; may be NULL in a receiver */
	bool done;       /* the element changed hands; false when woken by close */
	struct waiter *next;
};

struct waiters {
	struct waiter *head, *tail;
};

struct socle_chan {
	size_t elem_size, capacity;
	/* lock: */
	struct lock lock;
	bool closed;
	size_t count, first;              /* in the ring */
	struct waiters senders, receivers; /* one of them is empty, always */
	char ring[];
};

static void put_waiter(struct waiters *q, struct waiter *w)
{
	if (q->head == NULL)
		q->head = w;
	else
		q->tail->next = w;
	q->tail = w;
}

static struct waiter *take_waiter(struct waiters *q)
{
	struct waiter *w = q->head;

	if (w != NULL)
		q->head = w->next;
	return w;
}

static void *ring_slot(socle_chan *c, size_t i)
{
	size_t at = c->first + i;

	return c->ring + (at < c->capacity ? at : at - c->capacity) * c->elem_size;
}

static void copy(socle_chan *c, void *to, const void *from)
{
	if (to == NULL)
		return;
	if (c->elem_size == sizeof(uintptr_t))
		__builtin_memcpy(to, from, sizeof(uintptr_t));
	else
		memcpy(to, from, c->elem_size);
}

static void take_first(socle_chan *c, void *elem)
{
	copy(c, elem, ring_slot(c, 0));
	c->first = c->first + 1 == c->capacity ? 0 : c->first + 1;
	c->count--;
}

socle_chan *socle_chan_make(size_t elem_size, size_t capacity)
{
	socle_chan *c;
	size_t bytes;

	if (__builtin_mul_overflow(elem_size, capacity, &bytes) || __builtin_add_overflow(bytes, sizeof *c, &bytes)) {
		errno = EINVAL;
		return NULL;
	}
	c = calloc(1, bytes);
	if (c == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	c->elem_size = elem_size;
	c->capacity = capacity;
	return c;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

/* Queues the caller and waits. True: the element changed hands. Unlocks. */
static bool wait(socle_chan *c, struct waiters *q, void *elem, const char *why)
{
	struct waiter w = {.g = getg(), .elem = elem};

	put_waiter(q, &w);
	park(&c->lock, why, c);
	return w.done;
}

static void finish(socle_chan *c, struct waiter *w)
{
	w->done = true;
	unlock(&c->lock);
	ready(w->g);
}

int socle_chan_send(socle_chan *c, const void *elem)
{
	struct waiter *w;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock(&c->lock);
	if (c->closed) {
		unlock(&c->lock);
		return refuse(EPIPE);
	}
	if ((w = take_waiter(&c->receivers)) != NULL) {
		copy(c, w->elem, elem);
		finish(c, w);
		return 0;
	}
	if (c->count < c->capacity) {
		copy(c, ring_slot(c, c->count++), elem);
		unlock(&c->lock);
		return 0;
	}
	return wait(c, &c->senders, (void *)elem, "sending on channel") ? 0 : refuse(EPIPE);
}

/* Closed and drained. */
static int recv_closed(socle_chan *c, void *elem)
{
	if (elem != NULL)
		memset(elem, 0, c->elem_size);
	return refuse(EPIPE);
}

int socle_chan_recv(socle_chan *c, void *elem)
{
	struct waiter *w;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock(&c->lock);
	if (c->count > 0) {
		take_first(c, elem);
		if ((w = take_waiter(&c->senders)) == NULL) {
			unlock(&c->lock);
			return 0;
		}
		copy(c, ring_slot(c, c->count++), w->elem); /* the ring was full: the first in line takes the place */
		finish(c, w);
		return 0;
	}
	if ((w = take_waiter(&c->senders)) != NULL) {
		copy(c, elem, w->elem);
		finish(c, w);
		return 0;
	}
	if (c->closed) {
		unlock(&c->lock);
		return recv_closed(c, elem);
	}
	return wait(c, &c->receivers, elem, "receiving from channel") ? 0 : recv_closed(c, elem);
}

int socle_chan_close(socle_chan *c)
{
	struct waiter *w, *woken;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock(&c->lock);
	if (c->closed) {
		unlock(&c->lock);
		return refuse(EPIPE);
	}
	c->closed = true;
	woken = c->receivers.head != NULL ? c->receivers.head : c->senders.head;
	c->receivers.head = c->senders.head = NULL;
	unlock(&c->lock);
	while ((w = woken) != NULL) {
		woken = w->next; /* before ready: w lies on the stack of g */
		ready(w->g);
	}
	return 0;
}

void socle_chan_free(socle_chan *c)
{
	if (c == NULL)
		return;
	if (c->senders.head != NULL || c->receivers.head != NULL)
		fatal("socle_chan_free: a goroutine waits on the channel");
	free(c);
}
