/*
 * Spin locks between CPUs.
 *
 * Those of kernel/ are taken with interrupts masked, so that no handler of the same CPU finds one held; and the holder
 * touches nothing that may fault, calls no arch_shootdown() and waits for nobody: so whoever spins, interrupts masked,
 * waits for a few hundred instructions.
 *
 * Those of runtime/ are taken with interrupts on, and no handler asks for them. While a goroutine holds one it must not
 * be preempted, so the outermost is taken by lock() of runtime.h, which counts; what is locked inside of that need not be
 * counted too.
 */
#ifndef SOCLE_LOCK_H
#define SOCLE_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h> /* newlib's wants stdint.h before it */

#include "kernel/kernel.h"

/* On the path of every switch. What it calls when it must not go straight on is NOINLINE, to keep it short. */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

struct spin_lock {
	atomic_uint held;
};

/* May fail for no reason. */
static inline bool spin_try(struct spin_lock *l)
{
	unsigned free = 0;

	return atomic_compare_exchange_weak_explicit(&l->held, &free, 1, memory_order_acquire, memory_order_relaxed);
}

/* No call, lest all who lock save registers for it. */
static inline void spin_lock(struct spin_lock *l)
{
	while (!spin_try(l)) /* acquire: pairs with spin_unlock's release */
		arch_pause();
}

/* The same with interrupts masked: none would stop this CPU while it waits. */
static inline void spin_lock_masked(struct spin_lock *l)
{
	while (!spin_try(l)) {
		kernel_poll_stop();
		arch_pause();
	}
}

static inline void spin_unlock(struct spin_lock *l) { atomic_store_explicit(&l->held, 0, memory_order_release); }

#endif
