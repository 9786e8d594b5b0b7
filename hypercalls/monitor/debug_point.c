/* SPDX-License-Identifier: MIT */
/*
 * A debugger's hardware breakpoints and watchpoints, of providers that see each access of the
 * guest: by linear address, in every address space and on every vCPU. Nothing in the guest's memory
 * or registers tells of them: v->debugreg[] is the guest's own.
 */
#include "hypercalls/monitor/monitor.h"

static struct point {
	uint64_t va, n;
	enum debug_point kind;
} point[DEBUG_POINTS];

volatile uint32_t debug_points;

/* Does [a, a + a_n) have a byte of [b, b + b_n)? Either may go round the end of all addresses. */
static bool meet(uint64_t a, uint64_t a_n, uint64_t b, uint64_t b_n)
{
	return b - a < a_n || a - b < b_n;
}

static bool concerns(enum debug_point kind, enum debug_point how)
{
	if (how == POINT_WRITE)
		return kind == POINT_WRITE || kind == POINT_READ || kind == POINT_ACCESS;
	if (how == POINT_READ)
		return kind == POINT_READ || kind == POINT_ACCESS;
	return kind == how;
}

uint32_t debug_points_of(uint64_t va, uint64_t n, enum debug_point how)
{
	uint32_t met = 0;

	for (unsigned i = 0; i < DEBUG_POINTS; i++)
		if (debug_points >> i & 1 && concerns(point[i].kind, how) &&
		    meet(point[i].va, point[i].n, va, n))
			met |= 1U << i;
	return met;
}

static long point_clear(const struct point *p)
{
	for (unsigned i = 0; i < DEBUG_POINTS; i++)
		if (debug_points >> i & 1 && point[i].kind == p->kind && point[i].va == p->va &&
		    point[i].n == p->n) {
			__atomic_and_fetch(&debug_points, ~(1U << i), __ATOMIC_SEQ_CST);
			return i;
		}
	return -ENOENT;
}

long debug_point(struct domain *d, enum debug_point kind, uint64_t va, uint64_t n, bool set)
{
	const struct point p = {va, n, kind};
	unsigned i = 0;

	if (!d->provider->points)
		return -ENOSYS;
	if (kind < POINT_EXECUTE || kind > POINT_ACCESS || !n || n > PAGE_SIZE || !d->debugging)
		return -EINVAL;
	if (!set)
		return point_clear(&p);
	if (!debug_still(d))
		return -EBUSY;
	while (i < DEBUG_POINTS && debug_points >> i & 1)
		i++;
	if (i == DEBUG_POINTS)
		return -ENOSPC;
	point[i] = p;
	__atomic_or_fetch(&debug_points, 1U << i, __ATOMIC_SEQ_CST);
	d->provider->points(d, va, n);
	return i;
}
