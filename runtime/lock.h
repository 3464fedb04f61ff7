/*
 * Spin locks, bare. While a goroutine holds one it must not be preempted, so the outermost is taken by lock() of
 * runtime.h, which counts; what is locked inside of that need not be counted too.
 */
#ifndef SOCLE_LOCK_H
#define SOCLE_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h> /* newlib's wants stdint.h before it */

/* On the path of every switch. What it calls when it must not go straight on is NOINLINE, to keep it short. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

struct lock {
	atomic_uint held;
};

static ALWAYS_INLINE bool spin_try_lock(struct lock *l)
{
	unsigned free = 0;

	return atomic_compare_exchange_weak_explicit(&l->held, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static ALWAYS_INLINE void spin_lock(struct lock *l)
{
	while (!spin_try_lock(l))
		;
}

static ALWAYS_INLINE void spin_unlock(struct lock *l) { atomic_store_explicit(&l->held, 0, memory_order_release); }

#endif
