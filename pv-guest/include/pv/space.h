/* SPDX-License-Identifier: MIT */
/*
 * Address spaces of processes. Each has two roots: the hypervisor loads one while the kernel runs,
 * which shows the kernel and the user's memory, and one while the user runs, which shows only the
 * latter. A new space is written as ordinary memory and then handed over whole.
 */
#ifndef PV_SPACE_H
#define PV_SPACE_H

#include <pv/mm.h>
#include <pv/syscall.h>

struct space {
	uint64_t *kernel_root, *user_root, *l3, *l2;
	unsigned long heap, brk; /* [heap, brk) fills with zeros when touched, as the stack does */
	bool live;		 /* the hypervisor has its tables: they change by hypercalls only */
};

/* Before the first. */
void space_init(void);
/* NULL without memory. */
struct space *space_create(void);
struct space *space_fork(struct space *parent);
void space_finish(struct space *s);
/* Not while it is loaded anywhere. */
void space_destroy(struct space *s);
/* Loads its roots on this vCPU; NULL for the kernel's own. */
void space_load(const struct space *s);
/* The page at va, made if need be, where the kernel sees it; only before space_finish(). */
void *space_page(struct space *s, unsigned long va, bool write, bool execute);
/* The current space: true if the access that faulted will now succeed. */
bool space_fault(struct space *s, unsigned long va, bool write);
long space_sbrk(struct space *s, long by);

static inline bool is_user(unsigned long va, size_t n)
{
	return va >= USER_BASE && va <= USER_END && n <= USER_END - va;
}

#endif
