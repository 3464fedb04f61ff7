/*
 * Mutexes, condition variables and once of <pthread.h>.
 *
 * What waits is in one queue of all, first come, first served, by the address that it waits on (WebKit's parking lot). So
 * a condition variable has no state, a mutex fits the 32 bits that newlib gives it, and neither needs memory or an end.
 * A mutex is handed to the first in line, who has it when it wakes; signalled, or at its deadline, a waiter moves from its
 * condition to its mutex.
 *
 * One lock guards all of it; it is held for a few instructions, and for the length of the queue.
 *
 * Rejected: goroutines' own sync objects by callbacks (two switches of threads for each); waking all who want a mutex.
 */
#include <errno.h>

#include "runtime/pthreads.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)

/* ---- Waiting ---- */

struct sleeper {
	struct sleeper *next;
	const void *on;
	struct thread *thread;
	pthread_mutex_t *mutex; /* of who waits on a condition: to be had before it goes on */
	uint32_t held;		/* what the mutex says then */
	struct timer timer;	/* may move it from the condition to the mutex too */
	bool expired;
};

static struct sleeper *first_sleeper, **last_sleeper = &first_sleeper;

static void put_last(struct sleeper *w)
{
	w->next = NULL;
	*last_sleeper = w;
	last_sleeper = &w->next;
}

static void take_out(struct sleeper *w)
{
	struct sleeper **link = &first_sleeper;

	while (*link != w)
		link = &(*link)->next;
	*link = w->next;
	if (last_sleeper == &w->next)
		last_sleeper = link;
}

/* Takes the first out who waits on that. */
static struct sleeper *take_first(const void *on)
{
	struct sleeper *w = first_sleeper;

	while (w != NULL && w->on != on)
		w = w->next;
	if (w != NULL)
		take_out(w);
	return w;
}

/* Lets go of the lock. */
static void wait_as(struct sleeper *w, const char *why)
{
	w->thread = thread_current();
	put_last(w);
	unlock(&pthreads);
	chaos_stall();
	foreign_park(why, w->on);
}

void pthreads_wait(const void *on, const char *why)
{
	struct sleeper w = {.on = on};

	wait_as(&w, why);
	lock(&pthreads);
}

void pthreads_wake(const void *on)
{
	struct sleeper *w;

	while ((w = take_first(on)) != NULL)
		foreign_ready(w->thread);
}

/* What may have to wait, or to make something: only foreign code can, on a stack that is known. */
struct request {
	int (*fn)(void *a, void *b);
	void *a, *b;
	int error;
};

static void serve(void *arg)
{
	struct request *r = arg;

	r->error = r->fn(r->a, r->b);
}

int in_foreign_code(int (*fn)(void *, void *), void *a, void *b)
{
	struct request r = {fn, a, b, EFAULT};

	if (on_g0(getg()))
		return fn(a, b);
	socle_foreign_call(serve, &r);
	return r.error;
}

/* ---- Mutexes ---- */

/* A mutex in its 32 bits: its type, how often its owner has it, and the owner's place in the table; 0 there for types
 * that do not ask who it is. Static initialisers have all bits set, and a free one is what its type makes of it. */
#define TYPE 3u
#define ONCE 4u
#define DEPTH 0xfffcu
#define OWNER_SHIFT 16

_Static_assert(PTHREAD_PLACES < 0xffff, "an owner must fit 16 bits, not all of them set");

static uint32_t state(const pthread_mutex_t *m) { return *m == PTHREAD_MUTEX_INITIALIZER ? 0 : *m; }

static bool asks_who(uint32_t state)
{
	return (state & TYPE) == PTHREAD_MUTEX_RECURSIVE || (state & TYPE) == PTHREAD_MUTEX_ERRORCHECK;
}

/* What the mutex says when the caller holds it once. Makes no record: one without has no such mutex. */
static uint32_t as_held(uint32_t state)
{
	return (state & TYPE) | ONCE | (asks_who(state) ? pthread_place(false) << OWNER_SHIFT : 0);
}

static bool is_mine(uint32_t state) { return (state & DEPTH) != 0 && (state & ~DEPTH) == (as_held(state) & ~DEPTH); }

int pthread_mutexattr_init(pthread_mutexattr_t *attr)
{
	*attr = (pthread_mutexattr_t){.is_initialized = 1, .type = PTHREAD_MUTEX_DEFAULT};
	return 0;
}

int pthread_mutexattr_destroy(pthread_mutexattr_t *attr)
{
	attr->is_initialized = 0;
	return 0;
}

int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type)
{
	if (type < PTHREAD_MUTEX_NORMAL || type > PTHREAD_MUTEX_DEFAULT)
		return EINVAL;
	attr->type = type;
	return 0;
}

int pthread_mutexattr_gettype(const pthread_mutexattr_t *attr, int *type)
{
	*type = attr->type;
	return 0;
}

int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	*m = attr != NULL ? (uint32_t)attr->type : PTHREAD_MUTEX_NORMAL;
	return 0;
}

int pthread_mutex_destroy(pthread_mutex_t *m) { return state(m) & DEPTH ? EBUSY : 0; }

/* Its owner locks it again. */
static int lock_again(pthread_mutex_t *m)
{
	if ((*m & TYPE) == PTHREAD_MUTEX_ERRORCHECK)
		return EDEADLK;
	if ((*m & DEPTH) == DEPTH)
		return EAGAIN;
	*m += ONCE;
	return 0;
}

static int take(pthread_mutex_t *m, bool may_wait)
{
	struct sleeper w = {.on = m};
	int error = 0;

	if (asks_who(state(m)))
		pthread_place(true);
	w.held = as_held(state(m));
	lock(&pthreads);
	if (!(state(m) & DEPTH)) {
		*m = w.held;
	} else if (asks_who(*m) && is_mine(*m) && (may_wait || (*m & TYPE) == PTHREAD_MUTEX_RECURSIVE)) {
		error = lock_again(m);
	} else if (may_wait) {
		wait_as(&w, "pthread_mutex_lock"); /* it is ours when that returns */
		return 0;
	} else {
		error = EBUSY;
	}
	unlock(&pthreads);
	return error;
}

static int take_waiting(void *m, void *unused)
{
	(void)unused;
	return take(m, true);
}

int pthread_mutex_lock(pthread_mutex_t *m) { return in_foreign_code(take_waiting, m, NULL); }
int pthread_mutex_trylock(pthread_mutex_t *m) { return take(m, false); }

/* pthreads held. */
static void give(pthread_mutex_t *m, struct sleeper *w)
{
	*m = w->held;
	foreign_ready(w->thread);
}

static void release(pthread_mutex_t *m)
{
	struct sleeper *w = take_first(m);

	*m &= TYPE;
	if (w != NULL)
		give(m, w);
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
	int error = 0;

	lock(&pthreads);
	if (!is_mine(state(m)))
		error = EPERM;
	else if ((*m & DEPTH) > ONCE)
		*m -= ONCE;
	else
		release(m);
	unlock(&pthreads);
	return error;
}

/* ---- Condition variables ---- */

int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
	(void)attr; /* there is one clock */
	*c = PTHREAD_COND_INITIALIZER;
	return 0;
}

int pthread_cond_destroy(pthread_cond_t *c)
{
	(void)c;
	return 0;
}

/* It waits on its condition no more. */
static void go_to_mutex(struct sleeper *w)
{
	w->on = w->mutex;
	if (*w->mutex & DEPTH)
		put_last(w);
	else
		give(w->mutex, w);
}

/* False: nobody was there. */
static bool move_first(const pthread_cond_t *c)
{
	struct sleeper *w = take_first(c);

	if (w != NULL)
		go_to_mutex(w);
	return w != NULL;
}

/* The timers' lock is held: it comes before ours. */
static void expire(struct timer *t)
{
	struct sleeper *w = (struct sleeper *)((char *)t - offsetof(struct sleeper, timer));

	lock(&pthreads);
	if (w->on != w->mutex) {
		w->expired = true;
		take_out(w);
		go_to_mutex(w);
	}
	unlock(&pthreads);
}

static int cond_wait(void *sleeper, void *unused)
{
	struct sleeper *w = sleeper;
	bool timed = w->timer.deadline != SOCLE_FOREVER;

	(void)unused;
	lock(&pthreads);
	if (!is_mine(state(w->mutex))) {
		unlock(&pthreads);
		return EPERM;
	}
	w->held = *w->mutex;
	w->thread = thread_current();
	put_last(w);
	release(w->mutex);
	unlock(&pthreads);
	if (timed)
		timer_arm(&w->timer);
	foreign_park("pthread_cond_wait", w->on);
	if (timed)
		timer_cancel(&w->timer);
	return w->expired ? ETIMEDOUT : 0;
}

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline)
{
	struct sleeper w = {.on = c, .mutex = m, .timer = {.deadline = deadline, .fire = expire}};

	return in_foreign_code(cond_wait, &w, NULL);
}

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) { return wait_until(c, m, SOCLE_FOREVER); }

/* By gettimeofday(), which counts from boot as socle_now() does. */
int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
	if (t->tv_nsec < 0 || t->tv_nsec >= 1000000000 || t->tv_sec < 0)
		return EINVAL;
	if (t->tv_sec >= SOCLE_FOREVER / 1000000000)
		return pthread_cond_wait(c, m);
	return wait_until(c, m, t->tv_sec * 1000000000ll + t->tv_nsec);
}

int pthread_cond_signal(pthread_cond_t *c)
{
	lock(&pthreads);
	move_first(c);
	unlock(&pthreads);
	return 0;
}

int pthread_cond_broadcast(pthread_cond_t *c)
{
	lock(&pthreads);
	while (move_first(c))
		;
	unlock(&pthreads);
	return 0;
}

/* ---- Once ---- */

enum { NOT_RUN, RUNNING, HAS_RUN };

static int once(void *control, void *fn)
{
	pthread_once_t *o = control;
	int before;

	lock(&pthreads);
	while (o->init_executed == RUNNING)
		pthreads_wait(o, "pthread_once");
	before = o->init_executed;
	if (before == NOT_RUN)
		o->init_executed = RUNNING;
	unlock(&pthreads);
	if (before == HAS_RUN)
		return 0;
	((void (*)(void))fn)();
	lock(&pthreads);
	o->init_executed = HAS_RUN;
	pthreads_wake(o);
	unlock(&pthreads);
	return 0;
}

int pthread_once(pthread_once_t *o, void (*fn)(void)) { return in_foreign_code(once, o, (void *)fn); }

#pragma clang attribute pop
