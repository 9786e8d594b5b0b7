/* SPDX-License-Identifier: MIT */
/*
 * Spin locks. Who holds one has upcalls masked, so that no handler of an event on the same vCPU
 * can wait for it; and does not sleep, except in thread_wait(), which lets go of it meanwhile.
 */
#ifndef PV_LOCK_H
#define PV_LOCK_H

#include <pv/arch.h>

struct lock {
	unsigned int held;
};

#define LOCK_SPINS 1000

/* With upcalls masked already. */
static inline void lock_take(struct lock *l)
{
	unsigned int spins = 0;

	while (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)) {
		/* The holder's vCPU may be waiting for this very processor. */
		if (++spins % LOCK_SPINS == 0)
			HYPERVISOR_sched_op(SCHEDOP_yield, NULL);
		__asm__ volatile("pause");
	}
}

static inline void lock_drop(struct lock *l)
{
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

/* Returns what unlock() wants to know: whether upcalls were enabled. */
static inline bool lock(struct lock *l)
{
	bool enabled = upcalls_save();

	lock_take(l);
	return enabled;
}

static inline void unlock(struct lock *l, bool enabled)
{
	lock_drop(l);
	upcalls_restore(enabled);
}

#endif
