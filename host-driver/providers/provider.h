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

#define FLUSH_ALL (~0UL)

struct provider {
	const char *name;
	/* The same with what it found to be possible here, for people. NULL: the name says it. */
	const char *(*tier)(void);
	/*
	 * Guest memory is one host address space: all vCPUs that have a context share a root, and
	 * there is no guest user mode.
	 */
	bool one_root;
	/* Guests are shown a CPU without AVX-512, MPX, XOP and transactions. */
	bool plain_cpu;
	/* Once, before any vCPU: reserve guest address space. 0 or -errno. */
	int (*domain_init)(struct domain *d);
	/* Once, I/O thread: d->ram, d->frame and d->m2p are there. 0 or -errno. */
	int (*memory_ready)(struct domain *d);
	/* Once per vCPU thread, before the sandbox closes: signal stacks, timers. */
	int (*vcpu_init)(struct vcpu *v);
	/* Run the vCPU from v->regs; never returns. */
	void (*vcpu_run)(struct vcpu *v);
	/* Any thread: make the vCPU look at its flags and pending events soon. */
	void (*kick)(struct vcpu *v);
	/* v->cr3_mfn or v->user_cr3_mfn is another one now. Any thread if v does not run. */
	void (*root_changed)(struct vcpu *v);
	/*
	 * Of providers that hold their own copy of the guest's tables: the linear page `va` (any
	 * page) may have lost its mapping. Any thread. NULL: there is no copy.
	 */
	void (*invalidate)(struct domain *d, uint64_t va);
	/*
	 * Entry `index` of a page table, which was present as `old`, changed: in place of what
	 * `invalidate` is told about. Of an L4 also one that was not present. d->lock held. NULL: a
	 * flush will follow where it matters.
	 */
	void (*entry_changed)(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old);
	/*
	 * This page table is none any longer, with all that it has; its va_hint is as it was.
	 * d->lock held. NULL: no effect.
	 */
	void (*table_lost)(struct domain *d, uint64_t mfn);
	/*
	 * What d->ram shows of this frame is about to be another page of the host's. d->lock held.
	 * NULL: invalidate(FLUSH_ALL).
	 */
	void (*frame_moves)(struct domain *d, uint64_t mfn);
	/*
	 * Somebody else than a guest's store writes to this frame, or is about to. Any thread.
	 * NULL: the CPU sees it.
	 */
	void (*written)(struct domain *d, uint64_t mfn);
	/*
	 * Of providers whose CPU reads the guest's own tables: when this returns, none of `vcpus`
	 * (a bit each) runs with what it had cached of the page va, or of any (FLUSH_ALL). Any
	 * thread, d->lock held. NULL: nothing is cached.
	 */
	void (*flush)(struct domain *d, uint32_t vcpus, uint64_t va);
	/* v->fs_base or a v->gs_base_* changed; before they are read: bring them up to date. */
	void (*load_segments)(struct vcpu *v);
	void (*save_segments)(struct vcpu *v);
	/* v->kernel_mode is about to change. */
	void (*toggle)(struct vcpu *v);
	/*
	 * v->gdt_*, v->ldt_*, v->info, v->fpu_ts or v->cr4 changed (any thread while v rests), or
	 * d->vm_assist (any thread). NULL: no effect.
	 */
	void (*load_tables)(struct vcpu *v);
	/* One of d's descriptors changed (any thread). NULL: the CPU reads them itself. */
	void (*descriptor_changed)(struct domain *d);
	/* The calling vCPU's VM exits so far, and those for the host's interrupts. NULL: none. */
	void (*exits)(uint64_t *all, uint64_t *interrupts);
	/* v->debugreg[] changed. Any thread while v rests. NULL: breakpoints are never met. */
	void (*load_debug)(struct vcpu *v);
	/*
	 * A point of the debugger's was set at [va, va + n), which accesses from now on have to ask
	 * debug_met() about. d->lock held, every vCPU stands still. NULL: it cannot have any.
	 */
	void (*points)(struct domain *d, uint64_t va, uint64_t n);
	/* The guest's x87 and SSE registers are the CPU's while its vCPU parks, and in use. */
	bool vectors;
	/* Bytes of the hypercall page `page` (4096), reaching the monitor the fast way. */
	void (*fill_hypercall_page)(struct domain *d, uint8_t *page);
	/* The vCPU is about to stand still, for its end or for somebody. NULL: no matter. */
	void (*parks)(struct vcpu *v);
	/*
	 * From now on guest code is compared with a reference before it runs, and what differs is
	 * written to fd, owned if this succeeds; -1: no longer. `times`: only so often each, 0:
	 * always. 0 or -errno; I/O thread, d->lock held. NULL: there is nothing to compare.
	 */
	int (*check)(struct domain *d, uint64_t times, int fd);
};

extern const struct provider provider_process, provider_translate, provider_vtx;

#endif
