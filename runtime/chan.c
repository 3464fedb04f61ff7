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

/* Queues the caller and waits. c->lock is held. False: the channel was closed. */
static bool wait(socle_chan *c, struct socle_waiters *q, void *elem, const char *why)
{
	struct waiter w;

	w.g = getg();
	w.race = NULL;
	w.elem = elem;
	w.done = false;
	put_waiter(q, &w);
	park(&c->lock, why, c);
	return w.done;
}

int socle_chan_send(socle_chan *c, const void *elem)
{
	int error;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock(&c->lock);
	error = try_send(c, elem, NULL);
	if (error == 0)
		return 0;
	if (error == WOULD_WAIT && wait(c, &c->senders, (void *)elem, "sending on channel"))
		return 0;
	return refuse(EPIPE);
}

int socle_chan_recv(socle_chan *c, void *elem)
{
	int error;

	if (require_goroutine() < 0)
		return -1;
	if (c == NULL)
		return refuse(EINVAL);
	lock(&c->lock);
	error = try_recv(c, elem, NULL);
	if (error == 0)
		return 0;
	if (error == WOULD_WAIT && wait(c, &c->receivers, elem, "receiving from channel"))
		return 0;
	zero_elem(c, elem);
	return refuse(EPIPE);
}

int socle_chan_close(socle_chan *c)
{
	struct socle_waiters woken = {0};
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
	c->closed = true;
	while ((w = take_waiter(&c->receivers)) != NULL || (w = take_waiter(&c->senders)) != NULL)
		put_waiter(&woken, w);
	unlock(&c->lock);
	while ((w = woken.head) != NULL) {
		woken.head = w->next; /* before ready: w lies on the stack of g */
		ready(w->g);
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
