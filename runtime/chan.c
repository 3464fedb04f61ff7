/*
 * Channels, as in Go's chan.c: a ring of elements and two queues of waiters. A sender that finds a receiver waiting
 * copies straight into the receiver's variable, so an unbuffered channel is a ring of none. A waiter lies on the
 * stack of the goroutine that waits: stacks never move, so others may write through it.
 */
#include <stdlib.h>

#include "runtime/chan.h"

socle_chan *socle_chan_make(size_t elem_size, size_t capacity)
{
	socle_chan *c;
	size_t bytes;

	if (elem_size > PTRDIFF_MAX || __builtin_mul_overflow(elem_size, capacity, &bytes) ||
	    __builtin_add_overflow(bytes, sizeof *c, &bytes)) {
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

/* Queues the caller and waits. c->lock is held. 0, or EPIPE: the channel was closed. */
static ALWAYS_INLINE int wait(socle_chan *c, struct socle_waiters *q, void *elem, const char *why)
{
	struct waiter w; /* not all of it: `done` is for the one who wakes it to say */

	w.g = getg();
	w.race = NULL;
	w.elem = elem;
	put_waiter(q, &w);
	park(&c->lock, why, c);
	return w.done ? 0 : EPIPE;
}

/* Both are compiled twice: for elements of a word, whose copying is one instruction, not a call; and for any. */

struct word {
	uintptr_t value;
} __attribute__((packed, may_alias)); /* on any boundary */

/* The element is looked at first: NULL is a fault now, before the lock. */
static ALWAYS_INLINE int send(socle_chan *c, const void *elem, size_t size)
{
	const void *from = elem;
	struct word word;
	int error;

	if (size == sizeof word) {
		word.value = ((const volatile struct word *)elem)->value;
		from = &word;
	} else if (size > 0) {
		(void)*(const volatile char *)elem;
	}
	lock_first(&c->lock);
	error = try_send(c, from, size, NULL);
	return error != WOULD_WAIT ? error : wait(c, &c->senders, (void *)elem, "sending on channel");
}

static ALWAYS_INLINE int recv(socle_chan *c, void *elem, size_t size)
{
	int error;

	lock_first(&c->lock);
	error = try_recv(c, elem, size, NULL);
	return error != WOULD_WAIT ? error : wait(c, &c->receivers, elem, "receiving from channel");
}

static NOINLINE int send_any(socle_chan *c, const void *elem) { return send(c, elem, c->elem_size); }
static NOINLINE int recv_any(socle_chan *c, void *elem) { return recv(c, elem, c->elem_size); }

/* These two are unchecked: their caller was, and the slack below it has room for them. Without room lock_first() finds the
 * guard, before anything has begun. */

SOCLE_UNCHECKED int socle_chan_send(socle_chan *c, const void *elem)
{
	int error;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	error = c->elem_size == sizeof(uintptr_t) ? send(c, elem, sizeof(uintptr_t)) : send_any(c, elem);
	return error == 0 ? 0 : refuse(EPIPE);
}

SOCLE_UNCHECKED int socle_chan_recv(socle_chan *c, void *elem)
{
	int error;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	error = c->elem_size == sizeof(uintptr_t) ? recv(c, elem, sizeof(uintptr_t)) : recv_any(c, elem);
	return error == 0 ? 0 : refuse(EPIPE);
}

/* Takes all out of q, to be told that the channel is closed. */
static void take_all(socle_chan *c, struct socle_waiters *q, struct socle_waiters *taken)
{
	struct waiter *w;

	while ((w = take_waiter(q)) != NULL) {
		w->done = false;
		if (q == &c->receivers)
			zero_elem(w->elem, c->elem_size);
		put_waiter(taken, w);
	}
}

int socle_chan_close(socle_chan *c)
{
	struct socle_waiters woken = {0};
	struct waiter *w;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock_first(&c->lock);
	if (c->closed) {
		unlock(&c->lock);
		return refuse(EPIPE);
	}
	c->closed = true;
	take_all(c, &c->receivers, &woken);
	take_all(c, &c->senders, &woken);
	unlock(&c->lock);
	while ((w = woken.head) != NULL) {
		woken.head = w->next; /* before ready: w lies on the stack of g */
		ready_last(w->g);
	}
	return 0;
}

void socle_chan_free(socle_chan *c)
{
	bool in_use;

	if (c == NULL)
		return;
	lock(&c->lock);
	in_use = has_waiter(&c->senders) || has_waiter(&c->receivers);
	unlock(&c->lock);
	if (in_use)
		fatal("socle_chan_free: a goroutine waits on the channel");
	free(c);
}
