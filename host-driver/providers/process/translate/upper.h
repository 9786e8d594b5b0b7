/* SPDX-License-Identifier: MIT */
/* The guest kernel's upper half, at host addresses that translated code reads without a look. */
#ifndef PAVANE_UPPER_H
#define PAVANE_UPPER_H

/*
 * The segment base: guest addresses of the upper half and this make host addresses of the lower,
 * modulo 2^64. It is canonical itself, and 2 MiB below the end of what a process has: so what a
 * kernel reads at a user's address, or near NULL, is nowhere.
 */
#define UPPER_BASE 0x7fffffe00000

#ifndef __ASSEMBLER__
#include "hypercalls/monitor/monitor.h"

/* The entries of an L4 table that are about it. */
#define UPPER_FIRST   272 /* behind what is the hypervisor's */
#define UPPER_ENTRIES 240

/*
 * For main(): nothing may be where a guest's kernel has its text, which is what the last 2 GiB
 * show; so start over, with another random layout, until this process' stack is not there.
 */
void upper_layout(char **argv);
/* Once, before the sandbox; without upper_layout() there is none. */
void upper_init(void);
bool upper_possible(void); /* in this process */
/*
 * May the calling vCPU, whose kernel root has these entries, use it? Not while others do and
 * something is mapped by an entry that it has not. To be asked again as its root is another one
 * with other entries, or one of them changes.
 */
bool upper_bind(struct vcpu *v, const uint64_t *entries);
/*
 * The vCPU's kernel reads va and found nothing there: what its page tables show is there now.
 * False: nothing, or what cannot be. Takes d->lock.
 */
bool upper_fault(struct vcpu *v, uint64_t va);
/* d->lock held: an entry of a table changed that was present; a table is none any longer. */
void upper_entry_changed(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t old);
void upper_table_lost(struct domain *d, uint64_t mfn);
void upper_forget(struct domain *d); /* d->lock held: nothing is mapped any longer */

#endif
#endif
