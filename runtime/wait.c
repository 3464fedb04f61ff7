/* Waiting in one queue, with or without a deadline; and who wins when several could wake one goroutine: see wait.h. */
#include "runtime/wait.h"
#include "runtime/runtime.h"
#include "runtime/switch.h"

/* The race's lock comes first here, against the order, so l is only tried. It must be so: what the queue belongs to may
 * be freed as soon as w is out of it, so l may be touched only while w is known to be in. */
SOCLE_UNCHECKED void leave_queue(struct socle_waiters *q, struct spin_lock *l, struct waiter *w, struct race *r)
{
	lock(&r->lock);
	while (w->race != NULL && !spin_try(l)) {
		unlock(&r->lock);
		chaos_stall();
		lock(&r->lock);
	}
	if (w->race != NULL) {
		remove_waiter(q, w);
		spin_unlock(l);
	}
	unlock(&r->lock);
}

static bool wait_until(struct socle_waiters *q, struct spin_lock *l, struct waiter *w, int64_t deadline,
		       const char *why, const void *on)
{
	struct race race = {0};
	struct timer t = {.deadline = deadline, .g = w->g, .race = &race};

	lock(&race.lock);
	w->race = &race;
	put_waiter(q, w);
	timer_arm(&t);
	unlock(l);
	chaos_stall();
	park(&race.lock, why, on);
	chaos_stall();
	timer_cancel(&t);
	leave_queue(q, l, w, &race);
	return race.winner == w;
}

bool wait_in(struct socle_waiters *q, struct spin_lock *l, struct waiter *w, int64_t deadline, const char *why,
	     const void *on)
{
	*w = (struct waiter){.g = getg()};
	if (deadline != SOCLE_FOREVER)
		return wait_until(q, l, w, deadline, why, on);
	put_waiter(q, w);
	park(l, why, on);
	return true;
}
