/* SPDX-License-Identifier: MIT */
/*
 * Order between this CPU and one that shares a page with it, on x86-64. Xen's ring macros want
 * these three names.
 *
 * x86 keeps loads in order and stores in order, so for pages of ordinary memory the compiler is all
 * that must be held back; except that a store may be overtaken by a load behind it. "I have told
 * you, and now I look whether you sleep" is that case, and needs xen_mb().
 */
#ifndef PAVANE_BARRIER_H
#define PAVANE_BARRIER_H

#define xen_mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

/*
 * One load, one store: the compiler neither repeats nor splits nor leaves out what another CPU
 * writes or reads meanwhile. Takes a pointer to an integer.
 */
#define PV_READ(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define PV_WRITE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

#endif
