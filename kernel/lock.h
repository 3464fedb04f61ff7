/*
 * Spin locks between CPUs, for what kernel/ shares. Taken with interrupts masked, so that no handler of the same CPU
 * finds it held; and the holder touches nothing that may fault, calls no arch_shootdown() and waits for nobody: so
 * whoever spins, interrupts masked, waits for a few hundred instructions.
 */
#ifndef SOCLE_KERNEL_LOCK_H
#define SOCLE_KERNEL_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdatomic.h> /* newlib's wants stdint.h before it */

struct spin_lock {
	atomic_uint held;
};

void spin_wait(struct spin_lock *l); /* until it seems free. cpus.c */

static inline void spin_lock(struct spin_lock *l)
{
	while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire)) /* pairs with spin_unlock's release */
		spin_wait(l);
}

static inline bool spin_try(struct spin_lock *l)
{
	return !atomic_exchange_explicit(&l->held, 1, memory_order_acquire); /* as in spin_lock() */
}

static inline void spin_unlock(struct spin_lock *l) { atomic_store_explicit(&l->held, 0, memory_order_release); }

#endif
