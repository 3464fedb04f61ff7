/*
 * Mutexes, read-write locks, conditions, wait groups, once, semaphores: Go's sync, over the queues of wait.h. Each
 * object has a spin lock of its own, held for a few instructions and never while waiting.
 *
 * All but the mutex hand over directly: who unlocks or posts passes the thing itself to the first in line. For mutexes
 * that alone would be slow, as each use of a contended one would be a switch; so an unlock wakes the first in line and
 * lets it compete, but if it loses, the next unlock hands over.
 *
 * Rejected: Go's rule, handing over after a millisecond of waiting: it reads the clock twice for each wait, and does
 * not bound how often a waiter is passed; one lost round of the scheduler already is a long time for a short section.
 */
#include <errno.h>
#include <limits.h>

#include "runtime/runtime.h"
#include "runtime/switch.h"
#include "runtime/wait.h"

/* socle.h says unsigned, for C++ has no atomic_uint. */
_Static_assert(sizeof(struct spin_lock) == sizeof(unsigned) && _Alignof(struct spin_lock) == _Alignof(unsigned),
	       "struct spin_lock");
static inline struct spin_lock *as_lock(unsigned *held) { return (struct spin_lock *)held; }

static NOINLINE int refuse(int error)
{
	errno = error;
	return -1;
}

/* Takes the first in line, who then holds what it waited for. The caller unlocks, then makes it ready. */
static struct g *hand_to_first(struct socle_waiters *q)
{
	struct waiter *w = take_waiter(q);

	if (w == NULL)
		return NULL;
	w->done = true;
	return w->g;
}

/* The same for all, linked by g->next. */
static struct g *hand_to_all(struct socle_waiters *q)
{
	struct g *g, *first = NULL, **end = &first;

	for (; (g = hand_to_first(q)) != NULL; end = &g->next)
		*end = g;
	*end = NULL;
	return first;
}

static void ready_all(struct g *g)
{
	while (g != NULL) {
		struct g *next = g->next;

		ready_last(g);
		g = next;
	}
}

/* ---- Mutexes ----
 *
 * state is 0 or LOCKED while nobody waits, and then lock and unlock are one compare and swap, in socle.h. With WAITERS
 * set those fail, and state changes under m->lock only. `woken`: a waiter was woken and has not tried its luck yet;
 * until then no other is woken, so that one that loses can go back to the front without passing anybody. */

/* m->lock held: keeps the WAITERS bit true to the queue. */
static void set_state(struct socle_mutex *m, unsigned locked)
{
	unsigned waiters = m->waiters.head != NULL ? SOCLE_MUTEX_WAITERS : 0;

	__atomic_store_n(&m->state, locked | waiters, __ATOMIC_RELEASE); /* pairs with the acquire of who locks next */
}

/* m->lock held. Puts WAITERS, so that from here on nobody changes state without the lock; set_state() ends that. */
static bool take_if_free(struct socle_mutex *m)
{
	unsigned old = __atomic_fetch_or(&m->state, SOCLE_MUTEX_WAITERS, __ATOMIC_ACQUIRE);

	if (old & SOCLE_MUTEX_LOCKED)
		return false;
	set_state(m, SOCLE_MUTEX_LOCKED);
	return true;
}

/* Unchecked: socle_cond_wait() must get it, to return or to panic with. */
SOCLE_UNCHECKED int socle_mutex_lock_slow(struct socle_mutex *m)
{
	struct waiter w = {.g = getg()};
	bool lost = false;

	if (require_goroutine() < 0)
		return -1;
	for (;;) {
		lock_first(as_lock(&m->lock));
		if (lost)
			m->woken = false;
		if (take_if_free(m))
			break;
		if (lost)
			put_waiter_first(&m->waiters, &w);
		else
			put_waiter(&m->waiters, &w);
		w.hand_over = lost;
		park(as_lock(&m->lock), "locking mutex", m);
		if (w.done)
			return 0;
		lost = true;
	}
	unlock(as_lock(&m->lock));
	return 0;
}

int socle_mutex_trylock_slow(struct socle_mutex *m)
{
	bool taken;

	lock_first(as_lock(&m->lock));
	taken = take_if_free(m);
	if (!taken)
		set_state(m, SOCLE_MUTEX_LOCKED);
	unlock(as_lock(&m->lock));
	return taken ? 0 : refuse(EBUSY);
}

/* m->lock held. */
static bool needs_waking(const struct socle_mutex *m) { return !m->woken && m->waiters.head != NULL; }

/* m->lock held. Hands the mutex over, or frees it. Whom to make ready; NULL when nobody needs waking. */
static struct g *pass_on(struct socle_mutex *m)
{
	struct waiter *w = m->woken ? NULL : take_waiter(&m->waiters);

	if (w == NULL) {
		set_state(m, 0);
		return NULL;
	}
	w->done = w->hand_over;
	m->woken = !w->done;
	set_state(m, w->done ? SOCLE_MUTEX_LOCKED : 0);
	return w->g;
}

/* Unchecked: socle_once() must be able to, too. */
SOCLE_UNCHECKED int socle_mutex_unlock_slow(struct socle_mutex *m)
{
	struct g *woken;

	if (!(__atomic_load_n(&m->state, __ATOMIC_RELAXED) & SOCLE_MUTEX_LOCKED))
		fatal("socle_mutex_unlock: the mutex is not locked");
	lock_first(as_lock(&m->lock));
	if (on_g0(getg()) && needs_waking(m)) {
		unlock(as_lock(&m->lock));
		return refuse(EPERM);
	}
	woken = pass_on(m);
	unlock(as_lock(&m->lock));
	if (woken != NULL)
		ready(woken);
	return 0;
}

/* ---- Read-write locks ---- */

static bool take_read(struct socle_rwlock *l)
{
	if (l->writer || has_waiter(&l->waiting_writers))
		return false;
	l->readers++;
	return true;
}

static bool take_write(struct socle_rwlock *l)
{
	if (l->writer || l->readers > 0)
		return false;
	return l->writer = true;
}

static int rwlock_lock(struct socle_rwlock *l, bool (*take)(struct socle_rwlock *), struct socle_waiters *q,
		       const char *why)
{
	struct waiter w;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&l->lock));
	if (take(l))
		unlock(as_lock(&l->lock));
	else
		wait_in(q, as_lock(&l->lock), &w, SOCLE_FOREVER, why, l); /* handed over: see pass_rwlock_on() */
	return 0;
}

static int rwlock_try(struct socle_rwlock *l, bool (*take)(struct socle_rwlock *))
{
	bool taken;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&l->lock));
	taken = take(l);
	unlock(as_lock(&l->lock));
	return taken ? 0 : refuse(EBUSY);
}

int socle_rwlock_rdlock(struct socle_rwlock *l)
{
	return rwlock_lock(l, take_read, &l->waiting_readers, "locking for reading");
}

int socle_rwlock_wrlock(struct socle_rwlock *l)
{
	return rwlock_lock(l, take_write, &l->waiting_writers, "locking for writing");
}

int socle_rwlock_tryrdlock(struct socle_rwlock *l) { return rwlock_try(l, take_read); }
int socle_rwlock_trywrlock(struct socle_rwlock *l) { return rwlock_try(l, take_write); }

/* l->lock held. After a writer all readers that wait, otherwise the next writer. Whom to make ready, linked by next. */
static struct g *pass_rwlock_on(struct socle_rwlock *l, bool after_writer)
{
	struct g *woken;

	if (l->readers > 0)
		return NULL;
	if (after_writer && (woken = hand_to_all(&l->waiting_readers)) != NULL) {
		for (struct g *g = woken; g != NULL; g = g->next)
			l->readers++;
		return woken;
	}
	woken = hand_to_first(&l->waiting_writers);
	l->writer = woken != NULL;
	if (woken != NULL)
		woken->next = NULL;
	return woken;
}

int socle_rwlock_unlock(struct socle_rwlock *l)
{
	bool was_writer;
	struct g *woken;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&l->lock));
	was_writer = l->writer;
	if (!was_writer && l->readers == 0)
		fatal("socle_rwlock_unlock: the lock is not held");
	if (was_writer)
		l->writer = false;
	else
		l->readers--;
	woken = pass_rwlock_on(l, was_writer);
	unlock(as_lock(&l->lock));
	ready_all(woken);
	return 0;
}

/* ---- Conditions ---- */

#define MUTEX_ROOM 256 /* socle_mutex_lock_slow()'s, whose own operation must not be the first to touch a page */

int socle_cond_timedwait(struct socle_cond *c, struct socle_mutex *m, int64_t deadline)
{
	struct waiter w;
	bool signalled;

	if (require_goroutine() < 0)
		return -1;
	arch_touch_stack(OPERATION_ROOM + MUTEX_ROOM);
	lock(as_lock(&c->lock));
	socle_mutex_unlock(m); /* whoever gets it and signals waits for c->lock until we are in line */
	signalled = wait_in(&c->waiters, as_lock(&c->lock), &w, deadline, "waiting for condition", c);
	socle_mutex_lock(m);
	return signalled ? 0 : refuse(ETIMEDOUT);
}

int socle_cond_wait(struct socle_cond *c, struct socle_mutex *m) { return socle_cond_timedwait(c, m, SOCLE_FOREVER); }

int socle_cond_signal(struct socle_cond *c)
{
	struct g *woken;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&c->lock));
	woken = hand_to_first(&c->waiters);
	unlock(as_lock(&c->lock));
	if (woken != NULL)
		ready(woken);
	return 0;
}

int socle_cond_broadcast(struct socle_cond *c)
{
	struct g *woken;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&c->lock));
	woken = hand_to_all(&c->waiters);
	unlock(as_lock(&c->lock));
	ready_all(woken);
	return 0;
}

/* ---- Wait groups ---- */

int socle_waitgroup_add(struct socle_waitgroup *wg, int n)
{
	struct g *woken = NULL;
	int count, error = 0;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&wg->lock));
	if (__builtin_add_overflow(wg->count, n, &count))
		error = EOVERFLOW;
	else if (count < 0)
		error = EINVAL;
	else
		wg->count = count;
	if (error == 0 && count == 0)
		woken = hand_to_all(&wg->waiters);
	unlock(as_lock(&wg->lock));
	ready_all(woken);
	return error == 0 ? 0 : refuse(error);
}

int socle_waitgroup_done(struct socle_waitgroup *wg) { return socle_waitgroup_add(wg, -1); }

int socle_waitgroup_wait(struct socle_waitgroup *wg)
{
	struct waiter w;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&wg->lock));
	if (wg->count == 0)
		unlock(as_lock(&wg->lock));
	else
		wait_in(&wg->waiters, as_lock(&wg->lock), &w, SOCLE_FOREVER, "waiting for wait group", wg);
	return 0;
}

/* ---- Once ---- */

/* Unchecked, and with what it needs of the stack touched before: once it has begun no panic may come but fn's. */
static SOCLE_UNCHECKED void end_once(void *arg)
{
	struct socle_once *o = arg;

	__atomic_store_n(&o->done, true, __ATOMIC_RELEASE); /* pairs with the load in socle_once() */
	socle_mutex_unlock(&o->mutex);
}

int socle_once(struct socle_once *o, socle_fn fn, void *arg)
{
	struct socle_cleanup cleanup;
	struct g *g = getg();

	if (__atomic_load_n(&o->done, __ATOMIC_ACQUIRE))
		return 0;
	if (require_goroutine() < 0)
		return -1;
	arch_touch_stack(OPERATION_ROOM + 256);
	socle_mutex_lock(&o->mutex);
	if (o->done) {
		socle_mutex_unlock(&o->mutex);
		return 0;
	}
	cleanup = (struct socle_cleanup){end_once, o, g->cleanups};
	g->cleanups = &cleanup;
	fn(arg);
	g->cleanups = cleanup.next;
	end_once(o);
	return 0;
}

/* ---- Semaphores ---- */

int socle_sem_init(struct socle_sem *s, unsigned value)
{
	*s = (struct socle_sem){.value = value};
	return 0;
}

/* 0, an errno, or WOULD_WAIT: it must; then s->lock is held. */
static ALWAYS_INLINE int sem_take(struct socle_sem *s)
{
	if (on_g0(getg()))
		return EPERM;
	lock_first(as_lock(&s->lock));
	if (s->value == 0)
		return WOULD_WAIT;
	s->value--;
	unlock(as_lock(&s->lock));
	return 0;
}

int socle_sem_timedwait(struct socle_sem *s, int64_t deadline)
{
	int error = sem_take(s);
	struct waiter w;

	if (error == WOULD_WAIT)
		error = wait_in(&s->waiters, as_lock(&s->lock), &w, deadline, "waiting for semaphore", s) ? 0
													  : ETIMEDOUT;
	return error == 0 ? 0 : refuse(error);
}

/* By itself what wait_in() does, and unchecked, as is socle_sem_post(): the price of a semaphore is what systems are
 * compared by. */
SOCLE_UNCHECKED int socle_sem_wait(struct socle_sem *s)
{
	int error = sem_take(s);
	struct waiter w;

	if (error == WOULD_WAIT) {
		w.g = getg();
		w.race = NULL;
		put_waiter(&s->waiters, &w);
		park(as_lock(&s->lock), "waiting for semaphore", s);
		return 0;
	}
	return error == 0 ? 0 : refuse(error);
}

int socle_sem_trywait(struct socle_sem *s)
{
	bool taken;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&s->lock));
	taken = s->value > 0;
	s->value -= taken;
	unlock(as_lock(&s->lock));
	return taken ? 0 : refuse(EAGAIN);
}

SOCLE_UNCHECKED int socle_sem_post(struct socle_sem *s)
{
	struct g *woken;
	bool full;

	if (require_goroutine() < 0)
		return -1;
	lock_first(as_lock(&s->lock));
	woken = hand_to_first(&s->waiters);
	full = woken == NULL && s->value == UINT_MAX;
	if (woken == NULL && !full)
		s->value++;
	unlock(as_lock(&s->lock));
	if (woken != NULL)
		ready(woken);
	return full ? refuse(EOVERFLOW) : 0;
}
