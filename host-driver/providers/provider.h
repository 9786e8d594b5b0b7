/* SPDX-License-Identifier: MIT */
/*
 * What the monitor asks of an execution provider, and what a provider may call back.
 *
 * The monitor knows no more of how guest instructions run than this header. Calls are made by
 * the vCPU's own thread unless said otherwise.
 */
#ifndef PAVANE_PROVIDER_H
#define PAVANE_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct domain;
struct vcpu;

struct provider {
	const char *name;
	/* Guest memory is one host address space: all vCPUs that have a context share a root. */
	bool one_root;
	/* Once, before any vCPU: reserve guest address space. 0 or -errno. */
	int (*domain_init)(struct domain *d);
	/* Once per vCPU thread, before the sandbox closes: signal stacks, timers. */
	int (*vcpu_init)(struct vcpu *v);
	/* Run the vCPU from v->regs; never returns. */
	void (*vcpu_run)(struct vcpu *v);
	/* Any thread: make the vCPU look at its flags and pending events soon. */
	void (*kick)(struct vcpu *v);
	/* The linear page `va` may have changed or lost its mapping: forget it (INVLPG). */
	void (*invalidate)(struct domain *d, uint64_t va);
	/* Forget every mapping (root changed, or a table above L1 did). */
	void (*invalidate_all)(struct domain *d);
	/* Segment bases of v->fs_base, v->gs_base_kernel changed. */
	void (*load_segments)(struct vcpu *v);
	/* Bytes of the hypercall page `page` (4096), reaching the monitor the fast way. */
	void (*fill_hypercall_page)(struct domain *d, uint8_t *page);
};

extern const struct provider provider_process;

#endif
