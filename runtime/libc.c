/*
 * newlib's idea of a thread is a struct _reent: errno and a few buffers. Each goroutine has its own, set up when first
 * asked for; foreign code that it calls uses the same one. Where there is no goroutine (boot, the scheduler) the global
 * one serves.
 *
 * The locks of newlib are held for short stretches that never block, so a holder is never switched away from: who wants
 * one waits for another CPU, spinning. That is asserted rather than believed.
 */
#include <reent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/lock.h>

#include "runtime/runtime.h"

#pragma clang attribute push(__attribute__((no_split_stack)), apply_to = function)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)

/* newlib leaves it to us to define. */
struct __lock {
	struct g *_Atomic owner; /* NULL: it is free */
	unsigned depth;		 /* the owner's */
};

struct __lock __lock___sinit_recursive_mutex, __lock___sfp_recursive_mutex, __lock___atexit_recursive_mutex,
	__lock___at_quick_exit_mutex, __lock___malloc_recursive_mutex, __lock___env_recursive_mutex, __lock___tz_mutex,
	__lock___dd_hash_mutex, __lock___arc4random_mutex;

static struct g *libc_g(void)
{
	struct g *g = getg();

	if (g == NULL || g->m == NULL)
		return NULL;
	return g->m->current;
}

struct _reent *reent_of(struct g *g)
{
	if (g->reent == NULL) {
		getg()->locks++; /* no turn ends in the C library's memset(): see __errno() */
		_REENT_INIT_PTR(&g->own_reent);
		getg()->locks--;
		g->reent = &g->own_reent;
	}
	return g->reent;
}

struct _reent *__getreent(void)
{
	struct g *g = libc_g();

	return g != NULL ? reent_of(g) : _GLOBAL_REENT;
}

/* Ours, and so in the core, where no turn ends: the runtime sets errno while a goroutine is half way between two m's. */
int *__errno(void) { return &__getreent()->_errno; }

/* ---- Locks ---- */

/* Files that are opened when there is no memory share one: the first printf() may come then. */
static struct __lock shared;

void __retarget_lock_init(_LOCK_T *lock)
{
	*lock = calloc(1, sizeof **lock);
	if (*lock == NULL)
		*lock = &shared;
}
void __retarget_lock_init_recursive(_LOCK_T *lock) { __retarget_lock_init(lock); }
void __retarget_lock_close_recursive(_LOCK_T lock)
{
	if (lock != &shared)
		free(lock);
}
void __retarget_lock_close(_LOCK_T lock) { __retarget_lock_close_recursive(lock); }

/* The g0, where the scheduler or boot asks. */
static struct g *caller(void)
{
	struct g *g = libc_g();

	return g != NULL ? g : getg();
}

/* Relaxed: only who holds it finds itself there. */
static struct g *owner_of(_LOCK_T lock) { return atomic_load_explicit(&lock->owner, memory_order_relaxed); }

/* Acquire: pairs with the release of who had it. */
int __retarget_lock_try_acquire_recursive(_LOCK_T lock)
{
	struct g *g = caller(), *nobody = NULL;

	if (owner_of(lock) != g && !atomic_compare_exchange_strong_explicit(&lock->owner, &nobody, g,
									    memory_order_acquire, memory_order_relaxed))
		return -1;
	lock->depth++;
	g->libc_locks++;
	return 0;
}

/* What the C library uses of a goroutine's stack while it holds a lock: it is touched before, as OPERATION_ROOM is. What
 * foreign code lacks it is told where it lacks it: not here, in the runtime's own code, where nothing is contained. */
#define LIBC_ROOM 1536

void __retarget_lock_acquire_recursive(_LOCK_T lock)
{
	if (caller() == getg() && getg()->libc_locks == 0)
		arch_touch_stack(LIBC_ROOM);
	while (__retarget_lock_try_acquire_recursive(lock) < 0) {
		const struct g *owner = owner_of(lock);

		if (owner != NULL && (cpu_count() == 1 || owner->m == getg()->m))
			fatal("a lock of the C library is held by %s, which was switched away from", g_name(owner));
		arch_pause();
	}
}

void __retarget_lock_release_recursive(_LOCK_T lock)
{
	struct g *g = caller();

	ASSERT(lock->depth > 0 && owner_of(lock) == g, "a lock of the C library is released by someone else");
	g->libc_locks--;
	if (--lock->depth == 0)
		atomic_store_explicit(&lock->owner, NULL, memory_order_release);
}

int __retarget_lock_try_acquire(_LOCK_T lock)
{
	return owner_of(lock) == caller() ? -1 : __retarget_lock_try_acquire_recursive(lock);
}
void __retarget_lock_acquire(_LOCK_T lock)
{
	ASSERT(owner_of(lock) != caller(), "a lock of the C library is taken twice");
	__retarget_lock_acquire_recursive(lock);
}
void __retarget_lock_release(_LOCK_T lock) { __retarget_lock_release_recursive(lock); }

/* ---- malloc()'s ----
 *
 * Behind the locks, so that those are defined unchecked before anybody calls them: a call takes the attributes of the
 * header's declaration, and clang keeps to those. */

/* What frees the buffers. NULL: malloc() was never called, so there are none; an image that does not call it does without
 * all of that. */
static void (*_Atomic reclaim)(struct _reent *);

void __malloc_lock(struct _reent *unused)
{
	(void)unused;
	atomic_store_explicit(&reclaim, _reclaim_reent, memory_order_relaxed);
	__retarget_lock_acquire_recursive(&__lock___malloc_recursive_mutex);
}

void __malloc_unlock(struct _reent *unused)
{
	(void)unused;
	__retarget_lock_release_recursive(&__lock___malloc_recursive_mutex);
}

void reent_free(struct g *g)
{
	void (*fn)(struct _reent *) = atomic_load_explicit(&reclaim, memory_order_relaxed);

	if (fn != NULL)
		fn(g->reent);
	g->reent = NULL;
}

#pragma clang attribute pop
#pragma clang attribute pop
